//! Each payment is one row, whatever told of it and how often.

use serde_json::json;

use super::{applied, books, deliver_all, of_kind};
use crate::harness::{PATIENCE, World, until};

async fn counted(world: &World, outcome: &str) -> u64 {
    let line = format!("tollgate_payments_total{{outcome=\"{outcome}\"}}");
    world.metric(&line).await.expect("there from the start")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_invoice_is_one_payment_though_two_events_tell_of_it_twice_in_any_order() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("payer");
    customer.status().await;
    world.stripe.subscribe("pro", Some("payer"));
    let mut events = world.stripe.events().await;
    events.reverse();
    deliver_all(&world, &events).await;
    assert_eq!(books::payments(&world), ["succeeded invoice 9900 0 1"]);
    for kind in ["invoice.paid", "invoice.payment_succeeded"] {
        let mut again = of_kind(&world, kind).await;
        again[0]["id"] = json!(format!("evt_again_{kind}"));
        deliver_all(&world, &again).await;
    }
    assert_eq!(books::payments(&world).len(), 1);
    assert_eq!((counted(&world, "succeeded").await, counted(&world, "failed").await), (1, 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_is_told_once_and_the_payment_after_it_counts() {
    let world = World::start().await;
    let (_, subscribed) = world.subscriber("late", "pro").await;
    applied(&world).await;
    world.stripe.hook(&format!("subscriptions/{}/payment_failed", subscribed.subscription), json!({})).await;
    until("the failure is known", PATIENCE, async || {
        (books::told(&world, "payment.failed") == 1).then_some(())
    })
    .await;
    let failed = of_kind(&world, "invoice.payment_failed").await;
    let mut again = failed.clone();
    again[0]["id"] = json!("evt_again");
    deliver_all(&world, &again).await;
    assert_eq!(books::told(&world, "payment.failed"), 1);
    let notice = books::texts(&world, "SELECT data FROM notices WHERE kind = 'payment.failed'");
    let notice: serde_json::Value = serde_json::from_str(&notice[0]).expect("JSON");
    assert_eq!((&notice["customer"], &notice["tier"]), (&json!("late"), &json!("pro")));
    assert_eq!((&notice["status"], &notice["attempt"]), (&json!("past_due"), &json!(1)));

    let invoice = failed[0]["data"]["object"]["id"].as_str().expect("an id").to_owned();
    world.stripe.post(&format!("/v1/invoices/{invoice}/pay"), &[]).await;
    until("the payment is known", PATIENCE, async || (counted(&world, "succeeded").await == 2).then_some(()))
        .await;
    assert_eq!(counted(&world, "failed").await, 1);
    // The news of the failure comes once more, late: the payment stands.
    let mut late = failed;
    late[0]["id"] = json!("evt_late");
    deliver_all(&world, &late).await;
    let outcomes = books::texts(&world, "SELECT outcome FROM payments ORDER BY outcome");
    assert_eq!(outcomes, ["succeeded", "succeeded"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_says_how_much_of_it_is_overage() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("heavy", "starter").await;
    for _ in 0..205 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    world.flush_all().await;
    // 25 units beyond the included 1,000, at 3 cents each; the period ends now.
    let subscription = world.stripe.get(&format!("/v1/subscriptions/{}", subscribed.subscription)).await;
    let start = subscription["items"]["data"][0]["current_period_start"].as_i64().expect("an instant");
    let end = crate::harness::unix_now() + 2;
    let path = format!("subscriptions/{}/period", subscribed.subscription);
    world.stripe.hook(&path, json!({ "start": start, "end": end })).await;
    until("the renewal is paid", 2 * PATIENCE, async || (books::payments(&world).len() == 2).then_some(()))
        .await;
    let overage =
        books::texts(&world, "SELECT CAST(overage_minor AS TEXT) FROM payments ORDER BY overage_minor");
    assert_eq!(overage, ["0", "75"]);
    world.finish().await;
}
