//! What the upstream gets: the client's request without what only we may say, and who is calling.

use http::header::{self, HeaderName, HeaderValue};

use crate::domain::catalogue::Catalogue;
use crate::domain::tier::{Limit, Tier};

use super::context::{Charge, Context};
use super::headers::{Headers, REQUEST_ID, lasting, value};
use super::spoofed::{self, Believed};
use super::{Parts, hops};

const CUSTOMER: HeaderName = HeaderName::from_static("x-tollgate-customer");
const MEMBER: HeaderName = HeaderName::from_static("x-tollgate-member");
const TIER: HeaderName = HeaderName::from_static("x-tollgate-tier");
const FEATURES: HeaderName = HeaderName::from_static("x-tollgate-features");
const LIMITS: HeaderName = HeaderName::from_static("x-tollgate-limits");
/// A tier as its headers tell it, made once.
pub(super) struct TierHeaders {
    name: HeaderValue,
    /// None where there are none.
    features: Option<HeaderValue>,
    limits: Option<HeaderValue>,
}

impl TierHeaders {
    pub fn new(tier: &Tier, catalogue: &Catalogue) -> Self {
        let limits: Vec<String> = tier
            .limits
            .iter()
            .map(|(name, limit)| match limit {
                Limit::Number(number) => format!("{name}={number}"),
                Limit::Unlimited => format!("{name}=unlimited"),
            })
            .collect();
        Self {
            name: lasting(&*tier.name),
            features: some(catalogue.feature_names(tier.features).join(",")),
            limits: some(limits.join(",")),
        }
    }

    fn put_on(&self, headers: &mut impl Headers) -> pingora::Result<()> {
        headers.put(TIER, self.name.clone())?;
        for (name, value) in [(FEATURES, &self.features), (LIMITS, &self.limits)] {
            if let Some(value) = value {
                headers.put(name, value.clone())?;
            }
        }
        Ok(())
    }
}

impl Parts {
    /// Runs once per attempt, on a fresh copy of the client's headers: it counts nothing.
    pub(super) fn forward(&self, headers: &mut impl Headers, context: &Context) -> pingora::Result<()> {
        let believed = Believed { sources: context.by_proxy, methods: self.keeps_methods(context) };
        spoofed::remove(headers, believed);
        if !self.settings.forward_token {
            headers.delete(&header::AUTHORIZATION);
            self.settings.key_header.iter().for_each(|name| headers.delete(name));
        }
        headers.put(REQUEST_ID, context.shown_request_id())?;
        if let Some(identity) = &context.identity {
            headers.put(CUSTOMER, identity.customer_header.clone())?;
            if let Some(member) = &identity.member {
                headers.put(MEMBER, value(&**member))?;
            }
        }
        if let Charge::Held(reservation) = &context.charge {
            self.of_tier(reservation.tier(), |tier| tier.headers.put_on(headers))?;
        }
        if let Some(trace) = &context.trace {
            trace.tell(headers)?;
        }
        hops::tell(headers, &context.connection, self.settings.forwarded)?;
        self.change_request(headers, context)?;
        context.measuring.as_ref().map_or(Ok(()), |measuring| measuring.ask(headers))
    }
}

fn some(text: String) -> Option<HeaderValue> {
    (!text.is_empty()).then(|| lasting(text))
}
