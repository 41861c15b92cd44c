//! What the daily look tells, and the weekly report.

use http::Method;
use serde_json::{Value, json};

use super::{store, told, until_settled};
use crate::harness::{ADMIN_TOKEN, World, rfc3339, unix_now};

const DAY: i64 = 86_400;

/// The gateway finds that it has not looked yet.
async fn another_day(world: &mut World) {
    until_settled(world).await;
    world.gateway.stop().await;
    store(world).execute("DELETE FROM meta WHERE key = 'daily'", []).expect("the store's facts");
    world.gateway.restart().await;
}

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_told_before_it_ends_and_once() {
    let (mut world, listener) = told("").await;
    let form = [("metadata[tollgate_customer]", "acme")];
    let customer = id(&world.stripe.post("/v1/customers", &form).await);
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", "price_it_pro_monthly"),
        ("trial_period_days", "2"),
    ];
    let subscription = id(&world.stripe.post("/v1/subscriptions", &form).await);
    let acme = world.claiming("acme", Some(&customer));
    acme.until_status("status", "trialing").await;
    listener.hears("tier.changed", 1).await;
    for _ in 0..2 {
        another_day(&mut world).await;
        let told = listener.data_of("trial.ending").await;
        assert_eq!((&told["customer"], &told["subscription"]), (&json!("acme"), &json!(subscription)));
        assert_eq!((&told["tier"], &told["status"]), (&json!("pro"), &json!("trialing")));
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_customers_of_one_subscription_is_told_once_whoever_heard_first() {
    let (mut world, listener) = told("").await;
    let customer = id(&world.stripe.post("/v1/customers", &[]).await);
    for name in ["first", "second"] {
        assert_eq!(world.claiming(name, Some(&customer)).get("/signals").await.status, 200);
    }
    // A trial that is shorter than three days is told of at once by Stripe, whose event names the second.
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", "price_it_pro_monthly"),
        ("trial_period_days", "2"),
        ("metadata[tollgate_customer]", "second"),
    ];
    world.stripe.post("/v1/subscriptions", &form).await;
    assert_eq!(listener.data_of("trial.ending").await["customer"], "second");
    for _ in 0..2 {
        another_day(&mut world).await;
        let told = listener.hears("trial.ending", 2).await;
        assert_eq!(told[1].json["data"]["customer"], "first");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_be_renewed_is_told_before_it_ends() {
    let (mut world, listener) = told("").await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    let subscription = &subscribed.subscription;
    let now = unix_now();
    let period = json!({ "start": now - 27 * DAY, "end": now + 3 * DAY });
    world.stripe.hook(&format!("subscriptions/{subscription}/period"), period).await;
    let path = format!("/v1/subscriptions/{subscription}");
    world.stripe.post(&path, &[("cancel_at_period_end", "true")]).await;
    let end = rfc3339(now + 3 * DAY);
    acme.until_status("expires_at", &end).await;
    another_day(&mut world).await;
    let told = listener.data_of("subscription.expiring").await;
    assert_eq!((&told["customer"], &told["expires_at"]), (&json!("acme"), &json!(end)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_grace_is_told_before_it_comes() {
    let (mut world, listener) = told("[billing]\npast_due_grace = \"36h\"").await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    world.stripe.hook(&format!("subscriptions/{}/payment_failed", subscribed.subscription), json!({})).await;
    acme.until_status("status", "past_due").await;
    listener.hears("grace.started", 1).await;
    another_day(&mut world).await;
    let told = listener.data_of("grace.ending").await;
    assert_eq!((&told["customer"], &told["status"]), (&json!("acme"), &json!("past_due")));
    assert_eq!(told["expires_at"], acme.status().await["expires_at"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_is_reported_once_it_is_over_and_what_it_held() {
    let (mut world, listener) = told("").await;
    world.subscriber("acme", "pro").await;
    listener.hears("tier.changed", 1).await;
    another_day(&mut world).await;
    assert_eq!(listener.of("report.weekly").len(), 0, "the first report is of a whole week");
    until_settled(&world).await;
    world.gateway.stop().await;
    // All that happened was last week, which has not been reported.
    store(&world)
        .execute_batch(&format!(
            "UPDATE state_changes SET at = at - {week}; UPDATE customers SET first_seen = first_seen - {week};
             INSERT INTO payments (id, kind, outcome, amount_minor, currency, at)
             SELECT 'in_1', 'invoice', 'succeeded', 9900, 'usd', at FROM state_changes LIMIT 1;
             UPDATE meta SET value = x'30' WHERE key = 'weekly'; DELETE FROM meta WHERE key = 'daily';",
            week = 7 * DAY,
        ))
        .expect("the store");
    world.gateway.restart().await;
    let report = listener.data_of("report.weekly").await;
    assert_eq!(report["subscriptions"], json!([{ "tier": "pro", "status": "active", "count": 1 }]));
    assert_eq!(report["tier_changes"], json!([{ "from": "free", "to": "pro", "count": 1 }]));
    assert_eq!(report["status_changes"], json!([{ "to": "active", "count": 1 }]));
    let paid = json!([{ "outcome": "succeeded", "currency": "usd", "count": 1, "amount_minor": 9_900 }]);
    assert_eq!((&report["payments"], &report["new_customers"]), (&paid, &json!(1)));
    another_day(&mut world).await;
    assert_eq!(listener.of("report.weekly").len(), 1);
    let log = world.admin(Method::GET, "/admin/notices?type=report.weekly", Some(ADMIN_TOKEN)).await;
    assert_eq!(log.json()["data"][0]["customer"], Value::Null);
    world.finish().await;
}
