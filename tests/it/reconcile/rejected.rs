//! Meter events that Stripe accepts and rejects later.

use serde_json::json;

use super::past::{ask, store};
use crate::harness::{PATIENCE, World, until};

const STATE: &str = "SELECT state FROM outbox";
const REASON: &str = "SELECT coalesce(reason, '') FROM outbox";

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_rejects_later_becomes_dead_and_its_memory_is_no_success() {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    assert!(ask::<String>(&world, "SELECT answer FROM outbox").starts_with("200 accepted"));

    let identifier: String = ask(&world, "SELECT identifier FROM outbox");
    let hook = format!("meter_events/{identifier}/reject");
    let event = world.stripe.hook(&hook, json!({ "code": "meter_event_customer_not_found" })).await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0);
    until("the row is dead", PATIENCE, async || (ask::<String>(&world, STATE) == "dead").then_some(())).await;
    assert_eq!(ask::<String>(&world, REASON), "rejected by Stripe: meter_event_customer_not_found");
    assert!(ask::<i64>(&world, "SELECT rejected_at FROM outbox") > 0);
    assert_eq!(world.metric("tollgate_meter_events_total{outcome=\"rejected\"}").await, Some(1));
    let detail: String = ask(&world, "SELECT detail FROM audit WHERE action = 'meter_events_rejected'");
    assert!(detail.contains("1 meter_event_customer_not_found"), "{detail}");
    assert!(detail.contains("tollgate reconcile"), "{detail}");

    // Again at once: Stripe remembers the identifier.
    let retry = "UPDATE outbox SET state = 'pending', next_try_at = 0";
    store(&world).execute(retry, []).expect("a row");
    world.flush_all().await;
    assert_eq!(ask::<String>(&world, STATE), "dead");
    assert!(ask::<String>(&world, REASON).contains("24 h"), "{}", ask::<String>(&world, REASON));

    // The same report once more, applied anew, changes nothing.
    let id = event["id"].as_str().expect("an id");
    let anew = format!("UPDATE inbox SET state = 'pending', settled_at = NULL WHERE event_id = '{id}'");
    let applied = format!("SELECT count(*) FROM inbox WHERE event_id = '{id}' AND state = 'done'");
    store(&world).execute(&anew, []).expect("an event");
    until("it is applied", PATIENCE, async || (ask::<i64>(&world, &applied) == 1).then_some(())).await;
    let rows = "SELECT count(*) FROM audit WHERE action = 'meter_events_rejected'";
    assert_eq!(ask::<i64>(&world, rows), 1);
    assert_eq!(world.metric("tollgate_meter_events_total{outcome=\"rejected\"}").await, Some(1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_other_peoples_events_and_of_unknown_ones_change_nothing() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    let foreign = [
        ("event_name", "api_calls"),
        ("payload[stripe_customer_id]", subscribed.customer.as_str()),
        ("payload[value]", "3"),
        ("identifier", "somebody-elses"),
    ];
    world.stripe.post("/v1/billing/meter_events", &foreign).await;
    world.stripe.hook("meter_events/somebody-elses/reject", json!({ "code": "no_meter" })).await;
    let gone = json!({ "id": "evt_gone", "object": "v2.core.event", "created": "2026-11-20T10:00:00Z",
        "type": "v1.billing.meter.error_report_triggered", "livemode": false });
    assert_eq!(world.deliver(&gone).await.status, 200);
    until("both are applied", PATIENCE, async || {
        let done = "SELECT count(*) FROM inbox WHERE type LIKE 'v1.billing.meter.%' AND state = 'done'";
        (ask::<i64>(&world, done) == 2).then_some(())
    })
    .await;
    assert_eq!(ask::<String>(&world, STATE), "delivered");
    world.finish().await;
}
