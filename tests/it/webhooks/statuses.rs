//! What each status of a subscription admits, and what `/billing/status` says of it.

use serde_json::{Value, json};

use crate::harness::{Reply, World};

/// One status: what it is called, what a request meets, and what the status shows.
struct Expected {
    status: &'static str,
    tier: &'static str,
    request: Result<(), (u16, &'static str)>,
    has_subscription: bool,
    can_use: bool,
    can_purchase: bool,
}

const fn expected(
    status: &'static str,
    tier: &'static str,
    request: Result<(), (u16, &'static str)>,
    has_subscription: bool,
) -> Expected {
    let can_use = request.is_ok();
    Expected { status, tier, request, has_subscription, can_use, can_purchase: !has_subscription }
}

const STATUSES: [Expected; 6] = [
    expected("trialing", "pro", Ok(()), true),
    expected("past_due", "pro", Ok(()), true),
    expected("unpaid", "pro", Err((402, "payment_required")), true),
    expected("paused", "pro", Err((403, "subscription_paused")), true),
    expected("active", "pro", Ok(()), true),
    expected("canceled", "free", Ok(()), false),
];

fn check(expected: &Expected, shown: &Value, reply: &Reply) {
    let status = expected.status;
    match expected.request {
        Ok(()) => assert_eq!((reply.status, reply.charged()), (200, 1), "{status}: {}", reply.text()),
        Err((code, word)) => {
            assert_eq!(reply.refusal(), (code, word.to_owned()), "{status}");
            assert_eq!(reply.header("retry-after"), None, "waiting does not cure {status}");
        }
    }
    assert_eq!(shown["has_subscription"], expected.has_subscription, "{status}");
    assert_eq!(shown["permissions"]["can_use"], expected.can_use, "{status}");
    assert_eq!(shown["permissions"]["can_purchase"], expected.can_purchase, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_status_admits_what_it_should_and_says_so() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("wanderer", "pro").await;
    for expected in &STATUSES {
        world.stripe.set_status(&subscribed.subscription, expected.status).await;
        customer.until_status("status", expected.status).await;
        if expected.request.is_ok() {
            customer.until_status("tier", expected.tier).await;
        }
        let reply = customer.get("/signals").await;
        check(expected, &customer.status().await, &reply);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_without_a_subscription_can_purchase_and_expires_never() {
    let world = World::start().await;
    let status = world.customer("fresh").status().await;
    let first_and_last = &status["period"];
    assert!(
        first_and_last["start"].as_str().is_some_and(|start| start.ends_with("-01T00:00:00Z")),
        "{status}"
    );
    let mut shown = status.clone();
    shown["period"] = json!("a calendar month");
    let expected = json!({
        "customer": "fresh",
        "has_subscription": false,
        "tier": "free",
        "billed_tier": "free",
        "status": "no_subscription",
        "permissions": { "can_use": true, "can_purchase": true },
        "usage": { "api_calls": {
            "current": 0, "included": 100, "remaining": 100, "usage_percentage": 0.0,
            "overage": 0, "overage_amount": "0.00",
            "projected": 0, "projected_overage": 0, "projected_overage_amount": "0.00",
        } },
        "overage": { "currency": "usd", "amount": "0.00", "projected_amount": "0.00", "cap": null },
        "credits": 0,
        "features": [],
        "limits": {},
        "period": "a calendar month",
        "expires_at": null,
        "cancel_at_period_end": false,
    });
    assert_eq!(shown, expected);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_due_keeps_the_tier_for_its_grace_and_no_longer() {
    let world = World::builder().config("[billing]\npast_due_grace = \"2s\"").start().await;
    let (customer, subscribed) = world.subscriber("late-payer", "pro").await;
    world.stripe.set_status(&subscribed.subscription, "past_due").await;
    customer.until_status("status", "past_due").await;
    crate::harness::until("the grace ends", crate::harness::PATIENCE, async || {
        (customer.get("/signals").await.status == 402).then_some(())
    })
    .await;
    assert_eq!(customer.get("/signals").await.refusal(), (402, "payment_required".to_owned()));
    assert_eq!(customer.status().await["permissions"]["can_use"], false);
    world.stripe.set_status(&subscribed.subscription, "active").await;
    customer.until_status("status", "active").await;
    assert_eq!(customer.get("/signals").await.status, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_at_the_periods_end_changes_nothing_before_it() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("leaver", "pro").await;
    let path = format!("/v1/subscriptions/{}", subscribed.subscription);
    world.stripe.post(&path, &[("cancel_at_period_end", "true")]).await;
    crate::harness::until("the news arrives", crate::harness::PATIENCE, async || {
        (customer.status().await["cancel_at_period_end"] == true).then_some(())
    })
    .await;
    let status = customer.status().await;
    assert_eq!((&status["tier"], &status["status"]), (&"pro".into(), &"active".into()));
    assert_eq!(status["expires_at"], status["period"]["end"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_nothing_that_is_sold_here_leaves_the_default_tier() {
    let world = World::start().await;
    let customer = world.customer("elsewhere");
    let product = world.stripe.post("/v1/products", &[("name", "Something else")]).await;
    let price = [
        ("currency", "usd"),
        ("product", product["id"].as_str().expect("an id")),
        ("recurring[interval]", "month"),
        ("unit_amount", "100"),
    ];
    let price = world.stripe.post("/v1/prices", &price).await;
    world.stripe.buy("elsewhere", &[price["id"].as_str().expect("an id")]).await;
    customer.until_status("status", "active").await;
    assert_eq!(customer.status().await["tier"], "free");
    assert_eq!(customer.get("/signals").await.status, 200);
    world.finish().await;
}
