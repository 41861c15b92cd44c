//! Another tier: items are replaced, usage counts once, and the answer is already true.

use serde_json::{Value, json};

use super::{SELLING, done, post, rows, shop, text};
use crate::harness::World;

async fn prices(world: &World, subscription: &str) -> Vec<String> {
    let subscription = world.stripe.get(&format!("/v1/subscriptions/{subscription}")).await;
    let items = subscription["items"]["data"].as_array().expect("items");
    let mut prices: Vec<_> = items.iter().map(|item| text(&item["price"]["id"]).to_owned()).collect();
    prices.sort_unstable();
    prices
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_and_a_downgrade_replace_both_items_after_the_usage_is_at_stripe() {
    let slow = "[billing]\nflush_interval = \"1h\"";
    let world = World::builder().config(SELLING).config(slow).start().await;
    let (customer, subscribed) = world.subscriber("mover", "starter").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    let status = done(&post(&customer, "/billing/upgrade", &json!({ "tier": "pro" })).await);
    assert_eq!(
        (
            &status["tier"],
            &status["usage"]["api_calls"]["current"],
            &status["usage"]["api_calls"]["included"]
        ),
        (&json!("pro"), &json!(5), &json!(10_000))
    );
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5, "flushed before the change");
    let pro = ["price_it_pro_api_calls", "price_it_pro_monthly"];
    assert_eq!(prices(&world, &subscribed.subscription).await, pro);
    let again = done(&post(&customer, "/billing/upgrade", &json!({ "tier": "pro" })).await);
    assert_eq!(again["tier"], "pro", "nothing changes");
    let down = done(&post(&customer, "/billing/upgrade", &json!({ "tier": "starter" })).await);
    assert_eq!(down["tier"], "starter");
    let starter = ["price_it_starter_api_calls", "price_it_starter_monthly"];
    assert_eq!(prices(&world, &subscribed.subscription).await, starter);
    assert_eq!(rows(&world, "/v1/subscriptions?status=all").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_on_a_subscription_stays_as_it_is() {
    let world = shop().await;
    let (customer, subscribed) = world.subscriber("collector", "starter").await;
    let product = world.stripe.post("/v1/products", &[("name", "Support")]).await;
    let price = [
        ("product", text(&product["id"])),
        ("currency", "usd"),
        ("recurring[interval]", "month"),
        ("unit_amount", "500"),
    ];
    let support = world.stripe.post("/v1/prices", &price).await;
    let path = format!("/v1/subscriptions/{}", subscribed.subscription);
    world.stripe.post(&path, &[("items[0][price]", text(&support["id"]))]).await;
    done(&post(&customer, "/billing/upgrade", &json!({ "tier": "pro" })).await);
    let kept = prices(&world, &subscribed.subscription).await;
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().any(|price| price == text(&support["id"])), "{kept:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_cannot_be_paid_changes_nothing() {
    let at_once = "[billing]\nproration = \"always_invoice\"";
    let world = World::builder().config(SELLING).config(at_once).start().await;
    let (customer, subscribed) = world.subscriber("short", "starter").await;
    world.stripe.hook(&format!("customers/{}/decline", subscribed.customer), json!({})).await;
    let reply = post(&customer, "/billing/upgrade", &json!({ "tier": "pro" })).await;
    assert_eq!(reply.refusal(), (402, "payment_required".to_owned()));
    assert_eq!(customer.status().await["tier"], "starter");
    assert!(prices(&world, &subscribed.subscription).await[0].contains("starter"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_running_subscription_changes_its_tier() {
    let world = shop().await;
    let to = |tier: &str| -> Value { json!({ "tier": tier }) };
    let nobody = world.customer("nobody");
    assert_eq!(post(&nobody, "/billing/upgrade", &to("pro")).await.refusal(), (409, "conflict".to_owned()));
    let (customer, subscribed) = world.subscriber("stuck", "starter").await;
    for status in ["unpaid", "paused", "canceled"] {
        world.stripe.set_status(&subscribed.subscription, status).await;
        customer.until_status("status", status).await;
        let reply = post(&customer, "/billing/upgrade", &to("pro")).await;
        assert_eq!(reply.refusal(), (409, "conflict".to_owned()), "{status}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cycle_it_is_paid_as_often_as_before() {
    let world = shop().await;
    let customer = world.customer("planner");
    let year = json!({ "tier": "pro", "cycle": "yearly", "payment_method": "pm_card_visa" });
    done(&post(&customer, "/billing/subscribe", &year).await);
    let subscription = text(&rows(&world, "/v1/subscriptions").await[0]["id"]).to_owned();
    done(&post(&customer, "/billing/upgrade", &json!({ "tier": "pro" })).await);
    let yearly = ["price_it_pro_api_calls", "price_it_pro_yearly"];
    assert_eq!(prices(&world, &subscription).await, yearly);
    let reply = post(&customer, "/billing/upgrade", &json!({ "tier": "starter" })).await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()), "starter has no yearly price");
    done(&post(&customer, "/billing/upgrade", &json!({ "tier": "pro", "cycle": "monthly" })).await);
    assert_eq!(prices(&world, &subscription).await, ["price_it_pro_api_calls", "price_it_pro_monthly"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_subscription_becomes_flexible_before_it_changes() {
    let world = shop().await;
    let customer = world.customer("veteran");
    let made = world.stripe.post("/v1/customers", &[("metadata[tollgate_customer]", "veteran")]).await;
    let classic = [
        ("customer", text(&made["id"])),
        ("items[0][price]", "price_it_starter_monthly"),
        ("items[1][price]", "price_it_starter_api_calls"),
        ("billing_mode[type]", "classic"),
        ("metadata[tollgate_customer]", "veteran"),
    ];
    let subscription = world.stripe.post("/v1/subscriptions", &classic).await;
    customer.until_status("tier", "starter").await;
    let year = json!({ "tier": "pro", "cycle": "yearly" });
    assert_eq!(done(&post(&customer, "/billing/upgrade", &year).await)["tier"], "pro");
    let id = text(&subscription["id"]);
    assert_eq!(prices(&world, id).await, ["price_it_pro_api_calls", "price_it_pro_yearly"]);
    let path = format!("/v1/subscriptions/{id}");
    assert_eq!(world.stripe.get(&path).await["billing_mode"]["type"], "flexible");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_whose_usage_could_not_be_billed_is_not_sold() {
    let world = shop().await;
    world.stripe.post("/v1/prices/price_it_pro_api_calls", &[("active", "false")]).await;
    let (customer, subscribed) = world.subscriber("mover", "starter").await;
    let reply = post(&customer, "/billing/upgrade", &json!({ "tier": "pro" })).await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
    let starter = ["price_it_starter_api_calls", "price_it_starter_monthly"];
    assert_eq!(prices(&world, &subscribed.subscription).await, starter, "its usage is still billed");
    let reply = post(&world.customer("buyer"), "/billing/checkout", &super::order("pro")).await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
    world.finish().await;
}
