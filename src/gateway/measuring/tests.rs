//! What headers and bodies tell.

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
    Measuring::of(measures)
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
        measuring.count(Passed::down(piece.len()));
    }
    assert_eq!(truths(&mut measuring), [Truth::Known(22), Truth::Known(12)]);
}

#[test]
fn what_is_compressed_or_a_part_tells_nothing() {
    let compressed = (header::CONTENT_ENCODING, "gzip");
    let plain = (header::CONTENT_ENCODING, "Identity");
    let part = (header::CONTENT_RANGE, "bytes 0-22/50");
    let cases =
        [(&[JSON][..], true), (&[JSON, plain], true), (&[JSON, compressed], false), (&[JSON, part], false)];
    for (shown, told) in cases {
        let mut measuring = measuring(vec![total()]);
        measuring.answered(&headers(shown));
        measuring.heard(br#"{"usage":{"total":12}}"#);
        let truth = if told { Truth::Known(12) } else { Truth::Untold(7) };
        assert_eq!(truths(&mut measuring), [truth], "{shown:?}");
    }
}

#[test]
fn an_exchange_of_no_time_has_begun_one_span() {
    let mut measuring = measuring(vec![Measure::Duration(NonZeroU64::new(60_000).expect("not zero"))]);
    let truth = |(_, truth): (&Measured, Truth)| truth;
    assert_eq!(measuring.end(Duration::from_nanos(1)).map(truth).collect::<Vec<_>>(), [Truth::Known(1)]);
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
