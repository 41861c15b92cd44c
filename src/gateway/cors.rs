//! Pages of other origins: what a browser asks first is answered here, and every answer of such a route says whether a
//! page may read it, refusals too.
//!
//! - A preflight carries no token: it meets no limit and no ledger, and costs nothing.
//! - An origin that is not allowed is told nothing, and the browser refuses the page.
//! - What the upstream says of CORS is replaced.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::domain::cors::Cors;
use crate::domain::route::{Methods, Route};

use super::context::Context;
use super::headers::{Headers, REQUEST_ID, lasting, value};
use super::{Parts, answer};

/// What pages may always send: what the gateway itself reads.
const SENT: [&str; 2] = ["authorization", "idempotency-key"];
/// What pages may always read: what the gateway itself says.
const SHOWN: [&str; 5] = ["x-request-id", "x-usage-cost", "ratelimit", "ratelimit-policy", "retry-after"];

const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ON_ORIGIN: &str = "origin";
const ON_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// What an upstream may say of it.
const ALL: [HeaderName; 7] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// A route's rules, and the values of headers that follow from them, made once.
pub(super) struct RouteCors {
    rules: Arc<Cors>,
    /// None: whatever method is asked for.
    methods: Option<HeaderValue>,
    sent: HeaderValue,
    shown: HeaderValue,
    max_age: HeaderValue,
}

impl RouteCors {
    pub fn new(rules: &Arc<Cors>, route: &Route) -> Self {
        Self {
            methods: methods(rules, route),
            sent: list(&SENT, &rules.headers),
            shown: list(&SHOWN, &rules.expose),
            max_age: lasting(rules.max_age_seconds.to_string()),
            rules: rules.clone(),
        }
    }

    /// What the header of an answer tells the page that asked; none where it may not read the answer.
    pub fn granted(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.rules.allow_any() {
            return Some(ANY);
        }
        let origin = request.get(header::ORIGIN)?;
        origin.to_str().is_ok_and(|origin| self.rules.allow(origin)).then(|| origin.clone())
    }

    /// Puts `granted` into an answer, in place of what the upstream said.
    pub fn show(&self, headers: &mut impl Headers, granted: Option<&HeaderValue>) -> pingora::Result<()> {
        for name in &ALL {
            headers.delete(name);
        }
        if !self.rules.allow_any() {
            vary_on_origin(headers)?;
        }
        if let Some(granted) = granted {
            headers.put(header::ACCESS_CONTROL_ALLOW_ORIGIN, granted.clone())?;
            headers.put(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.shown.clone())?;
            if self.rules.credentials {
                headers.put(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE)?;
            }
        }
        Ok(())
    }
}

impl Parts {
    /// Answers what a browser asks before it lets a page ask.
    pub(super) async fn answer_preflight(
        &self,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let mut header = ResponseHeader::build(204, Some(10))?;
        header.put(REQUEST_ID, context.shown_request_id())?;
        self.dress(&mut header, context)?;
        header.put(header::VARY, ON_PREFLIGHT)?;
        header.remove_header(&header::ACCESS_CONTROL_EXPOSE_HEADERS);
        let asked = session.get_header(header::ACCESS_CONTROL_REQUEST_METHOD).cloned();
        if let (Some(cors), Some(_)) = (self.cors_of(context), &context.granted) {
            if let Some(methods) = cors.methods.clone().or(asked) {
                header.put(header::ACCESS_CONTROL_ALLOW_METHODS, methods)?;
            }
            header.put(header::ACCESS_CONTROL_ALLOW_HEADERS, cors.sent.clone())?;
            header.put(header::ACCESS_CONTROL_MAX_AGE, cors.max_age.clone())?;
        }
        session.set_close_on_response_before_downstream_finish(false);
        self.say_if_last(session, context);
        answer::write(session, header, Bytes::new()).await
    }
}

fn methods(rules: &Cors, route: &Route) -> Option<HeaderValue> {
    let methods = match &route.methods {
        _ if !rules.methods.is_empty() => &rules.methods,
        Methods::These(methods) => methods,
        Methods::All => return None,
    };
    Some(lasting(methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", ")))
}

fn list(ours: &[&str], theirs: &[Arc<str>]) -> HeaderValue {
    let theirs = theirs.iter().map(|name| &**name).filter(|name| !ours.contains(name));
    lasting(ours.iter().copied().chain(theirs).collect::<Vec<_>>().join(", "))
}

/// Caches must not show one page's answer to another.
fn vary_on_origin(headers: &mut impl Headers) -> pingora::Result<()> {
    let said = headers.all().get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let said = said.collect::<Vec<_>>().join(", ");
    let names = |said: &str| said.split(',').any(|name| matches!(name.trim(), "*" | "Origin" | ON_ORIGIN));
    let vary = match said.as_str() {
        "" => ON_ORIGIN.to_owned(),
        said if names(said) => return Ok(()),
        said => format!("{said}, {ON_ORIGIN}"),
    };
    headers.put(header::VARY, value(vary))
}
