//! `outbox list` and `outbox retry`, and the same on the operator's port.

use http::Method;
use serde_json::{Value, json};

use super::{command, json};
use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

/// A meter that Stripe does not have yet.
const LATE_METER: &str = "
    [meters.api_calls]
    stripe_event_name = \"late\"
    [billing]
    flush_interval = \"1h\"
";

async fn make_meter(world: &World) {
    let meter = [("display_name", "Late"), ("event_name", "late"), ("default_aggregation[formula]", "sum")];
    world.stripe.post("/v1/billing/meters", &meter).await;
}

async fn units(world: &World, stripe_customer: &str) -> u64 {
    let metered = world.stripe.metered().await;
    metered.get(&(stripe_customer.to_owned(), "late".to_owned())).copied().unwrap_or(0)
}

/// A world with so many dead meter events of 5 units each; answers their identifiers too.
async fn dead_events(count: usize) -> (World, String, Vec<String>) {
    let world = World::builder().config(LATE_METER).start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    for _ in 0..count {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
        assert_eq!(world.flush().await, 0, "refused for good at once");
    }
    let listed = json(&world, &["outbox", "list", "--state", "dead"]);
    let rows = listed["data"].as_array().expect("rows");
    let identifiers = rows.iter().map(|row| row["identifier"].as_str().expect("an identifier").to_owned());
    (world, subscribed.customer, identifiers.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_appears_later_gets_all_of_its_units_once_while_the_gateway_runs() {
    let (world, stripe_customer, dead) = dead_events(3).await;
    assert_eq!(dead.len(), 3);
    make_meter(&world).await;
    let retried = json(&world, &["outbox", "retry"]);
    let queued: Vec<_> =
        retried["retried"].as_array().expect("rows").iter().map(|row| &row["queued"]).collect();
    assert_eq!(queued, [&json!(false), &json!(true), &json!(true)], "one total: one after the other");
    until("the gateway sends them by itself", PATIENCE, async || {
        (units(&world, &stripe_customer).await == 15).then_some(())
    })
    .await;
    until("nothing waits", PATIENCE, async || {
        (json(&world, &["outbox", "list"]) == json!({ "data": [] })).then_some(())
    })
    .await;
    assert_eq!(units(&world, &stripe_customer).await, 15);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_while_the_gateway_is_stopped_is_sent_after_its_start() {
    let (mut world, stripe_customer, dead) = dead_events(1).await;
    world.gateway.stop().await;
    make_meter(&world).await;
    assert_eq!(json(&world, &["outbox", "retry", &dead[0]])["retried"][0]["identifier"], json!(dead[0]));
    let listed = json(&world, &["outbox", "list"]);
    assert_eq!((&listed["data"][0]["state"], &listed["data"][0]["value"]), (&json!("pending"), &json!(5)));
    world.gateway.restart().await;
    until("it is sent", PATIENCE, async || (units(&world, &stripe_customer).await == 5).then_some(())).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_says_what_waits_and_why_and_a_wrong_name_changes_nothing() {
    let (world, stripe_customer, dead) = dead_events(1).await;
    let listed = json(&world, &["outbox", "list"]);
    let row = &listed["data"][0];
    for (key, value) in [
        ("identifier", json!(dead[0])),
        ("customer", json!("acme")),
        ("meter", json!("api_calls")),
        ("event_name", json!("late")),
        ("stripe_customer", json!(stripe_customer)),
        ("value", json!(5)),
        ("state", json!("dead")),
        ("tries", json!(1)),
        ("next_try_at", Value::Null),
    ] {
        assert_eq!(row[key], value, "{key} of {row}");
    }
    assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("meter")), "{row}");
    let shown = command(&world, &["outbox", "list"]);
    assert!(shown.stdout.contains(&dead[0]) && shown.stdout.contains("dead"), "{}", shown.stdout);
    assert_eq!(json(&world, &["outbox", "list", "--state", "pending"]), json!({ "data": [] }));
    let wrong = command(&world, &["outbox", "retry", &dead[0], "tg-nothing-1"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""));
    assert!(wrong.stderr.contains("tg-nothing-1"), "{}", wrong.stderr);
    assert_eq!(json(&world, &["outbox", "list"]), listed, "nothing was changed");
    make_meter(&world).await;
    assert_eq!(command(&world, &["outbox", "retry"]).code, Some(0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_port_lists_in_pages_and_retries_one() {
    let (world, stripe_customer, dead) = dead_events(3).await;
    let ask = async |method, path: &str| world.admin(method, path, Some(ADMIN_TOKEN)).await;
    assert_eq!(world.admin(Method::GET, "/admin/outbox", None).await.status, 401);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ask(Method::GET, &format!("/admin/outbox?state=dead&limit=2{cursor}")).await.json();
        let rows = page["data"].as_array().expect("rows");
        seen.extend(rows.iter().map(|row| row["identifier"].as_str().expect("an identifier").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, dead);
    for wrong in ["limit=0", "limit=x", "state=nonsense", "unknown=1"] {
        assert_eq!(ask(Method::GET, &format!("/admin/outbox?{wrong}")).await.status, 400, "{wrong}");
    }
    make_meter(&world).await;
    let retried = ask(Method::POST, &format!("/admin/outbox/{}/retry", dead[1])).await;
    assert_eq!((retried.status, &retried.json()["queued"]), (200, &json!(false)));
    world.flush().await;
    assert_eq!(units(&world, &stripe_customer).await, 5);
    let again = ask(Method::POST, &format!("/admin/outbox/{}/retry", dead[1])).await;
    assert_eq!((again.status, again.code()), (409, "conflict".to_owned()));
    let unknown = ask(Method::POST, "/admin/outbox/tg-nothing-1/retry").await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found".to_owned()));
    assert_eq!(ask(Method::GET, &format!("/admin/outbox/{}/retry", dead[0])).await.status, 405);
    assert_eq!(json(&world, &["outbox", "retry"])["retried"].as_array().expect("rows").len(), 2);
    world.finish().await;
}
