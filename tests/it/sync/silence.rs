//! A period ends, and nothing is heard.

use serde_json::json;

use super::count;
use crate::harness::{PATIENCE, World, unix_now, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_heard_of_keeps_the_tier_for_a_grace_and_has_it_again_with_the_news() {
    let world = World::builder().config("[billing]\nsilence_grace = \"2s\"").start().await;
    let (customer, subscribed) = world.subscriber("quiet", "pro").await;
    let (other, _) = world.subscriber("other", "pro").await;
    let end = unix_now() + 3;
    let period = format!("subscriptions/{}/period", subscribed.subscription);
    world.stripe.hook(&period, json!({ "start": end - 86_400, "end": end })).await;
    let shown = jiff::Timestamp::from_second(end).expect("an instant").to_string();
    until("the period is known", PATIENCE, async || {
        (customer.status().await["period"]["end"] == *shown).then_some(())
    })
    .await;
    let away = json!({ "operation": "subscriptions.*", "percent": 100, "status": 500 });
    world.stripe.hook("faults", away).await;
    until("the period has ended", PATIENCE, async || (unix_now() >= end).then_some(())).await;
    let kept = customer.status().await;
    if unix_now() < end + 2 {
        assert_eq!(kept["tier"], "pro", "within the grace");
    }
    customer.until_status("tier", "free").await;
    assert!(unix_now() >= end + 2, "not before the grace has ended");
    let status = customer.status().await;
    assert_eq!((&status["status"], &status["permissions"]["can_use"]), (&"active".into(), &true.into()));
    assert_eq!(customer.get("/signals").await.status, 200, "the outage may be ours");
    assert_eq!(other.status().await["tier"], "pro", "whose period goes on");
    let noted = "SELECT count(*) FROM audit JOIN customers ON number = customer
                 WHERE action = 'subscription_silent' AND name = 'quiet'";
    until("it is noted", PATIENCE, async || (count(&world, noted) == 1).then_some(())).await;
    assert_eq!(count(&world, "SELECT count(*) FROM audit WHERE action = 'subscription_silent'"), 1);
    world.stripe.forget_faults().await;
    customer.until_status("tier", "pro").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_who_is_silent_as_silent() {
    let mut world =
        World::builder().without_webhooks().config("[billing]\nsilence_grace = \"1s\"").start().await;
    let subscribed = world.stripe.subscribe("pro", None);
    let end = unix_now() + 2;
    let period = format!("subscriptions/{}/period", subscribed.subscription);
    world.stripe.hook(&period, json!({ "start": end - 86_400, "end": end })).await;
    let customer = world.claiming("quiet", Some(&subscribed.customer));
    customer.until_status("tier", "pro").await;
    let away = json!({ "operation": "*", "percent": 100, "status": 500 });
    world.stripe.hook("faults", away).await;
    world.gateway.stop().await;
    until("the grace has ended", PATIENCE, async || (unix_now() > end).then_some(())).await;
    world.gateway.restart().await;
    assert_eq!(customer.status().await["tier"], "free");
    world.stripe.forget_faults().await;
    until("Stripe is heard again", PATIENCE, async || {
        world.operate("/admin/sync", &json!({})).await;
        (customer.status().await["tier"] == "pro").then_some(())
    })
    .await;
    world.finish().await;
}
