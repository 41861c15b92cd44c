//! `explain`: the receipt of one request, as it becomes complete.

use http::Method;
use serde_json::{Value, json};

use super::{command, json};
use crate::harness::{Behaviour, Reply, World};

fn id(reply: &Reply) -> String {
    reply.header("x-request-id").expect("a request id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_everything_before_sealing_and_after_delivery() {
    let mut world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, _) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    let request = id(&customer.get("/signals/history/ACME?x=1").await);
    let before = json(&world, &["explain", &request]);
    let expected = json!({
        "request_id": request, "customer": "acme", "route": "/signals/history/{symbol}", "method": "GET",
        "status": 200, "tier": "pro", "cost": { "api_calls": 2 }, "kind": "charge", "corrected": null,
        "drawn": { "api_calls": { "included": 2, "extra": 0, "credits": 0, "overage": 0 } },
        "totals": { "api_calls": { "before": 3, "after": 5, "complete": true } },
        "meter_event": null, "idempotency_key": false, "foreign_request_id": null,
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&before[key], value, "{key} of {before}");
    }
    assert!(before["no_meter_event"].as_str().is_some_and(|why| why.contains("not sealed")), "{before}");
    assert_eq!(before["configuration"]["fingerprint"].as_str().expect("hex").len(), 8);
    assert!(before["configuration"]["since"].is_string(), "{before}");

    world.flush_all().await;
    let later = id(&customer.get("/signals").await);
    let after = json(&world, &["explain", &request]);
    let event = &after["meter_event"];
    assert_eq!((&event["value"], &event["state"]), (&json!(5), &json!("delivered")), "{after}");
    let at_stripe = event["identifier"].as_str().expect("an identifier");
    assert!(at_stripe.starts_with("tg-"), "{at_stripe}");
    assert_eq!(world.batches(), [(5, event["timestamp"].as_i64().expect("seconds"))]);
    assert_eq!(json(&world, &["explain", &later])["meter_event"], Value::Null, "a later one is in no event");
    let shown = command(&world, &["explain", &request]);
    assert!(shown.stdout.contains(at_stripe) && shown.stdout.contains("api_calls=2"), "{}", shown.stdout);

    world.gateway.stop().await;
    world.gateway.restart().await;
    assert_eq!(json(&world, &["explain", &request]), after, "a restart changes no receipt");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_repeat_has_a_receipt_that_names_what_it_repeated() {
    let world = World::start().await;
    let customer = world.customer("acme");
    let send = || customer.ask(Method::POST, "/signals", |request| request.header("idempotency-key", "k1"));
    let (charged, repeat) = (send().await, send().await);
    assert_eq!((charged.charged(), repeat.charged()), (1, 0));
    world.flush().await;
    let receipt = json(&world, &["explain", &id(&repeat)]);
    assert_eq!((&receipt["kind"], &receipt["repeat_of"]), (&json!("repeat"), &json!(id(&charged))));
    let shown = command(&world, &["explain", &id(&repeat)]).stdout;
    assert!(shown.contains(&format!("nothing: it repeated {}", id(&charged))), "{shown}");
    let lines = command(&world, &["ledger", "export"]).stdout;
    assert!(lines.lines().count() == 2 && lines.contains("\"kind\":\"repeat\""), "{lines}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_shows_on_the_receipt() {
    let world = World::start().await;
    let customer = world.customer("acme");
    world.upstream.on("/export/pdf", Behaviour::CutMidBody);
    assert!(customer.try_get("/export/pdf").await.is_err(), "the upstream dies in mid-body");
    world.flush().await;
    let lines = command(&world, &["ledger", "export"]).stdout;
    let charge: Value = serde_json::from_str(lines.lines().next().expect("a record")).expect("JSON");
    let receipt = json(&world, &["explain", charge["request_id"].as_str().expect("an id")]);
    assert_eq!(receipt["cost"], json!({ "api_calls": 5 }));
    assert_eq!(receipt["corrected"]["cost"], json!({ "api_calls": 0 }), "{receipt}");
    assert!(receipt["no_meter_event"].as_str().is_some_and(|why| why.contains("taken back")), "{receipt}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_a_trusted_proxy_sent_leads_to_the_receipt_too() {
    let world = World::builder().config("[server]\ntrusted_proxies = [\"127.0.0.1/32\"]").start().await;
    let customer = world.customer("acme");
    // One that is no UUID, and one that looks like ours.
    for foreign in ["req/7 a", "019f0000-0000-7000-8000-000000000001"] {
        let ask =
            || customer.ask(http::Method::GET, "/signals", |request| request.header("x-request-id", foreign));
        assert_eq!(id(&ask().await), foreign);
        let receipt = json(&world, &["explain", foreign]);
        assert_eq!((&receipt["foreign_request_id"], &receipt["customer"]), (&json!(foreign), &json!("acme")));
        let ours = receipt["request_id"].as_str().expect("an id").to_owned();
        assert_eq!(json(&world, &["explain", &ours])["foreign_request_id"], foreign);
        assert_eq!(ask().await.status, 200);
        let again = json(&world, &["explain", foreign]);
        assert_ne!(again["request_id"], json!(ours), "the latest");
        assert_eq!(again["earlier_requests"], json!([ours]));
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_record_is_said_to_have_none_and_a_malformed_id_is_usage() {
    let world = World::start().await;
    let customer = world.customer("acme");
    let free = id(&customer.get("/free").await);
    for unknown in [free.as_str(), "never-seen", "0199aaaa-0000-7000-8000-000000000000"] {
        let ended = command(&world, &["explain", unknown]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{unknown}");
        assert!(ended.stderr.contains("refused") && ended.stderr.contains("retention"), "{}", ended.stderr);
    }
    for malformed in ["", "tab\there", &"x".repeat(256)] {
        assert_eq!(command(&world, &["explain", malformed]).code, Some(2), "{malformed:?}");
    }
    let unlinked = id(&customer.get("/signals").await);
    world.flush().await;
    let receipt = json(&world, &["explain", &unlinked]);
    assert!(
        receipt["no_meter_event"].as_str().is_some_and(|why| why.contains("no Stripe customer")),
        "{receipt}"
    );
    world.finish().await;
}
