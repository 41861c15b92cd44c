//! Answers that tell in their body what they cost.

use http::Method;

use super::api::{Asked, Pieces};
use super::{Api, Open};
use crate::harness::{Customer, Reply, World, setting};

const CHAT: &str = include_str!("../../fixtures/streams/openai_chat.sse");
const RESPONSES: &str = include_str!("../../fixtures/streams/openai_responses.sse");
const MESSAGES: &str = include_str!("../../fixtures/streams/anthropic_messages.sse");
const LINES: &str = include_str!("../../fixtures/streams/ollama_chat.ndjson");

const HOLD: u64 = 50;
const ROUTES: &str = r#"
    routes = [
        { path = "/chat", cost = { api_calls = { json = "/usage/total_tokens", hold = 50 } } },
        { path = "/messages", cost = { api_calls = {
            json = ["/usage/input_tokens", "/usage/output_tokens"], hold = 50 } } },
        { path = "/lines", cost = { api_calls = { json = ["/prompt_eval_count", "/eval_count"], hold = 50 } } },
    ]
    tiers.free.included = { api_calls = 10000 }
"#;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream; charset=utf-8")];
const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

fn held(reply: &Reply) -> bool {
    reply.header("x-usage-cost") == Some(&*format!("api_calls={HOLD};held"))
}

/// Asks once, and has the API answer.
async fn exchange(api: &mut Api, customer: &Customer, path: &str, answer: impl FnOnce(Asked)) -> Reply {
    let body = |request: reqwest::RequestBuilder| request.header("accept-encoding", "gzip, br").body("{}");
    let asking = customer.ask(Method::POST, path, body);
    let (reply, ()) = tokio::join!(asking, async { answer(api.asked().await) });
    reply
}

/// Opens a stream: the client's side and the API's.
async fn open(api: &mut Api, world: &World, customer: &Customer, path: &str) -> (Open, Pieces) {
    let mut wire = world.wire().await;
    wire.send_head(customer, &format!("GET {path} HTTP/1.1")).await;
    let pieces = api.asked().await.begin(EVENTS);
    let reply = wire.answer(customer).await;
    assert_eq!((reply.status, held(&reply)), (200, true), "{reply:?}");
    (Open::of(wire), pieces)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_charged_what_its_body_tells_and_the_hold_where_it_tells_nothing() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    let customer = world.customer("acme");
    let mut used = 0;
    let json = |tokens: &str| {
        format!("{{\"text\":\"{}\",\"usage\":{{\"total_tokens\":{tokens}}}}}", "x".repeat(90_000))
    };
    for (path, headers, body, truth) in [
        ("/chat", JSON, json("7"), 7),
        ("/chat", JSON, json("700"), 700),
        ("/chat", JSON, json("0"), 0),
        ("/chat", EVENTS, CHAT.to_owned(), 29),
        ("/chat", EVENTS, RESPONSES.to_owned(), 48),
        ("/messages", EVENTS, MESSAGES.to_owned(), 40),
        ("/lines", NDJSON, LINES.to_owned(), 316),
        ("/chat", JSON, json("7.5"), HOLD),
        ("/chat", JSON, json("7") + "}", HOLD),
        ("/chat", JSON, "{}".to_owned(), HOLD),
        ("/chat", &[("content-type", "text/plain")], json("7"), HOLD),
        ("/chat", &[JSON[0], ("content-encoding", "gzip")], json("7"), HOLD),
        ("/chat", &[JSON[0], ("content-range", "bytes 0-9/10")], json("7"), HOLD),
    ] {
        let what = body[body.len().saturating_sub(40)..].to_owned();
        let reply =
            exchange(&mut api, &customer, path, |asked| asked.answer(200, headers, body.clone())).await;
        assert!(held(&reply), "{what}: {:?}", reply.headers);
        assert_eq!(reply.text(), body);
        customer.owes(&format!("api_calls={truth}"));
        used += truth;
        customer.until_used(used).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_priced_is_asked_for_plain_and_whole() {
    let mut api = Api::start().await;
    let world = api.world(&format!("{ROUTES}\nroutes_default = {{ cost = 0 }}")).await;
    let customer = world.customer("acme");
    for (path, coding, range) in [("/chat", "identity", None), ("/else", "gzip, br", Some("bytes=0-9"))] {
        // The second goes pingora's way.
        for wish in ["accept", "te"] {
            let asking = customer.ask(Method::POST, path, |request| {
                let request = request.header("accept-encoding", "gzip, br").header("range", "bytes=0-9");
                request.header("if-range", "\"a\"").header(wish, "trailers")
            });
            let (reply, head) = tokio::join!(asking, async {
                let asked = api.asked().await;
                let head = asked.head.clone();
                asked.answer(404, JSON, "{}");
                head
            });
            assert_eq!((reply.status, reply.charged()), (404, 0));
            let header = |name: &str| head.headers.get(name).map(|value| value.to_str().expect("text"));
            assert_eq!((header("accept-encoding"), header("range")), (Some(coding), range), "{path}");
            assert_eq!(header("if-range").is_some(), range.is_some());
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_before_the_next_is_sent_and_the_last_ones_tell_the_price() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    let customer = world.customer("acme");
    let (mut client, pieces) = open(&mut api, &world, &customer, "/chat").await;
    for at in 1..=20 {
        let usage = format!("{{\"at\":{at},\"usage\":{{\"total_tokens\":{at}}}}}");
        pieces.send(format!("data: {usage}\n\n"));
        client.until(&usage).await;
        assert_eq!(customer.used().await, HOLD, "until the end");
    }
    pieces.send("data: [DONE]\n\n");
    drop(pieces);
    assert!(client.end().await);
    customer.owes("api_calls=20");
    customer.until_used(20).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_client_leaves_costs_what_it_had_told_or_the_hold() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    let mut used = 0;
    let customer = world.customer("acme");
    let first = MESSAGES.find("event: ping").expect("a second event");
    let told = MESSAGES.find("event: message_stop").expect("a last event");
    for (path, said, truth) in [
        ("/messages", &MESSAGES[..first], 26),
        ("/messages", &MESSAGES[..told], 40),
        ("/chat", "data: {\"choices\":[],\"usage\":null}\n\n", HOLD),
    ] {
        let (mut client, pieces) = open(&mut api, &world, &customer, path).await;
        pieces.send(said);
        client.until(&said[said.len() - 10..]).await;
        drop(client);
        customer.owes(&format!("api_calls={truth}"));
        used += truth;
        customer.until_used(used).await;
        drop(pieces);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_api_dies_costs_nothing_whatever_it_had_told() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    let customer = world.customer("acme");
    let (mut client, pieces) = open(&mut api, &world, &customer, "/messages").await;
    pieces.send(&MESSAGES[..MESSAGES.len() - 40]);
    client.until("message_delta").await;
    pieces.break_off();
    assert!(!client.end().await);
    customer.until_used(0).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_pieces_are_cut_the_price_is_the_same() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    let customer = world.customer("acme");
    let every = setting("TOLLGATE_CUTS", 97);
    let mut used = 0;
    for cut in (1..CHAT.len()).step_by(usize::try_from(every).expect("a step")) {
        let (mut client, pieces) = open(&mut api, &world, &customer, "/chat").await;
        let (before, after) = CHAT.split_at(cut);
        pieces.send(before);
        client.until(&before[before.len().saturating_sub(8)..]).await;
        pieces.send(after);
        drop(pieces);
        assert!(client.end().await);
        customer.owes("api_calls=29");
        used += 29;
        customer.until_used(used).await;
    }
    world.finish().await;
}
