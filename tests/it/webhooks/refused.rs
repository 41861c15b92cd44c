//! What the webhook believes, and what it refuses.

use serde_json::{Value, json};

use crate::harness::{PATIENCE, WEBHOOK_SECRET, World, signature, unix_now, until};

fn event(id: &str, kind: &str) -> Value {
    json!({
        "id": id,
        "object": "event",
        "type": kind,
        "created": unix_now(),
        "livemode": false,
        "data": { "object": {} },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_recent_bodies_signed_with_the_secret_are_believed() {
    let world = World::builder().without_webhooks().start().await;
    let body = event("evt_1", "customer.created").to_string();
    let (bytes, now) = (body.as_bytes(), unix_now());
    for refused in [
        String::new(),
        "nonsense".to_owned(),
        signature("whsec_another", now, bytes),
        signature(WEBHOOK_SECRET, now, b"another body"),
        signature(WEBHOOK_SECRET, now - 310, bytes),
        signature(WEBHOOK_SECRET, now + 310, bytes),
        signature(WEBHOOK_SECRET, now, bytes).replace("v1=", "v0="),
    ] {
        let reply = world.deliver_signed(body.clone(), &refused).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{refused}");
    }
    assert_eq!(world.received_events(), 0, "nothing was stored");
    for believed in [
        signature(WEBHOOK_SECRET, now, bytes),
        signature(WEBHOOK_SECRET, now - 290, bytes),
        // While a secret is being rolled there is a signature for each.
        format!("{},v1={}", signature(WEBHOOK_SECRET, now, bytes), "00".repeat(32)),
    ] {
        let reply = world.deliver_signed(body.clone(), &believed).await;
        assert_eq!(reply.status, 200, "{believed}: {}", reply.text());
    }
    assert_eq!(world.received_events(), 1, "one event, three times");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_secrets_is_good_while_one_is_being_rolled() {
    let rolled = "[stripe]\nwebhook_secrets = [\"whsec_the_new_one\", \"whsec_the_old_one\"]";
    let world = World::builder().without_webhooks().config(rolled).start().await;
    for (at, secret) in ["whsec_the_new_one", "whsec_the_old_one"].into_iter().enumerate() {
        let body = event(&format!("evt_{at}"), "customer.created").to_string();
        let signature = signature(secret, unix_now(), body.as_bytes());
        assert_eq!(world.deliver_signed(body, &signature).await.status, 200, "{secret}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_at_once_are_told_to_come_again_and_forged_ones_are_not_counted() {
    let world = World::builder().without_webhooks().config("[billing]\nwebhook_rate = \"2/h\"").start().await;
    let send = async |number: u8, secret: &str| {
        let body = event(&format!("evt_{number}"), "customer.created").to_string();
        let signature = signature(secret, unix_now(), body.as_bytes());
        world.deliver_signed(body, &signature).await
    };
    for number in 0..3 {
        assert_eq!(send(number, "whsec_forged").await.status, 400);
    }
    assert_eq!((send(0, WEBHOOK_SECRET).await.status, send(1, WEBHOOK_SECRET).await.status), (200, 200));
    let refused = send(2, WEBHOOK_SECRET).await;
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(world.received_events(), 2, "Stripe sends the third again");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_events_that_operators_look_for() {
    let world = World::start().await;
    let (_, subscribed) = world.subscriber("acme", "pro").await;
    world.stripe.set_status(&subscribed.subscription, "past_due").await;
    let body = event("evt_forged", "customer.created").to_string();
    assert_eq!(world.deliver_signed(body, "t=1,v1=00").await.status, 400);
    for name in [
        "stripe_webhook_verified",
        "stripe_webhook_handled_successfully",
        "stripe_webhook_invalid_signature",
        "subscription_activated",
        "subscription_updated",
        "payment_succeeded",
    ] {
        let line = format!(": {name}");
        until(name, PATIENCE, async || world.gateway.log().contains(&line).then_some(())).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_that_is_no_event_is_400() {
    let world = World::builder().without_webhooks().start().await;
    for body in ["", "not JSON", "[]", "{}", r#"{"type":"customer.created"}"#, r#"{"id":"evt_1"}"#] {
        let signature = signature(WEBHOOK_SECRET, unix_now(), body.as_bytes());
        let reply = world.deliver_signed(body, &signature).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{body}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_a_mebibyte_is_413_and_one_just_below_is_read() {
    let world = World::builder().without_webhooks().start().await;
    let event = |padding: usize| {
        let mut event = event("evt_1", "customer.created");
        event["padding"] = json!("x".repeat(padding));
        event
    };
    assert_eq!(world.deliver(&event((1 << 20) - 1_000)).await.status, 200);
    let reply = world.deliver(&event(1 << 20)).await;
    assert_eq!(reply.refusal(), (413, "body_too_large".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_mean_nothing_here_are_answered_200() {
    let world = World::builder().without_webhooks().start().await;
    for (at, kind) in
        ["customer.created", "radar.early_fraud_warning.created", "something.new"].iter().enumerate()
    {
        assert_eq!(world.deliver(&event(&format!("evt_{at}"), kind)).await.status, 200, "{kind}");
    }
    // A subscription that Stripe does not know is not asked about for ever.
    let mut unknown = event("evt_unknown", "customer.subscription.updated");
    unknown["data"]["object"] = json!({
        "id": "sub_unknown",
        "object": "subscription",
        "customer": "cus_unknown",
        "status": "active",
    });
    assert_eq!(world.deliver(&unknown).await.status, 200);
    crate::harness::until("it is done", crate::harness::PATIENCE, async || {
        (world.waiting_events() == 0).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_live_mode_changes_nothing_under_a_test_key() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("tester");
    world.stripe.subscribe("pro", Some("tester"));
    let events = world.stripe.events().await;
    let created = events.iter().find(|event| event["type"] == "customer.subscription.created");
    let mut live = created.expect("the creation").clone();
    live["livemode"] = json!(true);
    assert_eq!(world.deliver(&live).await.status, 200);
    assert_eq!(world.waiting_events(), 0, "nothing is left to apply");
    assert_eq!(customer.status().await["tier"], "free");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_answers_post_alone() {
    let world = World::builder().without_webhooks().start().await;
    let reply = world.ask(http::Method::GET, "/webhooks/stripe", |request| request).await;
    assert_eq!(reply.refusal(), (405, "method_not_allowed".to_owned()));
    assert_eq!(reply.header("allow"), Some("POST"));
    world.finish().await;
}
