//! A client's retry under its `Idempotency-Key` is charged once.

use http::Method;
use tokio::task::JoinHandle;

use crate::harness::{Behaviour, Customer, Reply, World};

/// POSTs a body under a key.
async fn post(customer: &Customer, path: &str, key: &str, body: &str) -> Reply {
    ask(customer, Method::POST, path, key, body).await
}

async fn ask(customer: &Customer, method: Method, path: &str, key: &str, body: &str) -> Reply {
    let (key, body) = (key.to_owned(), body.to_owned());
    customer.ask(method, path, |request| request.header("idempotency-key", key).body(body)).await
}

/// The same beside the test.
fn posting(customer: &Customer, path: &'static str, key: &'static str) -> JoinHandle<Reply> {
    let customer = customer.clone();
    tokio::spawn(async move { post(&customer, path, key, "{}").await })
}

fn free_tier(included: u64) -> String {
    format!("[tiers.free]\nincluded = {{ api_calls = {included} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_forwarded_again_and_costs_nothing() {
    let world = World::start().await;
    let customer = world.customer("retrier");
    let body = "x".repeat(10_000);
    let first = post(&customer, "/export/csv", "order-1", &body).await;
    assert_eq!((first.status, first.header("x-usage-cost")), (200, Some("api_calls=3")));
    let again = post(&customer, "/export/csv", "order-1", &body).await;
    assert_eq!((again.status, again.header("x-usage-cost")), (200, Some("api_calls=0")));
    assert!(again.header("ratelimit").is_some_and(|limits| limits.contains("r=97")), "{again:?}");
    let (first, again) = (first.json(), again.json());
    for arrived in [&first, &again] {
        assert_eq!(arrived["body_bytes"], 10_000);
        assert_eq!(arrived["headers"]["idempotency-key"], serde_json::json!(["order-1"]));
    }
    assert_eq!(first["body_sha256"], again["body_sha256"]);
    assert_eq!(world.upstream.hits("/export/csv"), 2);
    assert_eq!(customer.used().await, 3);
    assert_eq!(world.metric("tollgate_repeats_total").await, Some(1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_not_the_same_request_is_charged_whatever_its_key() {
    let world = World::start().await;
    let (customer, other) = (world.customer("acme"), world.customer("other"));
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        assert_eq!(ask(&customer, method.clone(), "/export/csv?a=1", "k", "body").await.charged(), 3);
        assert_eq!(ask(&customer, method, "/export/csv?a=1", "k", "body").await.charged(), 0);
    }
    for (path, key, body, charged) in [
        ("/export/csv?a=1", "k", "other body", 3),
        ("/export/csv?a=1", "k", "", 3),
        ("/export/csv?a=2", "k", "body", 3),
        ("/export/csv", "k", "body", 3),
        ("/export/pdf?a=1", "k", "body", 5),
        ("/export/csv?a=1", "l", "body", 3),
        ("/export/csv?a=1", "K", "body", 3),
        // The same to the letter, and in other spellings of the path.
        ("/export/csv?a=1", "k", "body", 0),
        ("//export/./csv/?a=1", "k", "body", 0),
    ] {
        let reply = post(&customer, path, key, body).await;
        assert_eq!((reply.status, reply.charged()), (200, charged), "{path} {key} {body}");
    }
    assert_eq!(post(&other, "/export/csv?a=1", "k", "body").await.charged(), 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_mean_nothing_on_other_methods_and_on_routes_without_cost() {
    let world = World::start().await;
    let customer = world.customer("reader");
    for key in ["k", ""] {
        for _ in 0..2 {
            assert_eq!(ask(&customer, Method::GET, "/signals", key, "").await.charged(), 1);
            let free = post(&customer, "/free", key, "").await;
            assert_eq!((free.status, free.header("x-usage-cost")), (200, None));
            let public = world.ask(Method::POST, "/health", |request| request.header("idempotency-key", key));
            assert_eq!(public.await.status, 200);
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charged_key_and_its_repeats_are_remembered_over_kill_9() {
    let mut world = World::builder().config("[billing]\nidempotency_repeats = 3").start().await;
    let customer = world.customer("survivor");
    assert_eq!(post(&customer, "/export/pdf", "k", "{}").await.charged(), 5);
    for _ in 0..3 {
        world.gateway.kill9();
        world.gateway.restart().await;
        assert_eq!(
            post(&customer, "/export/pdf", "k", "{}").await.header("x-usage-cost"),
            Some("api_calls=0")
        );
    }
    world.gateway.stop().await;
    world.gateway.restart().await;
    assert_eq!(post(&customer, "/export/pdf", "k", "{}").await.charged(), 5, "the fourth repeat");
    assert_eq!(customer.used().await, 10);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_taken_back_is_forgotten_over_kill_9_too() {
    let mut world = World::start().await;
    let customer = world.customer("unlucky");
    world.upstream.in_turn("/export/pdf", [Behaviour::CutMidBody]);
    let broken = customer
        .try_ask(Method::POST, "/export/pdf", |request| request.header("idempotency-key", "k").body("{}"));
    assert!(broken.await.is_err(), "the body breaks off");
    customer.until_used(0).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(post(&customer, "/export/pdf", "k", "{}").await.charged(), 5);
    assert_eq!(post(&customer, "/export/pdf", "k", "{}").await.charged(), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_twins_at_once_need_the_units_of_one_and_are_charged_once() {
    let world = World::builder().config(&free_tier(5)).start().await;
    let customer = world.customer("parallel");
    world.upstream.on("/export/pdf", Behaviour::Held);
    let twins: Vec<_> = (0..16).map(|_| posting(&customer, "/export/pdf", "k")).collect();
    world.upstream.arrived("/export/pdf", 16).await;
    assert_eq!(
        customer.get("/signals").await.refusal(),
        (429, "quota_exceeded".to_owned()),
        "all 5 are held"
    );
    world.upstream.release();
    let mut charged = Vec::new();
    for twin in twins {
        let reply = twin.await.expect("the task ran");
        assert_eq!(reply.status, 200, "{}", reply.text());
        charged.push(reply.charged());
    }
    charged.sort_unstable();
    assert_eq!(charged, [vec![0; 15], vec![5]].concat());
    assert_eq!(customer.used().await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_first_is_not_charged_the_next_is() {
    let world = World::start().await;
    let customer = world.customer("persistent");
    world.upstream.in_turn("/signals", [Behaviour::Status(500), Behaviour::HangUp, Behaviour::Status(404)]);
    for (status, cost) in [(500, 0), (502, 0), (404, 0), (200, 1), (200, 0)] {
        let reply = post(&customer, "/signals", "k", "{}").await;
        assert_eq!((reply.status, reply.charged()), (status, cost));
    }
    assert_eq!(customer.used().await, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_takes_over_from_one_that_fails_and_from_one_that_is_taken_back() {
    for fails in [Behaviour::Status(500), Behaviour::HangUp, Behaviour::CutMidBody] {
        let world = World::builder().config(&free_tier(5)).start().await;
        let customer = world.customer("heir");
        world.upstream.in_turn("/export/pdf", [Behaviour::Held, fails]);
        let heir = posting(&customer, "/export/pdf", "k");
        world.upstream.arrived("/export/pdf", 1).await;
        let failed = customer.try_ask(Method::POST, "/export/pdf", |request| {
            request.header("idempotency-key", "k").body("{}")
        });
        assert!(failed.await.map_or(0, |reply| reply.charged()) == 0);
        customer.until_used(0).await;
        assert_eq!(customer.get("/signals").await.refusal().0, 429, "the twin still holds the units");
        world.upstream.release();
        assert_eq!(heir.await.expect("the task ran").charged(), 5);
        assert_eq!(customer.used().await, 5);
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_twins_fail_the_units_come_back() {
    let world = World::builder().config(&free_tier(5)).start().await;
    let customer = world.customer("hopeless");
    world.upstream.in_turn("/export/pdf", [Behaviour::Held, Behaviour::Status(500)]);
    // The one that is held leaves by itself.
    let mut wire = world.wire().await;
    wire.send_head(&customer, "POST /export/pdf HTTP/1.1\r\ncontent-length: 0\r\nidempotency-key: k").await;
    world.upstream.arrived("/export/pdf", 1).await;
    assert_eq!(post(&customer, "/export/pdf", "k", "").await.status, 500);
    assert_eq!(customer.get("/signals").await.refusal().0, 429, "one still holds the units");
    drop(wire);
    crate::harness::until("the units come back", crate::harness::PATIENCE, async || {
        (customer.get("/signals").await.status == 200).then_some(())
    })
    .await;
    world.upstream.release();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_passes_when_the_quota_is_used_up_and_not_when_the_rate_is() {
    let limits = format!("{}\nrate = \"1/h\"\nburst = 4", free_tier(1));
    let world = World::builder().config(&limits).start().await;
    let customer = world.customer("spent");
    assert_eq!(post(&customer, "/signals", "k", "{}").await.charged(), 1);
    let refused = post(&customer, "/signals", "another", "{}").await;
    assert_eq!(refused.refusal(), (429, "quota_exceeded".to_owned()));
    for _ in 0..3 {
        let repeat = post(&customer, "/signals", "k", "{}").await;
        assert_eq!((repeat.status, repeat.header("x-usage-cost")), (200, Some("api_calls=0")));
    }
    assert_eq!(post(&customer, "/signals", "k", "{}").await.refusal(), (429, "rate_limited".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_repeats_are_charged_and_forgotten_keys_too() {
    let config = "[billing]\nidempotency_repeats = 2\nidempotency_keys = 2";
    let world = World::builder().config(config).start().await;
    let customer = world.customer("stubborn");
    for cost in [1, 0, 0, 1, 1] {
        assert_eq!(post(&customer, "/signals", "k", "{}").await.charged(), cost);
    }
    for key in ["l", "m"] {
        assert_eq!(post(&customer, "/signals", key, "{}").await.charged(), 1);
    }
    assert_eq!(post(&customer, "/signals", "l", "{}").await.charged(), 0);
    assert_eq!(
        post(&customer, "/signals", "k", "{}").await.charged(),
        1,
        "the oldest of three was forgotten"
    );
    assert_eq!(post(&customer, "/signals", "k", "{}").await.charged(), 0, "and is charged anew");
    world.finish().await;
}
