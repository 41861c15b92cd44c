//! What the gateway sees of an exchange that tells its own cost, while it passes.
//!
//! A body that is looked into must be plain and whole: the upstream is asked for no other. One that comes compressed or
//! in part all the same passes, and has told nothing.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use smallvec::SmallVec;

use crate::domain::measure::{Answer, AtHeader, LARGEST_TOLD, Measure, Measured, Seen, Telling, Truth};
use crate::domain::route::Route;
use crate::domain::units::MeterId;

use super::headers::Headers;

const PLAIN: HeaderValue = HeaderValue::from_static("identity");

/// One exchange, being measured.
#[derive(Debug)]
pub(super) struct Measuring {
    /// None where it is a call of gRPC alone that is waited for.
    measures: Arc<[Measured]>,
    seen: Seen,
    /// What the answer's header told, by measure.
    told: SmallVec<[Option<u64>; 1]>,
    /// The answer's body, where a measure looks into it.
    telling: Option<Telling>,
    request_ended: bool,
    call: Call,
}

/// What trailers say of a call of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Nothing: the header has said all, or it is none.
    None,
    /// Nothing yet.
    Open,
    /// That it costs nothing.
    Free,
}

/// What passes: of bodies, and of what follows a switch of protocols.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    sent: u64,
    delivered: u64,
    messages: u64,
}

impl Passed {
    pub fn up(bytes: usize) -> Self {
        Self { sent: bytes as u64, ..Self::default() }
    }

    pub fn down(bytes: usize) -> Self {
        Self { delivered: bytes as u64, ..Self::default() }
    }

    pub fn with_messages(self, messages: u64) -> Self {
        Self { messages, ..self }
    }
}

/// What a measure tells now.
#[derive(Clone, Copy, Debug)]
pub(super) enum SoFar {
    Known(Truth),
    /// Only the end will tell.
    Open,
}

impl Measuring {
    /// None where the price is known before.
    pub fn begin(route: &Route) -> Option<Box<Self>> {
        (!route.measures.is_empty()).then(|| Box::new(Self::of(route.measures.clone())))
    }

    pub fn of(measures: Arc<[Measured]>) -> Self {
        Self {
            seen: Seen::default(),
            told: SmallVec::from_elem(None, measures.len()),
            telling: None,
            request_ended: false,
            call: Call::None,
            measures,
        }
    }

    /// Makes the request one whose answer can be looked into.
    pub fn ask(&self, headers: &mut impl Headers) -> pingora::Result<()> {
        if self.measures.iter().any(|measured| matches!(measured.by, Measure::Json(_))) {
            headers.put(header::ACCEPT_ENCODING, PLAIN)?;
            headers.delete(&header::RANGE);
            headers.delete(&header::IF_RANGE);
        }
        Ok(())
    }

    /// The request's body has been sent to its end, or there is none.
    pub fn request_ended(&mut self) {
        self.request_ended = true;
    }

    /// The answer's header, before any of its body.
    pub fn answered(&mut self, headers: &HeaderMap) {
        for (measured, told) in self.measures.iter().zip(&mut self.told) {
            if let Measure::Header(name) = &measured.by {
                *told = number(headers, name);
            }
        }
        self.telling = content_type(headers).and_then(|form| Telling::of(&self.measures, form));
    }

    /// A piece of the response's body, as it came from the upstream.
    pub fn heard(&mut self, piece: &[u8]) {
        if let Some(telling) = &mut self.telling {
            telling.read(piece);
        }
    }

    /// What is about to pass.
    pub fn count(&mut self, passed: Passed) {
        self.seen.request_bytes += passed.sent;
        self.seen.response_bytes += passed.delivered;
        self.seen.messages += passed.messages;
    }

    /// It did not.
    pub fn uncount(&mut self, passed: Passed) {
        self.seen.request_bytes -= passed.sent;
        self.seen.response_bytes -= passed.delivered;
        self.seen.messages -= passed.messages;
    }

    pub fn meters(&self) -> impl Iterator<Item = MeterId> + '_ {
        self.measures.iter().map(|measured| measured.meter)
    }

    pub fn counts_messages(&self) -> bool {
        self.measures.iter().any(|measured| matches!(measured.by, Measure::Messages(_)))
    }

    /// A call's status is still to come, in trailers.
    pub fn await_status(&mut self) {
        self.call = Call::Open;
    }

    pub fn awaits_status(&self) -> bool {
        self.call == Call::Open
    }

    /// The status has come, and is one that costs nothing.
    pub fn forgo(&mut self) {
        self.call = Call::Free;
    }

    /// Whether trailers have said that nothing is to be paid.
    pub fn is_free(&self) -> bool {
        self.call == Call::Free
    }

    /// Another attempt: the request is sent again, and nothing was delivered.
    pub fn rewind(&mut self) {
        *self = Self::of(self.measures.clone());
    }

    /// Each measure with what it tells when the answer's header is there.
    pub fn at_header(&self, answer: Answer) -> impl Iterator<Item = (&Measured, SoFar)> {
        let at = AtHeader { request_ended: self.request_ended, answer };
        self.measures.iter().zip(&self.told).map(move |(measured, told)| {
            let so_far = if measured.is_known(at) {
                SoFar::Known(measured.truth(&self.seen, *told))
            } else {
                SoFar::Open
            };
            (measured, so_far)
        })
    }

    /// Each measure with what it tells by now; `took` is how long the exchange has lasted.
    pub fn so_far(&self, took: Duration) -> impl Iterator<Item = (&Measured, Truth)> {
        // A millisecond that has begun counts, as a span does.
        let elapsed_ms = u64::try_from(took.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let seen = Seen { elapsed_ms, ..self.seen };
        let in_body = |at| self.telling.as_ref().and_then(|telling| telling.told(at));
        let measures = self.measures.iter().zip(&self.told).enumerate();
        measures.map(move |(at, (measured, told))| {
            (measured, measured.truth(&seen, told.or_else(|| in_body(at))))
        })
    }

    /// Each measure with what it tells in the end.
    pub fn end(&mut self, took: Duration) -> impl Iterator<Item = (&Measured, Truth)> {
        if let Some(telling) = &mut self.telling {
            telling.end();
        }
        self.so_far(took)
    }
}

/// The form of a body that is plain and whole.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(PLAIN.as_bytes());
    let plain = headers.get_all(header::CONTENT_ENCODING).iter().all(plain);
    let whole = !headers.contains_key(header::CONTENT_RANGE);
    headers.get(header::CONTENT_TYPE).filter(|_| plain && whole)?.to_str().ok()
}

/// A whole number that a header tells once, in plain digits.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let mut values = headers.get_all(name).iter();
    let (value, second) = (values.next()?, values.next());
    let digits = value.as_bytes().trim_ascii();
    let plain = second.is_none() && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
    (number <= LARGEST_TOLD).then_some(number)
}

#[cfg(test)]
mod tests;
