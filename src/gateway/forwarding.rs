//! What the upstream gets: the client's request without what only we may say, and who is calling.

use http::header::{self, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::domain::catalogue::Catalogue;
use crate::domain::tier::{Limit, Tier};

use super::Parts;
use super::connections::Connection;
use super::context::{Charge, Context};
use super::doors::Kind;
use super::headers::{Headers, REQUEST_ID, lasting, value};

/// Headers by which an upstream might answer another, dearer request than the one that was priced.
const PRICE_CHANGING: [&str; 4] =
    ["x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];

const CUSTOMER: HeaderName = HeaderName::from_static("x-tollgate-customer");
const MEMBER: HeaderName = HeaderName::from_static("x-tollgate-member");
const TIER: HeaderName = HeaderName::from_static("x-tollgate-tier");
const FEATURES: HeaderName = HeaderName::from_static("x-tollgate-features");
const LIMITS: HeaderName = HeaderName::from_static("x-tollgate-limits");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

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
        remove_what_only_we_say(headers);
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
        if let Some(measuring) = &context.measuring {
            measuring.ask(headers)?;
        }
        self.forwarded_for(headers, &context.connection)
    }

    fn forwarded_for(&self, headers: &mut impl Headers, connection: &Connection) -> pingora::Result<()> {
        let Some(client) = connection.client else { return Ok(()) };
        let before = headers.all().get(FORWARDED_FOR).and_then(|value| value.to_str().ok());
        let chain = if let Some(before) = before.filter(|_| self.trusts(client)) {
            value(format!("{before}, {client}"))
        } else {
            headers.put(FORWARDED_PROTO, if connection.kind == Kind::Tls { HTTPS } else { HTTP })?;
            match headers.all().get(header::HOST).cloned() {
                Some(host) => headers.put(FORWARDED_HOST, host)?,
                None => headers.delete(&FORWARDED_HOST),
            }
            connection.client_text.clone()
        };
        headers.put(FORWARDED_FOR, chain)
    }
}

/// Identity headers in any spelling, and headers that change the price.
fn remove_what_only_we_say(headers: &mut impl Headers) {
    let spoofed = headers.all().keys().filter(|name| is_ours(name.as_str()));
    let spoofed: SmallVec<[HeaderName; 2]> = spoofed.cloned().collect();
    for name in &spoofed {
        headers.delete(name);
    }
}

fn is_ours(name: &str) -> bool {
    if !name.starts_with('x') {
        return false;
    }
    // Servers behind us may read an underscore as a dash.
    let dashed = |name: &str, ours: &str| {
        name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte }).eq(ours.bytes())
    };
    let prefix = "x-tollgate-";
    let begins = name.get(..prefix.len()).is_some_and(|start| dashed(start, prefix));
    begins || dashed(name, REQUEST_ID.as_str()) || PRICE_CHANGING.iter().any(|ours| dashed(name, ours))
}

fn some(text: String) -> Option<HeaderValue> {
    (!text.is_empty()).then(|| lasting(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_our_headers_is_ours() {
        for ours in [
            "x-tollgate-customer",
            "x_tollgate_customer",
            "x-tollgate_anything",
            "x_request-id",
            "x-rewrite-url",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for others in ["x-tollgat", "x-tollgates", "xtollgate-customer", "x-request-ids", "accept"] {
            assert!(!is_ours(others), "{others}");
        }
    }
}
