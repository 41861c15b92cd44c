//! What the gateway sees of an exchange that tells its own cost, while it passes.
//!
//! A body that is looked into must be plain and whole: the upstream is asked for no other. One that comes compressed or in
//! part all the same passes, and has told nothing.

mod upgraded;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::domain::measure::{Measure, Measured, Seen, Telling, Truth};
use crate::domain::route::Route;

use super::headers::Headers;

pub(super) use upgraded::{Direction, Upgraded, Way};

const PLAIN: HeaderValue = HeaderValue::from_static("identity");

/// One exchange, being measured.
#[derive(Debug)]
pub(super) struct Measuring {
    measures: Arc<[Measured]>,
    seen: Seen,
    /// The answer's body, where a measure looks into it.
    telling: Option<Telling>,
    /// What passes after a switch of protocols.
    upgraded: Option<Arc<Upgraded>>,
}

impl Measuring {
    /// None where the price is known before.
    pub fn begin(route: &Route) -> Option<Box<Self>> {
        let measures = &route.measures;
        let begin =
            || Self { measures: measures.clone(), seen: Seen::default(), telling: None, upgraded: None };
        (!measures.is_empty()).then(|| Box::new(begin()))
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

    /// A piece of the request's body, on its way to the upstream.
    pub fn sent(&mut self, piece: &[u8]) {
        self.seen.request_bytes += piece.len() as u64;
    }

    /// The answer's header, before any of its body.
    pub fn answered(&mut self, headers: &HeaderMap) {
        self.telling = content_type(headers).and_then(|form| Telling::of(&self.measures, form));
    }

    /// A piece of the response's body, as it came from the upstream.
    pub fn heard(&mut self, piece: &[u8]) {
        if let Some(telling) = &mut self.telling {
            telling.read(piece);
        }
    }

    /// A piece of the response's body, on its way to the client.
    pub fn delivered(&mut self, piece: &[u8]) {
        self.seen.response_bytes += piece.len() as u64;
    }

    /// Another protocol goes on from here: what passes is counted there.
    pub fn upgrade(&mut self) -> Arc<Upgraded> {
        self.upgraded.get_or_insert_with(|| Arc::new(Upgraded::new(&self.measures))).clone()
    }

    pub fn is_upgraded(&self) -> bool {
        self.upgraded.is_some()
    }

    /// Another attempt: the request is sent again, and nothing was delivered.
    pub fn rewind(&mut self) {
        self.seen = Seen::default();
        self.telling = None;
    }

    /// Each measure with what it tells in the end; `took` is how long the exchange lasted.
    pub fn end(&mut self, took: Duration) -> impl Iterator<Item = (&Measured, Truth)> {
        let mut seen = Seen { elapsed_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), ..self.seen };
        if let Some(upgraded) = &self.upgraded {
            upgraded.add_to(&mut seen);
        }
        if let Some(telling) = &mut self.telling {
            telling.end();
        }
        let told = |at| self.telling.as_ref().and_then(|telling| telling.told(at));
        let measures = self.measures.iter().enumerate();
        measures.map(move |(at, measured)| (measured, measured.truth(&seen, told(at))))
    }
}

/// The form of a body that is plain and whole.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(PLAIN.as_bytes());
    let plain = headers.get_all(header::CONTENT_ENCODING).iter().all(plain);
    let whole = !headers.contains_key(header::CONTENT_RANGE);
    headers.get(header::CONTENT_TYPE).filter(|_| plain && whole)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use http::HeaderName;

    use super::*;
    use crate::domain::measure::{Missing, Pointer};
    use crate::domain::units::MeterId;

    fn measuring(measures: Vec<Measure>) -> Measuring {
        let times = NonZeroU64::MIN;
        let measured =
            |by| Measured { meter: MeterId(0), by, hold: 7, times, most: 1_000, missing: Missing::Hold };
        let measures = measures.into_iter().map(measured).collect();
        Measuring { measures, seen: Seen::default(), telling: None, upgraded: None }
    }

    fn total() -> Measure {
        Measure::Json([Pointer::parse("/usage/total").expect("a pointer")].into())
    }

    fn headers(headers: &[(HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn truths(measuring: &mut Measuring) -> Vec<Truth> {
        measuring.end(Duration::ZERO).map(|(_, truth)| truth).collect()
    }

    const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

    #[test]
    fn an_answer_tells_its_cost_in_its_body() {
        let bytes = || Measure::ResponseBytes(NonZeroU64::MIN);
        let mut measuring = measuring(vec![bytes(), total()]);
        measuring.answered(&headers(&[JSON]));
        for piece in [r#"{"usage":{"#, r#""total":12}}"#] {
            measuring.heard(piece.as_bytes());
            measuring.delivered(piece.as_bytes());
        }
        assert_eq!(truths(&mut measuring), [Truth::Known(22), Truth::Known(12)]);
    }

    #[test]
    fn what_is_compressed_or_a_part_tells_nothing() {
        let compressed = (header::CONTENT_ENCODING, "gzip");
        let plain = (header::CONTENT_ENCODING, "Identity");
        let part = (header::CONTENT_RANGE, "bytes 0-22/50");
        let cases = [
            (&[JSON][..], true),
            (&[JSON, plain], true),
            (&[JSON, compressed], false),
            (&[JSON, part], false),
        ];
        for (shown, told) in cases {
            let mut measuring = measuring(vec![total()]);
            measuring.answered(&headers(shown));
            measuring.heard(br#"{"usage":{"total":12}}"#);
            let truth = if told { Truth::Known(12) } else { Truth::Untold(7) };
            assert_eq!(truths(&mut measuring), [truth], "{shown:?}");
        }
    }

    #[test]
    fn an_answer_of_another_attempt_tells_nothing() {
        let mut measuring = measuring(vec![total()]);
        measuring.answered(&headers(&[JSON]));
        measuring.heard(br#"{"usage":{"total":12}}"#);
        measuring.rewind();
        assert_eq!(truths(&mut measuring), [Truth::Untold(7)]);
    }

    #[test]
    fn a_body_that_is_looked_into_is_asked_for_plain_and_whole() {
        let asked =
            [(header::ACCEPT_ENCODING, "gzip"), (header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"a\"")];
        let (mut looked_into, mut counted) = (headers(&asked), headers(&asked));
        measuring(vec![total()]).ask(&mut looked_into).expect("it is put");
        assert_eq!(looked_into, headers(&[(header::ACCEPT_ENCODING, "identity")]));
        measuring(vec![Measure::ResponseBytes(NonZeroU64::MIN)]).ask(&mut counted).expect("it is put");
        assert_eq!(counted, headers(&asked));
    }
}
