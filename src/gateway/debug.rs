//! What was decided of a request, and why: one line of the log where somebody debugs.
//!
//! It names no path, query, header, token or body. While nobody debugs it costs a comparison.

use std::fmt::Write as _;
use std::time::Duration;

use pingora::Error;
use pingora::protocols::http::ServerSession;

use crate::problem::Code;

use super::Parts;
use super::access::{cut, millis, protocol};
use super::context::Context;

/// Whether anybody hears of it.
pub(super) fn is_on() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

impl Parts {
    pub(super) fn debug_ended(
        &self,
        session: &ServerSession,
        status: Option<u16>,
        error: Option<&Error>,
        took: Duration,
        context: &Context,
    ) {
        let request = session.req_header();
        let route = self.route_of(context);
        let upstream = route.map(|route| self.upstreams.get(route.upstream).name());
        let since = |end: std::time::Instant, start| millis(end.saturating_duration_since(start));
        tracing::debug!(
            request_id = %context.request_id,
            foreign_request_id = context.foreign_request_id.as_deref().map(cut),
            protocol = protocol(request.version),
            method = cut(request.method.as_str()),
            route = self.pattern(context),
            customer = context.identity.as_ref().map(|identity| &*identity.customer),
            tier = self.tier_of(context).as_deref(),
            status,
            code = context.refused.map(Code::as_str),
            why = context.why.as_deref(),
            error = error.filter(|_| context.refused.is_none()).map(|error| error.etype.as_str()),
            cost = %serde_json::Value::Object(self.charged_units(context)),
            drawn = self.drawn(context),
            upstream = upstream.filter(|_| context.asked.is_some()),
            server = context.asked.map(tracing::field::display),
            attempts = context.attempts,
            decided_ms = (context.attempts > 0).then(|| since(context.forwarded_at, context.started)),
            upstream_ms = context.answered_at.map(|answered| since(answered, context.forwarded_at)),
            took_ms = millis(took),
            "request"
        );
    }

    /// Where the units were taken from, such as `api_calls: 1 included, 2 overage`.
    fn drawn(&self, context: &Context) -> Option<String> {
        context.with_recorded(|recorded| {
            let mut text = String::new();
            for draw in &recorded.settled.charge.draws {
                let sources = [
                    (draw.included, "included"),
                    (draw.extra, "extra"),
                    (draw.credits, "credits"),
                    (draw.overage, "overage"),
                    (draw.uncovered, "uncovered"),
                ];
                let before = if text.is_empty() { "" } else { "; " };
                // Writing to a string cannot fail.
                let _ = write!(text, "{before}{}:", self.catalogue.meter(draw.meter).name);
                for (at, (units, name)) in sources.iter().filter(|(units, _)| *units > 0).enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    let _ = write!(text, "{comma} {units} {name}");
                }
            }
            text
        })
    }
}
