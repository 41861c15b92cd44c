//! Whatever Stripe does to a meter event, it counts exactly once.

use serde_json::{Value, json};

use crate::harness::{PATIENCE, World, until};

/// Uses 8 units, has the first tries of their meter event meet `faults`, and expects 8 units at Stripe.
async fn counts_once(faults: &[Value]) {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    for _ in 0..4 {
        assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    }
    for fault in faults {
        world.stripe.break_meter_events(fault.clone()).await;
    }
    assert_eq!(world.flush().await, 1, "the first try fails, and the event waits");
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 8, "after {faults:?}");
    assert_eq!(world.stripe.get("/_sandbox/faults").await, json!([]), "every fault struck");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_before_it_took_effect() {
    counts_once(&[json!({ "status": 500, "when": "before" })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_it_took_effect() {
    counts_once(&[json!({ "status": 500, "when": "after" })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_page_instead_of_an_answer() {
    counts_once(&[json!({ "status": 502, "html": true, "when": "after" })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_dropped_before_it_took_effect() {
    counts_once(&[json!({ "drop": true, "when": "before" })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_dropped_after_it_took_effect() {
    counts_once(&[json!({ "drop": true, "when": "after" })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests() {
    counts_once(&[json!({ "status": 429 })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failure_after_the_other() {
    counts_once(&[
        json!({ "status": 429 }),
        json!({ "status": 500, "when": "before" }),
        json!({ "drop": true, "when": "after" }),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_waited_for_and_counts_once() {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.stripe.break_meter_events(json!({ "delay_ms": 700 })).await;
    assert_eq!(world.flush().await, 0);
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_accepted_before_a_restart_is_not_sent_again() {
    let mut world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.stripe.break_meter_events(json!({ "drop": true, "when": "after" })).await;
    assert_eq!(world.flush().await, 1, "tried, taken, unanswered");
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    world.gateway.stop().await;
    world.gateway.restart().await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    world.flush_all().await;
    until("the rest is sealed and sent", PATIENCE, async || {
        world.flush_all().await;
        (world.stripe.units_of(&subscribed.customer).await == 8).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_flow_while_stripe_is_away_and_everything_is_sent_when_it_is_back() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    world.stripe.hook("faults", json!({ "operation": "*", "drop": true, "times": 1_000 })).await;
    for _ in 0..50 {
        let reply = customer.get("/signals").await;
        assert_eq!((reply.status, reply.charged()), (200, 1));
    }
    until("the backlog shows", PATIENCE, async || {
        let pending = world.metric("tollgate_outbox_pending").await;
        (pending == Some(1)).then_some(())
    })
    .await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0);
    world.stripe.forget_faults().await;
    world.flush_all().await;
    until("everything is sealed and sent", PATIENCE, async || {
        world.flush_all().await;
        (world.stripe.units_of(&subscribed.customer).await == 50).then_some(())
    })
    .await;
    world.finish().await;
}
