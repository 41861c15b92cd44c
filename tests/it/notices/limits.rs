//! Quotas, caps and credits: each limit that is reached is told once.

use serde_json::json;

use super::{store, told, until_settled};
use crate::harness::{Customer, PATIENCE, World, until};

/// Spends `units`, a multiple of five.
async fn spend(customer: &Customer, units: u64) {
    for _ in 0..units / 5 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_most_and_all_of_a_quota_are_told_once_in_a_period() {
    let (mut world, listener) = told("").await;
    let customer = world.customer("acme");
    spend(&customer, 45).await;
    assert_eq!(listener.messages().len(), 0);
    spend(&customer, 10).await;
    let half = listener.data_of("quota.reached").await;
    assert_eq!(half["customer"], "acme");
    assert_eq!((&half["tier"], &half["status"]), (&json!("free"), &json!("no_subscription")));
    assert_eq!(
        (&half["meter"], &half["percent"], &half["included"]),
        (&json!("api_calls"), &json!(50), &json!(100))
    );
    assert_eq!(half["period"], customer.status().await["period"]);
    spend(&customer, 25).await;
    assert_eq!(listener.hears("quota.reached", 2).await[1].json["data"]["percent"], 80);
    until_settled(&world).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    customer.used().await;
    spend(&customer, 20).await;
    assert_eq!(listener.hears("quota.reached", 3).await[2].json["data"]["percent"], 100);
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_kept_from_being_told_is_told_when_the_customer_comes_again() {
    let (mut world, listener) = told("").await;
    let customer = world.customer("acme");
    spend(&customer, 85).await;
    listener.hears("quota.reached", 2).await;
    until_settled(&world).await;
    world.gateway.kill9();
    // As if the crash had come before the notice.
    let forget = "DELETE FROM notices WHERE cause LIKE 'quota:%:80'";
    assert_eq!(store(&world).execute(forget, []).expect("notices"), 1);
    world.gateway.restart().await;
    assert_eq!(listener.of("quota.reached").len(), 2, "nobody has asked for them yet");
    customer.used().await;
    assert_eq!(listener.hears("quota.reached", 3).await[2].json["data"]["percent"], 80);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spend_cap_is_told_at_its_first_refusal() {
    let capped = r#"
        [tiers.starter]
        included = { api_calls = 5 }
        overage = { unit_amount = { api_calls = "0.50" }, cap = "2.50" }
    "#;
    let (world, listener) = told(capped).await;
    let (customer, _) = world.subscriber("acme", "starter").await;
    spend(&customer, 10).await;
    assert_eq!(listener.of("spend_cap.reached").len(), 0, "it is reached, and nothing was refused");
    for _ in 0..3 {
        assert_eq!(customer.get("/signals").await.refusal(), (402, "spend_cap_reached".to_owned()));
    }
    let told = listener.data_of("spend_cap.reached").await;
    assert_eq!((&told["customer"], &told["tier"]), (&json!("acme"), &json!("starter")));
    assert_eq!((&told["cap"], &told["currency"]), (&json!("2.50"), &json!("usd")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_credits_are_told_once_for_each_grant() {
    let (mut world, listener) = told("billing.credits_low = 10\ntiers.free.included.api_calls = 0").await;
    let customer = world.customer("acme");
    customer.status().await;
    let grant = async |world: &World, units: u64| {
        let wanted = json!({ "amount": units, "reason": "a test" });
        let granted = world.operate("/admin/customers/acme/credits", &wanted).await;
        assert_eq!(granted.status, 200, "{}", granted.text());
    };
    grant(&world, 25).await;
    spend(&customer, 15).await;
    until("what was spent is in the history", PATIENCE, async || {
        let history = world.shown("/admin/customers/acme/credits").await;
        (history["data"][0]["balance"] == 10).then_some(())
    })
    .await;
    until_settled(&world).await;
    assert_eq!(listener.of("credits.low").len(), 0, "ten are not below ten");
    spend(&customer, 5).await;
    let low = listener.data_of("credits.low").await;
    assert_eq!((&low["customer"], &low["credits"]), (&json!("acme"), &json!(5)));
    assert_eq!((&low["tier"], &low["status"]), (&json!("free"), &json!("no_subscription")));
    until_settled(&world).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    spend(&customer, 5).await;
    grant(&world, 12).await;
    spend(&customer, 5).await;
    let told = listener.hears("credits.low", 2).await;
    assert_eq!(told[1].json["data"]["credits"], 7, "of the next grant");
    world.finish().await;
}
