//! One order under one key.

use serde_json::json;

use super::{done, order, post, post_under, rows, shop, text};
use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_answers_the_same_after_a_restart_and_stands_for_one_order() {
    let mut world = shop().await;
    let customer = world.customer("repeater");
    let first = done(&post_under("k1", &customer, "/billing/checkout", &order("pro")).await);
    world.gateway.kill9();
    world.gateway.restart().await;
    let again = done(&post_under("k1", &customer, "/billing/checkout", &order("pro")).await);
    assert_eq!(first, again);
    for (path, body) in [
        ("/billing/checkout", order("starter")),
        ("/billing/cancel", json!({})),
        ("/billing/portal", json!({})),
    ] {
        let reply = post_under("k1", &customer, path, &body).await;
        assert_eq!(reply.refusal(), (409, "conflict".to_owned()), "{path}");
    }
    let other = world.customer("another");
    let theirs = done(&post_under("k1", &other, "/billing/checkout", &order("pro")).await);
    assert_ne!(first["session_id"], theirs["session_id"], "a key is its customer's");
    for wrong in ["", "two words", &"k".repeat(256)] {
        let reply = post_under(wrong, &customer, "/billing/checkout", &order("pro")).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong:?}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_under_one_key_buy_once() {
    let world = shop().await;
    let customer = world.customer("clicker");
    let body = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    let mut clicks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (customer, body) = (customer.clone(), body.clone());
        clicks.spawn(async move { done(&post_under("once", &customer, "/billing/subscribe", &body).await) });
    }
    while let Some(status) = clicks.join_next().await {
        assert_eq!(status.expect("no panic")["tier"], "pro");
    }
    assert_eq!(rows(&world, "/v1/subscriptions?status=all").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_without_a_key_buy_once_too() {
    let world = shop().await;
    let customer = world.customer("clicker");
    let body = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    let mut clicks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (customer, body) = (customer.clone(), body.clone());
        clicks.spawn(async move { super::post(&customer, "/billing/subscribe", &body).await.status });
    }
    let mut statuses = clicks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(rows(&world, "/v1/subscriptions?status=all").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_kept_under_the_key() {
    let world = World::builder().config(super::SELLING).start().await;
    let (customer, subscribed) = world.subscriber("patient", "pro").await;
    let reply = post_under("k", &customer, "/billing/checkout", &order("starter")).await;
    assert_eq!(reply.refusal(), (409, "already_subscribed".to_owned()));
    world.stripe.set_status(&subscribed.subscription, "canceled").await;
    customer.until_status("status", "canceled").await;
    for _ in 0..2 {
        let reply = post_under("c", &customer, "/billing/cancel", &json!({})).await;
        assert_eq!(reply.refusal(), (409, "conflict".to_owned()), "there is nothing to cancel");
    }
    done(&post_under("k", &customer, "/billing/checkout", &order("starter")).await);
    let broke = world.customer("broke");
    let card = json!({ "tier": "pro", "payment_method": "pm_card_chargeCustomerFail" });
    let declined = post_under("d", &broke, "/billing/subscribe", &card).await;
    assert_eq!(declined.refusal(), (402, "payment_required".to_owned()));
    let changed = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    let reply = post_under("d", &broke, "/billing/subscribe", &changed).await;
    assert_eq!(reply.refusal(), (409, "conflict".to_owned()), "another card is another order");
    done(&post_under("e", &broke, "/billing/subscribe", &changed).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_stripe_keeps_does_not_stand_for_ever() {
    let world = shop().await;
    let (customer, _) = world.subscriber("known", "pro").await;
    world.stripe.hook("portal", json!({ "configured": false })).await;
    let reply = post_under("p", &customer, "/billing/portal", &json!({})).await;
    assert_eq!(reply.refusal(), (409, "conflict".to_owned()));
    world.stripe.hook("portal", json!({ "configured": true })).await;
    done(&post_under("p", &customer, "/billing/portal", &json!({})).await);
    let buyer = world.customer("buyer");
    let fault = json!({ "operation": "payment_methods.attach", "status": 404, "saved": true });
    world.stripe.hook("faults", fault).await;
    let card = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    let reply = post_under("s", &buyer, "/billing/subscribe", &card).await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
    assert_eq!(done(&post_under("s", &buyer, "/billing/subscribe", &card).await)["tier"], "pro");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_with_another_price_is_not_the_one_that_is_asked_for() {
    let mut world = shop().await;
    let customer = world.customer("saver");
    let pack = json!({ "credits": "small", "success_url": "https://app.example/thanks" });
    let first = done(&post(&customer, "/billing/checkout", &pack).await);
    let config = std::fs::read_to_string(&world.gateway.config).expect("a configuration");
    let dearer = config.replace("10.00", "20.00");
    assert_ne!(config, dearer);
    std::fs::write(&world.gateway.config, dearer).expect("a file");
    world.gateway.kill9();
    world.gateway.restart().await;
    let second = done(&post(&customer, "/billing/checkout", &pack).await);
    assert_ne!(first["session_id"], second["session_id"]);
    let amount = |session: &serde_json::Value| session["amount_total"].clone();
    let path = format!("/v1/checkout/sessions/{}", text(&second["session_id"]));
    assert_eq!(amount(&world.stripe.get(&path).await), 2_000);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_a_tier_wherever_it_is_in_the_file() {
    let mut world = shop().await;
    let customer = world.customer("keeper");
    let order = |tier: &str| json!({ "tier": tier, "payment_method": "pm_card_visa" });
    done(&post_under("k", &customer, "/billing/subscribe", &order("pro")).await);
    let config = std::fs::read_to_string(&world.gateway.config).expect("a configuration");
    let plus = "[tiers.plus]\nstripe_prices = [\"price_plus\"]\nincluded = { api_calls = 10 }\n\n[tiers.pro]";
    let more = config.replacen("[tiers.pro]", plus, 1);
    assert_ne!(config, more);
    std::fs::write(&world.gateway.config, more).expect("a file");
    world.gateway.kill9();
    world.gateway.restart().await;
    let reply = post_under("k", &customer, "/billing/subscribe", &order("plus")).await;
    assert_eq!(reply.refusal(), (409, "conflict".to_owned()), "it has the number that pro had");
    assert_eq!(done(&post_under("k", &customer, "/billing/subscribe", &order("pro")).await)["tier"], "pro");
    world.finish().await;
}
