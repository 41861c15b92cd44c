//! From free to pro, within a second.

use std::time::{Duration, Instant};

use tollgate::sandbox::EventShape;

use crate::harness::{PATIENCE, World, until};

const PRO: [&str; 2] = ["price_it_pro_monthly", "price_it_pro_api_calls"];
/// From the payment to the tier in force.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_free_customer_who_pays_is_on_pro_within_a_second_and_keeps_the_free_usage_apart() {
    let world = World::start().await;
    let customer = world.customer("climber");
    for _ in 0..20 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    assert_eq!(customer.get("/premium").await.refusal(), (403, "feature_not_included".to_owned()));

    let session = world.stripe.buy("climber", &PRO).await;
    let paid = Instant::now();
    until("the paid tier is in force", EFFECTIVE_WITHIN, async || {
        (customer.get("/premium").await.status == 200).then_some(())
    })
    .await;
    eprintln!("the tier was in force {:?} after the payment", paid.elapsed());

    let status = customer.status().await;
    assert_eq!((&status["tier"], &status["status"]), (&"pro".into(), &"active".into()));
    assert_eq!(status["usage"]["api_calls"]["included"], 10_000);
    let told = customer.get("/signals").await.json()["headers"]["x-tollgate-tier"].clone();
    assert_eq!(told, serde_json::json!(["pro"]));
    let at_stripe = session["customer"].as_str().expect("a customer");
    until("the usage arrives at the new customer", PATIENCE, async || {
        world.flush_all().await;
        (world.stripe.units_of(at_stripe).await >= 2).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_the_shape_of_older_endpoints_have_the_same_effect() {
    let world = World::builder().event_shape(EventShape::PreBasil).start().await;
    let customer = world.customer("old-timer");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let session = world.stripe.buy("old-timer", &PRO).await;
    customer.until_status("tier", "pro").await;
    let subscription = session["subscription"].as_str().expect("a subscription").to_owned();
    world.stripe.hook(&format!("subscriptions/{subscription}/payment_failed"), serde_json::json!({})).await;
    customer.until_status("status", "past_due").await;
    assert_eq!(customer.get("/premium").await.status, 200, "within the grace");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_whose_metadata_names_the_customer_needs_no_claim_in_the_token() {
    let world = World::start().await;
    let customer = world.customer("named");
    assert_eq!(customer.status().await["tier"], "free");
    world.stripe.subscribe("starter", Some("named"));
    customer.until_status("tier", "starter").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_price_changes_the_tier() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("mover", "starter").await;
    let subscription = format!("/v1/subscriptions/{}", subscribed.subscription);
    let items = world.stripe.get(&subscription).await["items"]["data"].clone();
    let mut form = Vec::new();
    for (at, item) in items.as_array().expect("items").iter().enumerate() {
        let metered = item["price"]["recurring"]["usage_type"] == "metered";
        form.push((format!("items[{at}][id]"), item["id"].as_str().expect("an id").to_owned()));
        form.push((format!("items[{at}][price]"), PRO[usize::from(metered)].to_owned()));
    }
    let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    world.stripe.post(&subscription, &form).await;
    customer.until_status("tier", "pro").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yearly_price_gives_its_tier_with_monthly_quota_windows() {
    let world = World::start().await;
    let customer = world.customer("planner");
    // The metered item, monthly, stands beside the yearly fee.
    world.stripe.buy("planner", &["price_it_pro_yearly", "price_it_pro_api_calls"]).await;
    customer.until_status("tier", "pro").await;
    let status = customer.status().await;
    let instant = |value: &serde_json::Value| -> jiff::Timestamp {
        value.as_str().expect("an instant").parse().expect("RFC 3339")
    };
    let days = |from: &serde_json::Value, to: &serde_json::Value| {
        (instant(to).as_second() - instant(from).as_second()) / 86_400
    };
    let (start, end) = (&status["period"]["start"], &status["period"]["end"]);
    assert!((28..=31).contains(&days(start, end)), "{status}");
    assert!((365..=366).contains(&days(start, &status["expires_at"])), "paid for a year: {status}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yearly_price_alone_gives_monthly_quota_windows_too() {
    let world = World::start().await;
    let customer = world.customer("planner");
    world.stripe.buy("planner", &["price_it_pro_yearly"]).await;
    customer.until_status("tier", "pro").await;
    let status = customer.status().await;
    let second = |key: &str| -> i64 {
        let instant: jiff::Timestamp =
            status["period"][key].as_str().expect("an instant").parse().expect("RFC 3339");
        instant.as_second()
    };
    assert!((28..=31).contains(&((second("end") - second("start")) / 86_400)), "{status}");
    world.finish().await;
}
