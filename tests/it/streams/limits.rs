//! Limits that are reached while an answer goes on, and what has been charged by then.

use super::api::Pieces;
use super::{Api, Open};
use crate::harness::{Customer, Reply, World};

pub(super) const ROUTES: &str = r#"
    routes = [
        { path = "/cut", on_limit = "cut", cost = { api_calls = { response_bytes = "1KiB", hold = 2 } } },
        { path = "/finish", cost = { api_calls = { response_bytes = "1KiB", hold = 2 } } },
        { path = "/timed", cost = { api_calls = { duration = "1s" } } },
        { path = "/told", on_limit = "cut", cost = { api_calls = { json = "/units", hold = 2 } } },
    ]
    tiers.free.included = { api_calls = 4 }
"#;
pub(super) const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];
/// The short way to the API, and pingora's.
const WAYS: [&str; 2] = ["", "\r\nte: trailers"];

/// A KiB.
pub(super) fn event(at: usize) -> String {
    format!("data: {at:0>1016}\n\n")
}

/// Opens a stream: the client's side and the API's.
async fn open(api: &mut Api, world: &World, customer: &Customer, head: &str) -> (Open, Pieces) {
    let mut wire = world.wire().await;
    wire.send_head(customer, head).await;
    let pieces = api.asked().await.begin(EVENTS);
    let reply = wire.answer(customer).await;
    assert!(reply.status == 200 && is_held(&reply), "{reply:?}");
    (Open::of(wire), pieces)
}

fn is_held(reply: &Reply) -> bool {
    reply.header("x-usage-cost").is_some_and(|cost| cost.ends_with(";held"))
}

