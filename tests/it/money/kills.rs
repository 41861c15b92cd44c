//! `kill -9` at chosen moments; at random ones: `faults/kills.rs`.

use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_event_that_was_tried_and_never_answered_counts_once_after_a_kill() {
    let mut world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    for _ in 0..7 {
        assert_eq!(customer.get("/export/csv").await.charged(), 3);
    }
    // It takes effect, and the gateway dies before it has an answer to write down.
    world.stripe.break_meter_events(serde_json::json!({ "drop": true, "when": "after" })).await;
    let url = format!("http://{}/admin/outbox/flush", world.gateway.admin);
    let flush = reqwest::Client::new().post(url).bearer_auth(ADMIN_TOKEN).send();
    let flush = tokio::spawn(flush);
    until("the event takes effect", PATIENCE, async || {
        (world.stripe.units_of(&subscribed.customer).await == 21).then_some(())
    })
    .await;
    world.gateway.kill9();
    // Whether the flush still got its answer does not matter.
    let _ = flush.await.expect("the task ran");
    world.gateway.restart().await;
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 21);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_the_same_after_a_kill() {
    let mut world = World::start().await;
    let customer = world.customer("free-rider");
    for _ in 0..40 {
        assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    }
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 80);
    for _ in 0..10 {
        assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    }
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.finish().await;
}
