//! The access log: one line of JSON for a request that is over, whichever way it went out.
//!
//! It names no path, query, token or address, unless the configuration asks for some of them. A request that is not
//! chosen costs a comparison.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header;
use pingora::protocols::http::ServerSession;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::{self, LogField};
use crate::domain::measure::TrueCost;
use crate::domain::period::rfc3339;
use crate::domain::units::Cost;
use crate::domain::usage::Now;
use crate::problem::Problem;
use crate::telemetry::Lines;

use super::context::{Charge, Context};
use super::{Parts, RequestId};

/// What a client chooses is cut after so many bytes.
const MOST_OF_A_CLIENTS: usize = 1024;
const A_MILLION: u32 = 1_000_000;

/// Chooses requests and writes their lines.
#[derive(Debug)]
pub struct Access {
    lines: Lines,
    /// Of a million.
    sample: u32,
    slow: Duration,
    fields: Vec<LogField>,
}

/// What is told, where it is known.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    request_id: &'a str,
    protocol: &'static str,
    method: &'a str,
    route: &'a str,
    /// None where the client has got no answer.
    status: Option<u16>,
    /// The code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What a limit would have refused it for: it was served in shadow.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<&'static str>,
    /// What broke the exchange off.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// What was charged, by meter.
    #[serde(skip_serializing_if = "Map::is_empty")]
    units: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    bytes_in: usize,
    bytes_out: usize,
    duration_ms: f64,
    /// Until the upstream's header.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
    /// The gateway's own part of it, for what is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_ms: Option<f64>,
    attempts: usize,
    #[serde(flatten)]
    wanted: Map<String, Value>,
}

impl Access {
    pub fn new(config: &config::AccessLog, lines: Lines) -> Self {
        Self { lines, sample: config.sample, slow: config.slow, fields: config.fields.clone() }
    }

    fn chooses(&self, id: RequestId, status: Option<u16>, took: Duration) -> bool {
        let [.., a, b, c, d] = id.bytes();
        let random = u32::from_be_bytes([a, b, c, d]) % A_MILLION;
        random < self.sample || took >= self.slow || status.is_some_and(|status| status >= 500)
    }

    fn write(&self, line: &Line<'_>) {
        if let Ok(mut text) = serde_json::to_string(line) {
            text.push('\n');
            self.lines.write(text);
        }
    }
}

impl Parts {
    /// Tells of a request that is over.
    pub(super) fn log_access(
        &self,
        session: &ServerSession,
        status: Option<u16>,
        error: Option<&str>,
        took: Duration,
        context: &Context,
    ) {
        let Some(access) = self.access.as_ref().filter(|log| log.chooses(context.request_id, status, took))
        else {
            return;
        };
        let request = session.req_header();
        let id = context.shown_request_id();
        let since = |end: Instant, start: Instant| millis(end.saturating_duration_since(start));
        access.write(&Line {
            at: at(context.now),
            request_id: id.to_str().unwrap_or_default(),
            protocol: protocol(request.version),
            method: cut(request.method.as_str()),
            route: self.pattern(context),
            status,
            reason: context.refused.map(crate::problem::Code::as_str),
            shadow: context.in_shadow.map(crate::problem::Code::as_str),
            error: error.filter(|_| context.refused.is_none()),
            units: self.charged_units(context),
            tier: self.tier_of(context).as_deref(),
            bytes_in: session.body_bytes_read(),
            bytes_out: session.body_bytes_sent(),
            duration_ms: millis(took),
            upstream_ms: context.answered_at.map(|answered| since(answered, context.forwarded_at)),
            gateway_ms: context.own.map(millis),
            attempts: context.attempts,
            wanted: wanted(&access.fields, session, context),
        });
    }

    /// The same of what was no request.
    pub(super) fn log_unreadable(&self, problem: &Problem, id: RequestId, now: Now) {
        let Some(access) =
            self.access.as_ref().filter(|log| log.chooses(id, Some(problem.status()), Duration::ZERO))
        else {
            return;
        };
        access.write(&Line {
            at: at(now),
            request_id: &id.to_string(),
            protocol: "none",
            method: "none",
            route: "none",
            status: Some(problem.status()),
            reason: Some(problem.code.as_str()),
            shadow: None,
            error: None,
            units: Map::new(),
            tier: None,
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0.0,
            upstream_ms: None,
            gateway_ms: None,
            attempts: 0,
            wanted: Map::new(),
        });
    }

    pub(super) fn charged_units(&self, context: &Context) -> Map<String, Value> {
        let cost = match &context.charge {
            Charge::Recorded(recorded) if recorded.settled.charge.in_shadow => return Map::new(),
            Charge::Recorded(recorded) => {
                let draws = recorded.settled.charge.draws.iter();
                TrueCost::new(&Cost::default(), draws.map(|draw| (draw.meter, draw.units())))
            }
            Charge::Open(slices) => slices.came_to(),
            Charge::None | Charge::Held(_) => return Map::new(),
        };
        cost.iter()
            .map(|(meter, units)| (self.catalogue.meter(meter).name.to_string(), json!(units)))
            .collect()
    }

    pub(super) fn tier_of(&self, context: &Context) -> Option<Arc<str>> {
        let tier = match &context.charge {
            Charge::Held(reservation) => reservation.tier(),
            Charge::Recorded(recorded) => recorded.reservation.tier(),
            Charge::Open(slices) => slices.tier(),
            Charge::None => return None,
        };
        Some(self.of_tier(tier, |tier| tier.name.clone()))
    }
}

/// What lines tell only where it is wanted.
fn wanted(fields: &[LogField], session: &ServerSession, context: &Context) -> Map<String, Value> {
    let mut wanted = Map::new();
    for field in fields {
        let (name, value) = match field {
            LogField::Path => ("path", cut(session.req_header().uri.path()).to_owned()),
            LogField::Client => {
                ("client", context.connection.client_text.to_str().unwrap_or_default().to_owned())
            }
            LogField::Customer => {
                let Some(identity) = &context.identity else { continue };
                ("customer", identity.customer.to_string())
            }
            LogField::UserAgent => {
                let Some(agent) = session.get_header(header::USER_AGENT) else { continue };
                ("user_agent", cut(&String::from_utf8_lossy(agent.as_bytes())).to_owned())
            }
        };
        wanted.insert(name.to_owned(), value.into());
    }
    wanted
}

/// RFC 3339 with milliseconds.
fn at(now: Now) -> String {
    let seconds = rfc3339(now.seconds());
    let millis = now.nanos() / 1_000_000 % 1_000;
    format!("{}.{millis:03}Z", seconds.trim_end_matches('Z'))
}

pub(super) fn millis(span: Duration) -> f64 {
    f64::from(u32::try_from(span.as_micros()).unwrap_or(u32::MAX)) / 1_000.0
}

pub(super) fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_OF_A_CLIENTS)]
}