async fn pass(client: &mut Open, pieces: &Pieces, at: usize) {
    pieces.send(event(at));
    client.until(&event(at)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_cuts_a_stream_before_what_exceeds_it() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    for (way, name) in WAYS.into_iter().zip(["short", "long"]) {
        let customer = world.customer(name);
        let (mut client, pieces) =
            open(&mut api, &world, &customer, &format!("GET /cut HTTP/1.1{way}")).await;
        for at in 1..=4 {
            pass(&mut client, &pieces, at).await;
            assert!(customer.used().await >= at as u64, "it is charged before it passes");
        }
        pieces.send(event(5));
        assert!(!client.end().await, "not as if it were whole");
        assert!(!client.has(&event(5)));
        customer.owes("api_calls=4");
        customer.until_used(4).await;
    }
    let refused = "tollgate_refusals_total{code=\"quota_exceeded\"}";
    assert_eq!(world.metric(refused).await, Some(2));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_to_be_finished_passes_a_limit_and_is_charged_in_full() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    for (way, name) in WAYS.into_iter().zip(["short", "long"]) {
        let customer = world.customer(name);
        let head = format!("GET /finish HTTP/1.1{way}");
        let (mut client, pieces) = open(&mut api, &world, &customer, &head).await;
        for at in 1..=9 {
            pass(&mut client, &pieces, at).await;
        }
        drop(pieces);
        assert!(client.end().await);
        customer.owes("api_calls=9");
        customer.until_used(9).await;
        assert_eq!(customer.get("/finish").await.refusal(), (429, "quota_exceeded".to_owned()));
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_nobody_pays_for_ends_a_silent_stream() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    for (way, name) in WAYS.into_iter().zip(["short", "long"]) {
        let customer = world.customer(name);
        let (mut client, pieces) =
            open(&mut api, &world, &customer, &format!("GET /timed HTTP/1.1{way}")).await;
        assert!(!client.end().await);
        customer.owes("api_calls=4");
        customer.until_used(4).await;
        drop(pieces);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_tells_is_held_against_its_limit_and_counted_once() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    let told = |units: u64| format!("data: {{\"units\":{units}}}\n\n");
    let customer = world.customer("acme");
    let (mut client, pieces) = open(&mut api, &world, &customer, "GET /told HTTP/1.1").await;
    for units in [1, 2, 3, 4, 3] {
        pieces.send(told(units));
        client.until(&told(units)).await;
    }
    pieces.send("data: end\n\n");
    drop(pieces);
    assert!(client.end().await);
    customer.owes("api_calls=3");
    customer.until_used(3).await;
    let greedy = world.customer("greedy");
    let (mut client, pieces) = open(&mut api, &world, &greedy, "GET /told HTTP/1.1").await;
    pieces.send(told(5));
    assert!(!client.end().await);
    greedy.owes("api_calls=2");
    greedy.until_used(2).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_of_a_stream_that_was_delivered() {
    let mut api = Api::start().await;
    for (way, name) in WAYS.into_iter().zip(["short", "long"]) {
        let mut world = api.world(&ROUTES.replace("{ api_calls = 4 }", "{ api_calls = 1000 }")).await;
        let customer = world.customer(name);
        let (mut client, pieces) =
            open(&mut api, &world, &customer, &format!("GET /cut HTTP/1.1{way}")).await;
        for at in 1..=30 {
            pass(&mut client, &pieces, at).await;
        }
        let used = customer.used().await;
        assert!(used >= 30, "{used}");
        world.gateway.kill9();
        world.gateway.restart().await;
        customer.owes(&format!("api_calls={used}"));
        assert_eq!(customer.used().await, used);
        drop(pieces);
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_of_a_stream_are_charged_while_they_pass() {
    let mut api = Api::start().await;
    let mut world = api.world(ROUTES).await;
    let customer = world.customer("listener");
    let (mut client, pieces) = open(&mut api, &world, &customer, "GET /finish HTTP/1.1").await;
    for at in 1..=6 {
        pass(&mut client, &pieces, at).await;
    }
    // What is held for more is as much as what has passed, though the quota has room for neither.
    customer.until_used(12).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    customer.owes("api_calls=12");
    assert_eq!(customer.used().await, 12);
    drop(pieces);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_answer_that_breaks_off_earlier_slices_stand() {
    let mut api = Api::start().await;
    let world = api.world(&ROUTES.replace("{ api_calls = 4 }", "{ api_calls = 1000 }")).await;
    let customer = world.customer("acme");
    let (mut client, pieces) = open(&mut api, &world, &customer, "GET /cut HTTP/1.1").await;
    for at in 1..=3 {
        pass(&mut client, &pieces, at).await;
    }
    pieces.break_off();
    assert!(!client.end().await);
    customer.owes("api_calls=2");
    customer.until_used(2).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_a_stream_goes_on_beyond_its_limit_and_is_charged_up_to_that() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    world.reconfigure("[tiers.free]\nmode = \"shadow\"").await;
    for (way, name) in WAYS.into_iter().zip(["short", "long"]) {
        let customer = world.customer(name);
        let head = format!("GET /cut HTTP/1.1{way}");
        let (mut client, pieces) = open(&mut api, &world, &customer, &head).await;
        for at in 1..=9 {
            pass(&mut client, &pieces, at).await;
        }
        drop(pieces);
        assert!(client.end().await, "it was not cut");
        customer.owes("api_calls=4");
        customer.until_used(4).await;

        let nearly = world.customer(&format!("nearly-{name}"));
        let (mut client, pieces) = open(&mut api, &world, &nearly, &head).await;
        for at in 1..=3 {
            pass(&mut client, &pieces, at).await;
        }
        drop(pieces);
        assert!(client.end().await);
        nearly.until_used(3).await;
        let mut wire = world.wire().await;
        wire.send_head(&nearly, &head).await;
        let pieces = api.asked().await.begin(EVENTS);
        let reply = wire.answer(&nearly).await;
        assert_eq!((reply.status, reply.header("x-usage-cost")), (200, Some("api_calls=0")));
        let mut client = Open::of(wire);
        for at in 1..=9 {
            pass(&mut client, &pieces, at).await;
        }
        drop(pieces);
        assert!(client.end().await, "nor one that began beyond it");
        nearly.owes("api_calls=3");
        assert_eq!(nearly.used().await, 3, "nor did it take the one unit that was left");
    }
    assert!(world.metric("tollgate_shadow_refusals_total{code=\"quota_exceeded\"}").await >= Some(4));
    assert_eq!(world.metric("tollgate_refusals_total{code=\"quota_exceeded\"}").await, Some(0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_an_operators_block_cuts_a_stream_that_is_over_its_limit_or_not() {
    let mut api = Api::start().await;
    let world = api.world(ROUTES).await;
    world.reconfigure("[tiers.free]\nmode = \"shadow\"").await;
    for way in WAYS {
        for passed in [2, 9] {
            let customer = world.customer(&format!("after-{passed}-{}", way.len()));
            let head = format!("GET /cut HTTP/1.1{way}");
            let (mut client, pieces) = open(&mut api, &world, &customer, &head).await;
            for at in 1..=passed {
                pass(&mut client, &pieces, at).await;
            }
            let path = format!("/admin/customers/{}/block", customer.name);
            assert_eq!(world.operate(&path, &serde_json::json!({ "reason": "abuse" })).await.status, 200);
            pieces.send((0..99).map(event).collect::<String>());
            assert!(!client.end().await, "it is cut after {passed}");
            let paid = passed.min(4) as u64;
            customer.owes(&format!("api_calls={paid}"));
            customer.until_used(paid).await;
        }
    }
    assert_eq!(world.metric("tollgate_refusals_total{code=\"customer_blocked\"}").await, Some(4));
    world.finish().await;
}
