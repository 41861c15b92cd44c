//! Ending a subscription, and taking the end back.

use serde_json::json;

use super::{done, post, rows, shop};

#[tokio::test(flavor = "multi_thread")]
async fn an_end_with_the_period_can_be_taken_back_until_then() {
    let world = shop().await;
    let (customer, subscribed) = world.subscriber("undecided", "pro").await;
    let nothing = post(&customer, "/billing/resume", &json!({})).await;
    assert_eq!(nothing.refusal(), (409, "conflict".to_owned()), "nothing to resume");
    for _ in 0..2 {
        let status = done(&post(&customer, "/billing/cancel", &json!({ "at_period_end": true })).await);
        assert_eq!((&status["cancel_at_period_end"], &status["tier"]), (&json!(true), &json!("pro")));
    }
    let status = done(&post(&customer, "/billing/resume", &json!({})).await);
    assert_eq!((&status["cancel_at_period_end"], &status["tier"]), (&json!(false), &json!("pro")));
    let path = format!("/v1/subscriptions/{}", subscribed.subscription);
    assert_eq!(world.stripe.get(&path).await["cancel_at_period_end"], false);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_subscription_goes_on() {
    let world = shop().await;
    let (customer, subscribed) = world.subscriber("resting", "pro").await;
    world.stripe.set_status(&subscribed.subscription, "paused").await;
    customer.until_status("status", "paused").await;
    let status = done(&post(&customer, "/billing/resume", &json!({})).await);
    assert_eq!((&status["status"], &status["tier"]), (&json!("active"), &json!("pro")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_at_once_bills_what_was_used() {
    let world = shop().await;
    let (customer, subscribed) = world.subscriber("leaver", "starter").await;
    for _ in 0..201 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    let status = done(&post(&customer, "/billing/cancel", &json!({ "at_period_end": false })).await);
    assert_eq!((&status["tier"], &status["status"]), (&json!("free"), &json!("canceled")));
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 1_005, "flushed before the end");
    let invoices = world.stripe.get(&format!("/v1/invoices?customer={}", subscribed.customer)).await;
    assert_eq!(invoices["data"][0]["total"], 15, "5 units at 3 cents: {invoices}");
    let second = post(&customer, "/billing/cancel", &json!({})).await;
    assert_eq!(second.refusal(), (409, "conflict".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_that_is_paid_for_is_had_to_its_end() {
    let world = shop().await;
    let customer = world.customer("planner");
    let year = json!({ "tier": "pro", "cycle": "yearly", "payment_method": "pm_card_visa" });
    done(&post(&customer, "/billing/subscribe", &year).await);
    let status = done(&post(&customer, "/billing/cancel", &json!({ "at_period_end": true })).await);
    assert_eq!(status["cancel_at_period_end"], true);
    let subscription = &rows(&world, "/v1/subscriptions").await[0];
    let items = subscription["items"]["data"].as_array().expect("items");
    let ends = items.iter().map(|item| item["current_period_end"].as_i64().expect("an instant"));
    let (month, year) = (ends.clone().min(), ends.max());
    assert_ne!(month, year);
    assert_eq!(subscription["cancel_at"].as_i64(), year, "not with the month that is metered");
    let year = year.and_then(|at| jiff::Timestamp::from_second(at).ok()).map(|at| at.to_string());
    assert_eq!(status["expires_at"].as_str(), year.as_deref());
    let status = done(&post(&customer, "/billing/resume", &json!({})).await);
    assert_eq!(status["cancel_at_period_end"], false);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_buys_nothing_and_can_stop_paying() {
    let world = shop().await;
    let (customer, subscribed) = world.subscriber("banned", "starter").await;
    assert_eq!(
        world.operate("/admin/customers/banned/block", &json!({ "reason": "abuse" })).await.status,
        200
    );
    let url = "https://app.example/";
    for (path, body) in [
        ("/billing/checkout", json!({ "credits": "small", "success_url": url })),
        ("/billing/subscribe", json!({ "tier": "pro", "payment_method": "pm_card_visa" })),
        ("/billing/upgrade", json!({ "tier": "pro" })),
        ("/billing/resume", json!({})),
    ] {
        let reply = post(&customer, path, &body).await;
        assert_eq!(reply.refusal(), (403, "customer_blocked".to_owned()), "{path}");
    }
    done(&post(&customer, "/billing/portal", &json!({})).await);
    done(&post(&customer, "/billing/cancel", &json!({})).await);
    let path = format!("/v1/subscriptions/{}", subscribed.subscription);
    assert_eq!(world.stripe.get(&path).await["cancel_at_period_end"], true);
    world.finish().await;
}
