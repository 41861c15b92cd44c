//! Stripe fails at each call of an order: there is never a second customer or subscription, nor half of one, and the
//! same key ends in one.

use http::Method;
use serde_json::{Value, json};

use super::{SELLING, done, made_for, order, post_under, rows, text};
use crate::harness::{Customer, PATIENCE, World, until};

/// Longer than the attempts of one call.
const TIMES: u32 = 3;

/// What Stripe does: fails before anything happens; the same, and keeps the failure under the key; acts, and keeps a
/// failure; acts, and goes silent.
fn faults() -> [Value; 4] {
    [
        json!({ "status": 500, "when": "before", "times": TIMES }),
        json!({ "status": 500, "when": "before", "saved": true, "times": 1 }),
        json!({ "status": 500, "when": "after", "saved": true, "times": 1 }),
        json!({ "drop": true, "when": "after", "times": TIMES }),
    ]
}

async fn world() -> World {
    World::builder().config(SELLING).without_webhooks().start().await
}

/// Asks under one key until it is done; whatever else is answered tells to come back.
async fn insist(customer: &Customer, path: &str, body: &Value) -> Value {
    until(path, PATIENCE, async || {
        let reply = post_under("the-key", customer, path, body).await;
        if reply.status == 200 {
            return Some(reply.json());
        }
        assert_eq!(reply.refusal(), (503, "stripe_unavailable".to_owned()), "{}", reply.text());
        assert!(reply.header("retry-after").is_some());
        None
    })
    .await
}

/// Meets each fault of an operation with an order, and looks at what came of it.
async fn each(world: &World, operations: &[&str], order: impl AsyncFn(&World, Customer, &str)) {
    for operation in operations {
        for (at, mut fault) in faults().into_iter().enumerate() {
            let name = format!("{}-{at}", operation.replace('.', "-"));
            fault["operation"] = json!(operation);
            world.stripe.hook("faults", fault).await;
            order(world, world.customer(&name), &name).await;
            world.stripe.forget_faults().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkout_ends_in_one_customer_and_one_subscription() {
    let world = world().await;
    let operations = ["prices.list", "customers.create", "checkout.sessions.create"];
    each(&world, &operations, async |world, customer, name| {
        let session = insist(&customer, "/billing/checkout", &order("pro")).await;
        let made = made_for(world, name).await;
        assert_eq!(made.len(), 1, "{name}");
        world.stripe.hook(&format!("checkout/{}/pay", text(&session["session_id"])), json!({})).await;
        let path = format!("/v1/subscriptions?status=all&customer={}", made[0]);
        assert_eq!(rows(world, &path).await.len(), 1, "{name}");
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribing_ends_in_one_customer_and_one_subscription() {
    let world = world().await;
    let operations = ["customers.create", "payment_methods.attach", "subscriptions.create"];
    let body = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    each(&world, &operations, async |world, customer, name| {
        assert_eq!(insist(&customer, "/billing/subscribe", &body).await["tier"], "pro", "{name}");
        let made = made_for(world, name).await;
        assert_eq!(made.len(), 1, "{name}");
        let path = format!("/v1/subscriptions?status=all&customer={}", made[0]);
        let subscriptions = rows(world, &path).await;
        assert_eq!(subscriptions.len(), 1, "{name}");
        assert_eq!(subscriptions[0]["status"], "active", "{name}");
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_made_once() {
    let world = world().await;
    let body = json!({ "tier": "starter", "payment_method": "pm_card_visa" });
    for (at, mut fault) in faults().into_iter().enumerate() {
        for operation in ["subscriptions.list", "subscriptions.update", "subscriptions.cancel"] {
            let name = format!("{}-{at}", operation.replace('.', "-"));
            let customer = world.customer(&name);
            done(&post_under("first", &customer, "/billing/subscribe", &body).await);
            fault["operation"] = json!(operation);
            world.stripe.hook("faults", fault.clone()).await;
            let (path, asked) = match operation {
                "subscriptions.cancel" => ("/billing/cancel", json!({ "at_period_end": false })),
                _ => ("/billing/upgrade", json!({ "tier": "pro" })),
            };
            let tier = insist(&customer, path, &asked).await["tier"].clone();
            world.stripe.forget_faults().await;
            assert_eq!(tier, if path == "/billing/cancel" { "free" } else { "pro" }, "{name}");
            let made = made_for(&world, &name).await;
            let subscriptions =
                rows(&world, &format!("/v1/subscriptions?status=all&customer={}", made[0])).await;
            assert_eq!(subscriptions.len(), 1, "{name}");
            assert_eq!(subscriptions[0]["items"]["data"].as_array().map(Vec::len), Some(2), "{name}");
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_while_stripe_acts_goes_on_under_the_same_key() {
    let mut world = world().await;
    let body = json!({ "tier": "pro", "payment_method": "pm_card_visa" });
    for operation in ["customers.create", "subscriptions.create"] {
        let name = operation.replace('.', "-");
        let customer = world.customer(&name);
        world.stripe.hook("faults", json!({ "operation": operation, "delay_ms": 1_000 })).await;
        let asking = {
            let (customer, body) = (customer.clone(), body.clone());
            let with = move |request: reqwest::RequestBuilder| {
                request.json(&body).header("idempotency-key", "the-key")
            };
            tokio::spawn(async move { customer.try_ask(Method::POST, "/billing/subscribe", with).await })
        };
        until("Stripe has been asked", PATIENCE, async || {
            (world.stripe.get("/_sandbox/calls").await[operation].as_u64() > Some(0)).then_some(())
        })
        .await;
        world.gateway.kill9();
        assert!(asking.await.expect("no panic").is_err(), "it was killed before it could answer");
        world.gateway.restart().await;
        assert_eq!(insist(&customer, "/billing/subscribe", &body).await["tier"], "pro", "{name}");
        let made = made_for(&world, &name).await;
        assert_eq!(made.len(), 1, "{name}");
        let path = format!("/v1/subscriptions?status=all&customer={}", made[0]);
        assert_eq!(rows(&world, &path).await.len(), 1, "{name}");
        world.stripe.delete("/_sandbox/calls").await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_stripe_is_away_everything_waits_and_the_status_is_shown() {
    let mut world = World::builder().config(SELLING).by_road().start().await;
    let (customer, _) = world.subscriber("waiting", "pro").await;
    world.road().close().await;
    for path in ["/billing/invoices", "/billing/payment-methods"] {
        assert_eq!(customer.get(path).await.refusal(), (503, "stripe_unavailable".to_owned()), "{path}");
    }
    for (path, body) in [
        ("/billing/upgrade", json!({ "tier": "starter" })),
        ("/billing/cancel", json!({})),
        ("/billing/portal", json!({})),
        ("/billing/sync", json!({})),
    ] {
        let reply = post_under("the-key", &customer, path, &body).await;
        // One key stands for one order, even for one that waits.
        let expected = match path {
            "/billing/upgrade" | "/billing/sync" => (503, "stripe_unavailable"),
            _ => (409, "conflict"),
        };
        assert_eq!(reply.refusal(), (expected.0, expected.1.to_owned()), "{path}");
    }
    assert_eq!(customer.status().await["tier"], "pro");
    world.road().reopen().await;
    assert_eq!(insist(&customer, "/billing/upgrade", &json!({ "tier": "starter" })).await["tier"], "starter");
    world.finish().await;
}
