//! Twice, resent, late, in the wrong order.

use serde_json::Value;

use crate::harness::{PATIENCE, World, until};

fn of_kind<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

async fn tier_changes(world: &World) -> u64 {
    let changes = [("free", "pro"), ("pro", "free"), ("free", "starter"), ("starter", "free")];
    let mut sum = 0;
    for (from, to) in changes {
        let line = format!("tollgate_tier_changes_total{{from=\"{from}\",to=\"{to}\"}}");
        sum += world.metric(&line).await.expect("there from the start");
    }
    sum
}

/// Waits until every event received so far has been applied.
async fn inbox_is_done(world: &World) {
    until("the inbox is done", PATIENCE, async || (world.waiting_events() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_twice_or_is_resent_changes_nothing() {
    let world = World::start().await;
    let customer = world.customer("twice");
    assert_eq!(customer.status().await["tier"], "free");
    world.stripe.buy("twice", &["price_it_pro_monthly", "price_it_pro_api_calls"]).await;
    customer.until_status("tier", "pro").await;
    until("every event arrives", PATIENCE, async || {
        let events = world.stripe.events().await;
        (world.received_events() == events.len() as u64).then_some(())
    })
    .await;
    inbox_is_done(&world).await;
    let (before, changes) = (customer.status().await, tier_changes(&world).await);
    assert_eq!(changes, 1);

    let events = world.stripe.events().await;
    let duplicates = events.len() as u64 * 2;
    for event in &events {
        assert_eq!(world.deliver(event).await.status, 200);
        let id = event["id"].as_str().expect("an id");
        world.stripe.hook(&format!("events/{id}/resend"), serde_json::json!({})).await;
    }
    until("every duplicate is counted", PATIENCE, async || {
        let counted = world.metric("tollgate_webhook_duplicates_total").await;
        (counted == Some(duplicates)).then_some(())
    })
    .await;
    inbox_is_done(&world).await;
    assert_eq!(customer.status().await, before);
    assert_eq!(tier_changes(&world).await, changes);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_arrives_after_the_end_does_not_bring_the_tier_back() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("gone");
    let subscribed = world.stripe.subscribe("pro", Some("gone"));
    world.stripe.delete(&format!("/v1/subscriptions/{}", subscribed.subscription)).await;
    let events = world.stripe.events().await;
    for kind in ["customer.subscription.deleted", "customer.subscription.created"] {
        assert_eq!(world.deliver(of_kind(&events, kind)).await.status, 200);
    }
    inbox_is_done(&world).await;
    let status = customer.status().await;
    assert_eq!((&status["status"], &status["tier"]), (&"canceled".into(), &"free".into()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_the_same_events_ends_in_the_same_truth() {
    for rotation in 0..4 {
        let world = World::builder().without_webhooks().start().await;
        let customer = world.customer("shuffled");
        let subscribed = world.stripe.subscribe("pro", Some("shuffled"));
        for status in ["past_due", "active", "unpaid"] {
            world.stripe.set_status(&subscribed.subscription, status).await;
        }
        let mut events = world.stripe.events().await;
        let by = rotation * events.len() / 4;
        events.rotate_left(by);
        if rotation % 2 == 1 {
            events.reverse();
        }
        for event in &events {
            assert_eq!(world.deliver(event).await.status, 200);
        }
        inbox_is_done(&world).await;
        assert_eq!(customer.status().await["status"], "unpaid", "rotated by {by}");
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_arrives_while_stripes_api_is_away_is_applied_when_it_is_back() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("waiting");
    world.stripe.subscribe("pro", Some("waiting"));
    let events = world.stripe.events().await;
    let away = serde_json::json!({ "operation": "subscriptions.*", "status": 500, "times": 3 });
    world.stripe.hook("faults", away).await;
    let created = of_kind(&events, "customer.subscription.created");
    assert_eq!(world.deliver(created).await.status, 200, "stored, whatever Stripe's API does");
    customer.until_status("tier", "pro").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stored_before_a_kill_is_applied_after_the_restart() {
    let mut world = World::builder().without_webhooks().start().await;
    let customer = world.customer("late");
    world.stripe.subscribe("pro", Some("late"));
    let events = world.stripe.events().await;
    let hold = serde_json::json!({ "operation": "subscriptions.*", "delay_ms": 30_000 });
    world.stripe.hook("faults", hold).await;
    let created = of_kind(&events, "customer.subscription.created");
    assert_eq!(world.deliver(created).await.status, 200);
    world.gateway.kill9();
    world.stripe.forget_faults().await;
    world.gateway.restart().await;
    customer.until_status("tier", "pro").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_event_a_claimed_customer_is_on_the_right_tier_soon() {
    let world = World::builder().without_webhooks().start().await;
    let subscribed = world.stripe.subscribe("pro", None);
    let customer = world.claiming("silent", Some(&subscribed.customer));
    assert_eq!(customer.get("/signals").await.status, 200, "the default tier at once");
    until("the tier is right", std::time::Duration::from_secs(5), async || {
        (customer.status().await["tier"] == "pro").then_some(())
    })
    .await;
    world.finish().await;
}
