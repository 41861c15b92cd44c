//! The whole path by HTTP: free, checkout, pay, pro, overage, upgrade, cancel, free again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{SELLING, done, order, post, rows, text};
use crate::harness::{CheckoutPage, PATIENCE, World, unix_now, until};

/// From the payment to the tier in force.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(1);

/// Two requests use up what pro includes. A third tier is sold by lookup keys alone.
const MORE: &str = r#"
    routes = [{ path = "/signals", cost = 1 }, { path = "/bulk", cost = 5001 }]

    [tiers.scale]
    price = { monthly = "299.00" }
    included = { api_calls = 100000 }
    overage = { unit_amount = { api_calls = "0.01" } }
"#;

async fn sell_scale(world: &World) {
    let meters = rows(world, "/v1/billing/meters").await;
    let product = world.stripe.post("/v1/products", &[("name", "Scale")]).await;
    let common = [("product", text(&product["id"])), ("currency", "usd"), ("recurring[interval]", "month")];
    let flat = [("unit_amount", "29900"), ("lookup_key", "tollgate_scale_monthly")];
    world.stripe.post("/v1/prices", &[&common[..], &flat].concat()).await;
    let graduated = [
        ("lookup_key", "tollgate_scale_api_calls"),
        ("recurring[usage_type]", "metered"),
        ("recurring[meter]", text(&meters[0]["id"])),
        ("billing_scheme", "tiered"),
        ("tiers_mode", "graduated"),
        ("tiers[0][up_to]", "100000"),
        ("tiers[0][unit_amount]", "0"),
        ("tiers[1][up_to]", "inf"),
        ("tiers[1][unit_amount]", "1"),
    ];
    world.stripe.post("/v1/prices", &[&common[..], &graduated].concat()).await;
}

/// What the next invoice asks for usage, in dollars.
async fn previewed_overage(world: &World, stripe_customer: &str) -> String {
    let preview = world.stripe.post("/v1/invoices/create_preview", &[("customer", stripe_customer)]).await;
    let lines = preview["lines"]["data"].as_array().expect("lines");
    let metered =
        lines.iter().filter(|line| text(&line["pricing"]["price_details"]["price"]).contains("api_calls"));
    let cents: i64 = metered.map(|line| line["amount"].as_i64().expect("cents")).sum();
    assert!(cents > 0, "no overage: {preview}");
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_buys_uses_more_upgrades_cancels_and_is_free_again() {
    let world = World::builder().config(SELLING).config(MORE).start().await;
    sell_scale(&world).await;
    let customer = world.customer("climber");
    let status = customer.status().await;
    assert_eq!((&status["tier"], &status["permissions"]["can_purchase"]), (&json!("free"), &json!(true)));

    let session = done(&post(&customer, "/billing/checkout", &order("pro")).await);
    let back = CheckoutPage::open(text(&session["url"])).await.pay().await;
    let paid = Instant::now();
    assert_eq!(back, format!("https://app.example/thanks?session={}", text(&session["session_id"])));
    until("pro is in force", EFFECTIVE_WITHIN, async || {
        (customer.status().await["tier"] == "pro").then_some(())
    })
    .await;
    eprintln!("pro was in force {:?} after the payment", paid.elapsed());

    for _ in 0..2 {
        assert_eq!(customer.get("/bulk").await.charged(), 5_001);
    }
    for _ in 0..13 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    world.flush_all().await;
    let usage = customer.status().await["usage"]["api_calls"].clone();
    assert_eq!((&usage["overage"], &usage["overage_amount"]), (&json!(15), &json!("0.30")));
    let stripe_customer =
        text(&world.stripe.get("/v1/subscriptions").await["data"][0]["customer"]).to_owned();
    assert_eq!(usage["overage_amount"], previewed_overage(&world, &stripe_customer).await);

    let status = done(&post(&customer, "/billing/upgrade", &json!({ "tier": "scale" })).await);
    assert_eq!((&status["tier"], &status["usage"]["api_calls"]["overage"]), (&json!("scale"), &json!(0)));
    let subscription = one_subscription(&world, &stripe_customer).await;
    assert_eq!(subscription["items"]["data"].as_array().map(Vec::len), Some(2), "replaced, not added");

    let status = done(&post(&customer, "/billing/cancel", &json!({})).await);
    assert_eq!(
        (&status["tier"], &status["cancel_at_period_end"], &status["expires_at"]),
        (&json!("scale"), &json!(true), &status["period"]["end"])
    );
    let period = format!("subscriptions/{}/period", text(&subscription["id"]));
    let end = unix_now() + 2;
    world.stripe.hook(&period, json!({ "start": end - 86_400, "end": end })).await;
    until("the subscription has ended", PATIENCE, async || {
        let status = customer.status().await;
        (status["tier"] == "free" && status["status"] == "canceled").then_some(())
    })
    .await;
    assert!(unix_now() >= end, "the tier is kept to the end");
    assert_eq!(customer.status().await["permissions"]["can_purchase"], true);
    world.finish().await;
}

async fn one_subscription(world: &World, stripe_customer: &str) -> Value {
    let path = format!("/v1/subscriptions?customer={stripe_customer}&status=all");
    let subscriptions = rows(world, &path).await;
    assert_eq!(subscriptions.len(), 1, "{subscriptions:?}");
    subscriptions[0].clone()
}
