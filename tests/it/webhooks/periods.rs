//! Quota windows follow Stripe's periods.

use std::time::Duration;

use serde_json::json;

use crate::harness::{PATIENCE, World, unix_now, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_the_metered_items_period_as_stripe_has_it() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let (start, end) = (unix_now() - 5 * 86_400, unix_now() + 9 * 86_400);
    let period = format!("subscriptions/{}/period", subscribed.subscription);
    world.stripe.hook(&period, json!({ "start": start, "end": end })).await;
    let shown = |instant: i64| jiff::Timestamp::from_second(instant).expect("an instant").to_string();
    until("the period is known", PATIENCE, async || {
        let status = customer.status().await;
        (status["period"] == json!({ "start": shown(start), "end": shown(end) })).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_periods_end_the_quota_begins_anew_by_itself_and_stripe_gets_both_periods() {
    let world =
        World::builder().without_webhooks().config("[billing]\nflush_interval = \"1h\"").start().await;
    let subscribed = world.stripe.subscribe("pro", Some("acme"));
    let end = unix_now() + 3;
    let period = format!("subscriptions/{}/period", subscribed.subscription);
    world.stripe.hook(&period, json!({ "start": end - 86_400, "end": end })).await;
    let customer = world.claiming("acme", Some(&subscribed.customer));
    customer.until_status("tier", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    assert_eq!(customer.used().await, 5);
    // No news comes, and the re-read is due 20 s after the end: the window rolls by the clock.
    until("the window rolls", Duration::from_secs(10), async || (customer.used().await == 0).then_some(()))
        .await;
    assert!(unix_now() >= end, "not before the period's end");
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    assert_eq!(customer.used().await, 3);
    assert_eq!(world.flush().await, 0);
    let batches = world.batches();
    assert_eq!(batches.len(), 2, "no batch spans the edge: {batches:?}");
    assert!(
        batches[0].1 < end && batches[1].1 >= end,
        "each lies in its period, which ends at {end}: {batches:?}"
    );
    assert_eq!((batches[0].0, batches[1].0), (5, 3));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_a_period_reaches_stripe_around_its_end_however_long_the_interval_is() {
    let world =
        World::builder().without_webhooks().config("[billing]\nflush_interval = \"24h\"").start().await;
    let subscribed = world.stripe.subscribe("pro", Some("acme"));
    let end = unix_now() + 6;
    let period = format!("subscriptions/{}/period", subscribed.subscription);
    world.stripe.hook(&period, json!({ "start": end - 86_400, "end": end })).await;
    let customer = world.claiming("acme", Some(&subscribed.customer));
    customer.until_status("tier", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    until("the window rolls", PATIENCE, async || (customer.used().await == 0).then_some(())).await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    until("the old period's usage is at Stripe", PATIENCE, async || {
        (world.stripe.units_of(&subscribed.customer).await == 5).then_some(())
    })
    .await;
    assert!(
        world.batches().iter().all(|(units, at)| (*units, *at < end) == (5, true)),
        "{:?}",
        world.batches()
    );
    world.flush_all().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_sent_at_once_when_the_subscription_is_deleted() {
    let world = World::builder().config("[billing]\nflush_interval = \"24h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.stripe.delete(&format!("/v1/subscriptions/{}", subscribed.subscription)).await;
    until("its usage is at Stripe", PATIENCE, async || {
        (world.stripe.units_of(&subscribed.customer).await == 5).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_learned_late_splits_what_was_not_sealed_yet() {
    let world =
        World::builder().without_webhooks().config("[billing]\nflush_interval = \"24h\"").start().await;
    let unlinked = world.customer("acme");
    assert_eq!(unlinked.get("/export/csv").await.charged(), 3);
    let before = unix_now();
    until("the next second", PATIENCE, async || (unix_now() > before).then_some(())).await;
    // Stripe's period begins here, and nobody tells the gateway.
    let edge = unix_now();
    let subscribed = world.stripe.subscribe("pro", None);
    let period = format!("subscriptions/{}/period", subscribed.subscription);
    world.stripe.hook(&period, json!({ "start": edge, "end": edge + 30 * 86_400 })).await;
    assert_eq!(unlinked.get("/export/pdf").await.charged(), 5);
    let customer = world.claiming("acme", Some(&subscribed.customer));
    customer.until_status("tier", "pro").await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    // What moves to a period with an unanswered batch follows in the next one.
    world.flush_all().await;
    until("what moved counts in the quota", PATIENCE, async || (customer.used().await == 6).then_some(()))
        .await;
    world.flush_all().await;
    let units = |behind: bool| {
        let side = world.batches().into_iter().filter(|(_, at)| (*at >= edge) == behind);
        side.map(|(units, _)| units).sum::<i64>()
    };
    assert_eq!((units(false), units(true)), (3, 6), "the edge is at {edge}: {:?}", world.batches());
    world.finish().await;
}
