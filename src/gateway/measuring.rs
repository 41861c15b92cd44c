//! What the gateway sees of an exchange that tells its own cost, while it passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use smallvec::SmallVec;

use crate::domain::measure::{Answer, AtHeader, LARGEST_TOLD, Measure, Measured, Seen, Truth};
use crate::domain::route::Route;

/// One exchange, being measured.
#[derive(Debug)]
pub(super) struct Measuring {
    measures: Arc<[Measured]>,
    seen: Seen,
    /// What the answer told, by measure.
    told: SmallVec<[Option<u64>; 1]>,
    request_ended: bool,
    upgraded: Option<Arc<Upgraded>>,
}

/// Bytes that have passed since the switch to another protocol.
#[derive(Debug, Default)]
pub(super) struct Upgraded {
    pub sent: AtomicU64,
    pub delivered: AtomicU64,
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
        let measures = &route.measures;
        (!measures.is_empty()).then(|| {
            Box::new(Self {
                seen: Seen::default(),
                told: SmallVec::from_elem(None, measures.len()),
                request_ended: false,
                upgraded: None,
                measures: measures.clone(),
            })
        })
    }

    /// A piece of the request's body, on its way to the upstream.
    pub fn sent(&mut self, piece: &[u8]) {
        self.seen.request_bytes += piece.len() as u64;
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
    }

    /// Another protocol goes on from here: what passes is to be counted there.
    pub fn upgrade(&mut self) -> Arc<Upgraded> {
        self.upgraded.get_or_insert_default().clone()
    }

    /// A piece of the response's body, on its way to the client.
    pub fn delivered(&mut self, piece: &[u8]) {
        self.seen.response_bytes += piece.len() as u64;
    }

    /// Another attempt: the request is sent again, and nothing was delivered.
    pub fn rewind(&mut self) {
        self.seen = Seen::default();
        self.told.fill(None);
        self.request_ended = false;
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

    /// Each measure with what it tells in the end; `took` is how long the exchange lasted.
    pub fn end(&self, took: Duration) -> impl Iterator<Item = (&Measured, Truth)> {
        let mut seen = Seen { elapsed_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), ..self.seen };
        if let Some(upgraded) = &self.upgraded {
            seen.request_bytes += upgraded.sent.load(Ordering::Relaxed);
            seen.response_bytes += upgraded.delivered.load(Ordering::Relaxed);
        }
        self.measures
            .iter()
            .zip(&self.told)
            .map(move |(measured, told)| (measured, measured.truth(&seen, *told)))
    }
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
mod tests {
    use http::HeaderValue;

    use super::*;

    fn told(values: &[&'static str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-cost", HeaderValue::from_static(value));
        }
        number(&headers, "x-cost")
    }

    #[test]
    fn a_header_tells_one_plain_number_or_nothing() {
        for (values, number) in [
            (&["12"][..], Some(12)),
            (&["0"], Some(0)),
            (&["007"], Some(7)),
            (&["9007199254740992"], Some(LARGEST_TOLD)),
            (&["9007199254740993"], None),
            (&["99999999999999999999999"], None),
            (&[], None),
            (&[""], None),
            (&["-1"], None),
            (&["+1"], None),
            (&["1.5"], None),
            (&["1e3"], None),
            (&["1, 2"], None),
            (&["1", "2"], None),
            (&["1", "1"], None),
        ] {
            assert_eq!(told(values), number, "{values:?}");
        }
    }
}
