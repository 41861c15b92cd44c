//! Buying with a payment method that the customer's browser has made.

use serde_json::json;

use super::{SELLING, done, made_for, order, post, rows, shop, text};
use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_card_buys_a_tier_that_is_in_force_with_the_answer() {
    let world = shop().await;
    let customer = world.customer("direct");
    let body = json!({ "tier": "pro", "cycle": "monthly", "payment_method": "pm_card_visa" });
    let status = done(&post(&customer, "/billing/subscribe", &body).await);
    assert_eq!((&status["tier"], &status["status"]), (&json!("pro"), &json!("active")));
    assert_eq!(customer.get("/premium").await.status, 200);
    let second = post(&customer, "/billing/subscribe", &body).await;
    assert_eq!(second.refusal(), (409, "already_subscribed".to_owned()));
    assert_eq!(rows(&world, "/v1/subscriptions").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_buys_nothing_and_says_why() {
    let world = shop().await;
    let customer = world.customer("broke");
    for card in ["pm_card_chargeDeclined", "pm_card_chargeCustomerFail"] {
        let body = json!({ "tier": "pro", "payment_method": card });
        let reply = post(&customer, "/billing/subscribe", &body).await;
        assert_eq!(reply.refusal(), (402, "payment_required".to_owned()), "{card}");
        assert!(text(&reply.json()["detail"]).contains("declined"), "{}", reply.text());
    }
    assert_eq!(customer.status().await["tier"], "free");
    assert!(rows(&world, "/v1/subscriptions?status=all").await.is_empty(), "not even a half-made one");
    let body = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    assert_eq!(done(&post(&customer, "/billing/subscribe", &body).await)["tier"], "pro");
    assert_eq!(made_for(&world, "broke").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_payment_method_of_the_customers_is_refused() {
    let world = shop().await;
    let owner = world.customer("owner");
    let body = json!({ "tier": "starter", "payment_method": "pm_card_visa" });
    done(&post(&owner, "/billing/subscribe", &body).await);
    let listed = done(&owner.get("/billing/payment-methods").await);
    let card = text(&listed["data"][0]["id"]).to_owned();
    let thief = world.customer("thief");
    for method in [card.as_str(), "pm_unknown", "../customers", "", "pm_1?x=y"] {
        let body = json!({ "tier": "pro", "payment_method": method });
        let reply = post(&thief, "/billing/subscribe", &body).await;
        assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()), "{method}");
    }
    assert_eq!(thief.status().await["tier"], "free");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_left_open_cannot_be_paid_any_more() {
    let world = World::builder().config(SELLING).without_webhooks().start().await;
    let customer = world.customer("impatient");
    let session = done(&post(&customer, "/billing/checkout", &order("starter")).await);
    let body = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    done(&post(&customer, "/billing/subscribe", &body).await);
    let path = format!("/v1/checkout/sessions/{}", text(&session["session_id"]));
    assert_eq!(world.stripe.get(&path).await["status"], "expired");
    let expired = r#"tollgate_checkouts_total{outcome="expired"}"#;
    assert_eq!(world.metric(expired).await, Some(1));
    assert_eq!(rows(&world, "/v1/subscriptions?status=all").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_is_kept_pays_again_even_if_it_is_not_attached_twice() {
    let world = shop().await;
    let customer = world.customer("returning");
    let body = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    done(&post(&customer, "/billing/subscribe", &body).await);
    done(&post(&customer, "/billing/cancel", &json!({ "at_period_end": false })).await);
    let listed = done(&customer.get("/billing/payment-methods").await);
    world.stripe.hook("faults", json!({ "operation": "payment_methods.attach", "status": 400 })).await;
    let body = json!({ "tier": "pro", "payment_method": listed["data"][0]["id"] });
    assert_eq!(done(&post(&customer, "/billing/subscribe", &body).await)["tier"], "pro");
    world.finish().await;
}
