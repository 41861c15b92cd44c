//! What the upstream gets: the client's request without what only we may say, and who is calling.

use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr};

use crate::domain::catalogue::Catalogue;
use crate::domain::tier::{Limit, Tier};

use super::Parts;
use super::connections::Connection;
use super::context::{Charge, Context};

/// Headers by which an upstream might answer another, dearer request than the one that was priced.
const PRICE_CHANGING: [&str; 4] =
    ["x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CUSTOMER: HeaderName = HeaderName::from_static("x-tollgate-customer");
const MEMBER: HeaderName = HeaderName::from_static("x-tollgate-member");
const TIER: HeaderName = HeaderName::from_static("x-tollgate-tier");
const FEATURES: HeaderName = HeaderName::from_static("x-tollgate-features");
const LIMITS: HeaderName = HeaderName::from_static("x-tollgate-limits");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A tier as its headers tell it, made once.
pub(super) struct TierHeaders {
    name: HeaderValue,
    /// None where there are none.
    features: Option<HeaderValue>,
    limits: Option<HeaderValue>,
}

impl TierHeaders {
    pub fn of(catalogue: &Catalogue) -> Vec<Self> {
        catalogue.tiers.iter().map(|tier| Self::new(tier, catalogue)).collect()
    }

    fn new(tier: &Tier, catalogue: &Catalogue) -> Self {
        let limits: Vec<String> = tier
            .limits
            .iter()
            .map(|(name, limit)| match limit {
                Limit::Number(number) => format!("{name}={number}"),
                Limit::Unlimited => format!("{name}=unlimited"),
            })
            .collect();
        Self {
            name: value(&tier.name),
            features: some(&catalogue.feature_names(tier.features).join(",")),
            limits: some(&limits.join(",")),
        }
    }
}

impl Parts {
    /// Runs once per attempt, on a fresh copy of the client's header: it counts nothing.
    pub(super) fn forward(&self, request: &mut RequestHeader, context: &Context) -> pingora::Result<()> {
        remove_what_only_we_say(request, self.settings.forward_token);
        if context.read_ahead {
            // The client has been told to go on.
            request.remove_header(&header::EXPECT);
        }
        if let Some(path) = &context.forwarded_path {
            request.set_raw_path(path.as_bytes())?;
        }
        request.insert_header(REQUEST_ID, context.shown_request_id())?;
        if let Some(identity) = &context.identity {
            request.insert_header(CUSTOMER, &*identity.customer)?;
            if let Some(member) = &identity.member {
                request.insert_header(MEMBER, &**member)?;
            }
        }
        if let Charge::Held(reservation) = &context.charge {
            let tier = &self.tier_headers[reservation.tier().index()];
            request.insert_header(TIER, &tier.name)?;
            for (name, value) in [(FEATURES, &tier.features), (LIMITS, &tier.limits)] {
                if let Some(value) = value {
                    request.insert_header(name, value)?;
                }
            }
        }
        self.forwarded_for(request, &context.connection)
    }

    fn forwarded_for(&self, request: &mut RequestHeader, connection: &Connection) -> pingora::Result<()> {
        let Some(client) = connection.client else { return Ok(()) };
        let before = request.headers.get(FORWARDED_FOR).and_then(|value| value.to_str().ok());
        let chain = if let Some(before) = before.filter(|_| self.trusts(client)) {
            HeaderValue::try_from(format!("{before}, {client}"))
                .or_err(ErrorType::InvalidHTTPHeader, "a chain of visible characters")?
        } else {
            request.insert_header(FORWARDED_PROTO, "http")?;
            match request.headers.get(header::HOST).cloned() {
                Some(host) => request.insert_header(FORWARDED_HOST, host)?,
                None => drop(request.remove_header(&FORWARDED_HOST)),
            }
            connection.client_text.clone()
        };
        request.insert_header(FORWARDED_FOR, chain)
    }

    /// Whether what this address says of requests before it is believed.
    pub(super) fn trusts(&self, client: IpAddr) -> bool {
        self.settings.trusted_proxies.iter().any(|network| network.contains(client))
    }
}

/// Identity headers in any spelling, headers that change the price, and the token.
fn remove_what_only_we_say(request: &mut RequestHeader, forward_token: bool) {
    let spoofed: Vec<HeaderName> =
        request.headers.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
    for name in spoofed {
        request.remove_header(&name);
    }
    if !forward_token {
        request.remove_header(&header::AUTHORIZATION);
    }
}

fn is_ours(name: &str) -> bool {
    // Servers behind us may read an underscore as a dash.
    let dashed = |name: &str, ours: &str| {
        name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte }).eq(ours.bytes())
    };
    let prefix = "x-tollgate-";
    let begins = name.get(..prefix.len()).is_some_and(|start| dashed(start, prefix));
    begins || dashed(name, REQUEST_ID.as_str()) || PRICE_CHANGING.iter().any(|ours| dashed(name, ours))
}

/// Names and features of a configuration are checked to be visible ASCII.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn some(text: &str) -> Option<HeaderValue> {
    (!text.is_empty()).then(|| value(text))
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
