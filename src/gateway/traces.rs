//! Traces (W3C Trace Context): which trace a request belongs to, what the upstream hears of it, and its spans once it
//! is over. Where nothing is traced, what the client sent passes as it is.
//!
//! - A trace that has begun elsewhere goes on here. Whether it is kept is decided there only if a trusted proxy says
//!   so: else any client could have everything kept.
//! - Spans are made from instants that the request has noted anyway, after its answer.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};
use pingora::protocols::http::ServerSession;
use uuid::Uuid;

use crate::telemetry::{Kind, Span, Spans, Value};

use super::Parts;
use super::context::Context;
use super::headers::{Headers, value};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// What vendors say beyond this is dropped.
const MOST_STATE_BYTES: usize = 512;
const A_MILLION: u64 = 1_000_000;

/// Which requests are traced, and who hears of them.
#[derive(Debug)]
pub struct Traces {
    spans: Spans,
    /// Of a million traces that begin here.
    sample: u32,
}

/// A request's place in a trace.
#[derive(Debug)]
pub(super) struct Trace {
    id: [u8; 16],
    parent: Option<[u8; 8]>,
    server: [u8; 8],
    /// The parent of what the upstream does.
    upstream: [u8; 8],
    kept: bool,
}

impl Traces {
    pub fn new(spans: Spans, sample: u32) -> Self {
        Self { spans, sample }
    }

    /// `believed`: what was decided of the trace where it began holds.
    pub(super) fn trace(&self, headers: &HeaderMap, believed: bool) -> Trace {
        let begun = headers.get(PARENT).and_then(|parent| parse(parent.as_bytes()));
        let (_, random) = Uuid::new_v4().as_u64_pair();
        let chosen = random % A_MILLION < u64::from(self.sample);
        let [server, upstream] =
            [Uuid::new_v4(), Uuid::new_v4()].map(|random| last_half(random.into_bytes()));
        match begun {
            Some((id, parent, kept)) => {
                let kept = if believed { kept } else { chosen };
                Trace { id, parent: Some(parent), server, upstream, kept }
            }
            None => Trace { id: Uuid::new_v4().into_bytes(), parent: None, server, upstream, kept: chosen },
        }
    }
}

impl Trace {
    /// Tells the upstream that what it does belongs to our span.
    pub fn tell(&self, headers: &mut impl Headers) -> pingora::Result<()> {
        let state = headers.all().get_all(STATE).iter().map(|state| state.len() + 1).sum::<usize>();
        if self.parent.is_none() || state > MOST_STATE_BYTES {
            headers.delete(&STATE);
        }
        let flags = u8::from(self.kept);
        headers.put(PARENT, value(format!("00-{}-{}-{flags:02x}", hex(&self.id), hex(&self.upstream))))
    }
}

impl Parts {
    /// Sends the spans of a request that is over.
    pub(super) fn trace_ended(
        &self,
        session: &ServerSession,
        status: Option<u16>,
        took: Duration,
        context: &Context,
    ) {
        let (Some(traces), Some(trace)) = (&self.traces, context.trace.as_ref().filter(|trace| trace.kept))
        else {
            return;
        };
        let ended = context.started + took;
        let whole = trace.span(None, (context.started, ended), context);
        let method = session.req_header().method.as_str();
        let mut attributes = vec![
            ("http.request.method", Value::Text(method.to_owned())),
            ("http.route", Value::Text(self.pattern(context).to_owned())),
            ("tollgate.request_id", Value::Text(context.request_id.to_string())),
        ];
        attributes.extend(status.map(|status| ("http.response.status_code", Value::Number(status.into()))));
        attributes
            .extend(context.refused.map(|code| ("tollgate.refusal", Value::Text(code.as_str().into()))));
        let failed = status.is_none_or(|status| status >= 500);
        let name = format!("{method} {}", self.pattern(context));
        let mut spans = vec![Span { name, kind: Kind::Server, attributes, failed, ..whole }];
        let decided = if context.attempts > 0 { context.forwarded_at } else { ended };
        spans.push(trace.span(Some("admit"), (context.started, decided), context));
        if context.attempts > 0 {
            let answered = context.answered_at.unwrap_or(ended);
            let attempts = i64::try_from(context.attempts).unwrap_or(i64::MAX);
            spans.push(Span {
                id: trace.upstream,
                kind: Kind::Client,
                attributes: vec![("tollgate.attempts", Value::Number(attempts))],
                failed: context.answered_at.is_none(),
                ..trace.span(Some("upstream"), (decided, answered), context)
            });
            if let Some(charged_in) = context.charged_in {
                spans.push(trace.span(Some("charge"), (answered, answered + charged_in), context));
            }
        }
        traces.spans.send(spans);
    }
}

impl Trace {
    /// The request's own span, or with a name a part of it.
    fn span(&self, part: Option<&str>, (start, end): (Instant, Instant), context: &Context) -> Span {
        Span {
            trace: self.id,
            id: if part.is_some() { last_half(Uuid::new_v4().into_bytes()) } else { self.server },
            parent: if part.is_some() { Some(self.server) } else { self.parent },
            name: part.unwrap_or_default().to_owned(),
            kind: Kind::Internal,
            start: context.wall(start).nanos(),
            end: context.wall(end).nanos(),
            attributes: Vec::new(),
            failed: false,
        }
    }
}

/// Trace, parent and whether it is kept, of a `traceparent` of this or a later version.
fn parse(header: &[u8]) -> Option<([u8; 16], [u8; 8], bool)> {
    let fits = match header.get(..2)? {
        b"00" => header.len() == 55,
        b"ff" => false,
        _later => header.len() >= 55 && matches!(header.get(55), None | Some(b'-')),
    };
    if !fits {
        return None;
    }
    let dashes = [2, 35, 52].iter().all(|at| header[*at] == b'-');
    let [_version] = unhex::<1>(&header[..2])?;
    let (trace, parent) = (unhex::<16>(&header[3..35])?, unhex::<8>(&header[36..52])?);
    let [flags] = unhex::<1>(&header[53..55])?;
    let valid = dashes && trace != [0; 16] && parent != [0; 8];
    valid.then_some((trace, parent, flags & 1 == 1))
}

/// Lower case only, as the specification has it.
fn unhex<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Of a random UUID: never all zeros, since it holds the variant.
fn last_half(bytes: [u8; 16]) -> [u8; 8] {
    std::array::from_fn(|at| bytes[at + 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_by_the_letter() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let read =
            |text: &str| parse(text.as_bytes()).map(|(id, parent, kept)| (hex(&id), hex(&parent), kept));
        let known = |kept| Some((trace.to_owned(), "b7ad6b7169203331".to_owned(), kept));
        for (text, parent) in [
            (format!("00-{trace}-b7ad6b7169203331-01"), known(true)),
            (format!("00-{trace}-b7ad6b7169203331-02"), known(false)),
            (format!("cc-{trace}-b7ad6b7169203331-01"), known(true)),
            (format!("cc-{trace}-b7ad6b7169203331-01-what-comes"), known(true)),
            (format!("cc-{trace}-b7ad6b7169203331-01.what-comes"), None),
            (format!("00-{trace}-b7ad6b7169203331-01-what-comes"), None),
            (format!("ff-{trace}-b7ad6b7169203331-01"), None),
            (format!("00-{trace}-0000000000000000-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            (format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()), None),
            (format!("00-{trace}-b7ad6b7169203331"), None),
            (format!("00-{trace}_b7ad6b7169203331-01"), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&text), parent, "{text}");
        }
    }
}
