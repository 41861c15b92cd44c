//! Streams as real APIs send them, cut everywhere.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;
use crate::domain::measure::{Missing, Pointer};
use crate::domain::units::MeterId;

const EVENTS: &str = "text/event-stream; charset=utf-8";

/// `OpenAI`'s chat completions with `stream_options.include_usage`: the usage stands in the last chunk alone.
const CHAT: &str = include_str!("../../../tests/fixtures/streams/openai_chat.sse");

/// `OpenAI`'s Responses: the last event carries the whole response.
const RESPONSES: &str = include_str!("../../../tests/fixtures/streams/openai_responses.sse");

/// Anthropic's messages: the input stands in the first event, the output so far in each delta of the message.
const MESSAGES: &str = include_str!("../../../tests/fixtures/streams/anthropic_messages.sse");

/// Ollama's chat, by line.
const LINES: &str = include_str!("../../../tests/fixtures/streams/ollama_chat.ndjson");

fn measured(by: Measure) -> Measured {
    let times = NonZeroU64::MIN;
    Measured { meter: MeterId(0), by, hold: 7, times, most: 1_000, missing: Missing::Hold }
}

fn sum(pointers: &[&str]) -> Measured {
    let pointers = pointers.iter().map(|text| Pointer::parse(text).expect(text));
    measured(Measure::Json(pointers.collect()))
}

/// What the first measure is told by a body in pieces.
fn told(measures: &[Measured], content_type: &str, pieces: &[&[u8]]) -> Option<u64> {
    let mut telling = Telling::of(measures, content_type)?;
    for piece in pieces {
        telling.read(piece);
    }
    telling.end();
    telling.told(0)
}

#[test]
fn a_stream_tells_its_usage_wherever_it_is_cut() {
    for (name, content_type, stream, pointers, usage) in [
        ("chat", EVENTS, CHAT, &["/usage/total_tokens"][..], 29),
        ("chat's parts", EVENTS, CHAT, &["/usage/prompt_tokens", "/usage/completion_tokens"], 29),
        ("responses", EVENTS, RESPONSES, &["/usage/total_tokens"], 48),
        ("messages", EVENTS, MESSAGES, &["/usage/input_tokens", "/usage/output_tokens"], 40),
        ("lines", "application/x-ndjson", LINES, &["/prompt_eval_count", "/eval_count"], 316),
    ] {
        let measures = [sum(pointers)];
        let bytes = stream.as_bytes();
        assert_eq!(told(&measures, content_type, &[bytes]), Some(usage), "{name}");
        for cut in 0..bytes.len() {
            let (before, after) = bytes.split_at(cut);
            assert_eq!(told(&measures, content_type, &[before, after]), Some(usage), "{name} cut at {cut}");
        }
        let returns = stream.replace('\n', "\r\n");
        let single: Vec<&[u8]> = returns.as_bytes().chunks(1).collect();
        assert_eq!(told(&measures, content_type, &single), Some(usage), "{name} byte by byte");
    }
}

#[test]
fn a_stream_that_is_broken_off_has_told_what_it_told() {
    let measures = [sum(&["/usage/input_tokens", "/usage/output_tokens"])];
    let at = |event: &str| MESSAGES.find(event).expect(event);
    let (started, stopped) = (at("event: ping"), at("event: message_stop"));
    for (end, usage) in
        [(started - 3, None), (started, Some(26)), (stopped - 3, Some(26)), (stopped, Some(40))]
    {
        assert_eq!(told(&measures, EVENTS, &[&MESSAGES.as_bytes()[..end]]), usage, "cut at {end}");
    }
    let whole = br#"{"usage":{"input_tokens":3}}"#;
    assert_eq!(told(&measures, "application/json", &[&whole[..whole.len() - 1]]), None);
}

#[test]
fn each_measure_is_told_its_own() {
    let measures = [
        sum(&["/usage/total_tokens"]),
        measured(Measure::Header("x-cost".into())),
        sum(&["/n", "/usage/total_tokens"]),
    ];
    let mut telling = Telling::of(&measures, "application/problem+json").expect("it looks into JSON");
    telling.read(br#"{"n":2,"usage":{"total_tokens":5}}"#);
    telling.end();
    assert_eq!([0, 1, 2, 3].map(|measure| telling.told(measure)), [Some(5), None, Some(7), None]);
}

#[test]
fn what_is_no_json_is_not_looked_into() {
    let json = [sum(&["/a"])];
    for content_type in
        ["text/plain", "", "application/octet-stream", "application/jsonx", "text/html; a=+json"]
    {
        assert!(Telling::of(&json, content_type).is_none(), "{content_type}");
    }
    for content_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
        assert!(Telling::of(&json, content_type).is_some(), "{content_type}");
    }
    assert!(Telling::of(&[measured(Measure::Header("x-cost".into()))], "application/json").is_none());
}

#[test]
fn a_very_long_body_tells_as_a_short_one_does() {
    let long = "x".repeat(4 << 20);
    let body = format!(r#"{{"text":"{long}","usage":{{"total_tokens":5}},"{long}":1}}"#);
    let measures = [sum(&["/usage/total_tokens"])];
    let pieces: Vec<&[u8]> = body.as_bytes().chunks(8 << 10).collect();
    assert_eq!(told(&measures, "application/json", &pieces), Some(5));
    let event = format!("data: {body}\n\n");
    assert_eq!(told(&measures, EVENTS, &[event.as_bytes()]), Some(5));
}

proptest! {
    #[test]
    fn no_body_breaks_it(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'"'), Just(b'{')], 0..96),
        cuts in prop::collection::vec(0..96_usize, 0..4),
        form in prop::sample::select(&["application/json", EVENTS, "application/x-ndjson"][..]),
    ) {
        let measures = [sum(&["/a"])];
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(told(&measures, form, &pieces), told(&measures, form, &[&bytes]));
    }
}
