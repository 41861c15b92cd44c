//! A burst of news about one subscription costs a reading or two, not one for each event.

use serde_json::json;

use super::{applied, of_kind};
use crate::harness::{PATIENCE, World, until};

const BURST: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_events_about_one_subscription_is_read_once_and_ends_in_the_truth() {
    let world = World::builder().without_webhooks().start().await;
    let (customer, subscribed) = world.subscriber("busy", "pro").await;
    let created = of_kind(&world, "customer.subscription.created").await.remove(0);
    world.stripe.delete("/_sandbox/calls").await;
    // The first one is being read while the others come.
    world.stripe.hook("faults", json!({ "operation": "subscriptions.retrieve", "delay_ms": 3_000 })).await;
    assert_eq!(world.deliver(&created).await.status, 200);
    until("it is being read", PATIENCE, async || {
        (world.stripe.get("/_sandbox/faults").await.as_array().is_some_and(Vec::is_empty)).then_some(())
    })
    .await;
    world.stripe.set_status(&subscribed.subscription, "unpaid").await;
    for at in 0..BURST {
        let mut news = created.clone();
        news["id"] = json!(format!("evt_burst_{at}"));
        news["type"] = json!("customer.subscription.updated");
        assert_eq!(world.deliver(&news).await.status, 200);
    }
    for kind in ["invoice.paid", "invoice.payment_succeeded"] {
        assert_eq!(world.deliver(&of_kind(&world, kind).await[0]).await.status, 200);
    }
    applied(&world).await;
    assert_eq!(customer.status().await["status"], "unpaid");
    let calls = world.stripe.get("/_sandbox/calls").await;
    let reads = calls["subscriptions.retrieve"].as_u64().expect("a number");
    assert!((1..=3).contains(&reads), "{reads} readings for {} events", BURST + 3);
    assert_eq!(calls["invoices.retrieve"], 1, "two events tell of one invoice");
    world.finish().await;
}
