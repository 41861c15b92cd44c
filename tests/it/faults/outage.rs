//! Stripe is away: requests flow, usage waits and shows, and arrives once, in its period, when Stripe is back.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::stripe::{assert_each_counts_once, subscribers};
use crate::harness::{Load, PATIENCE, World, setting, unix_now, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_refuses_nobody_shows_its_backlog_and_everything_arrives_once_when_it_ends() {
    let seconds = setting("TOLLGATE_TEST_OUTAGE_SECONDS", 4);
    let mut world = World::builder().config("[billing]\nflush_interval = \"100ms\"").by_road().start().await;
    let customers = subscribers(&world, 8);
    for (customer, _) in &customers {
        customer.until_status("tier", "pro").await;
    }
    let clients: Vec<_> = customers.iter().map(|(customer, _)| customer.clone()).collect();
    let began = unix_now();
    let load = Load::start(&clients, 4);
    load.answers(20).await;

    // One half of it nobody listens, the other half every connection ends without an answer.
    let outage = Duration::from_secs(seconds);
    world.road().close().await;
    until_passed(&world, &load, Instant::now() + outage / 2).await;
    world.stripe.hook("faults", json!({ "operation": "*", "drop": true, "percent": 100 })).await;
    world.road().reopen().await;
    until_passed(&world, &load, Instant::now() + outage / 2).await;
    for (metric, what) in [
        ("tollgate_outbox_pending", "the rows that wait"),
        ("tollgate_outbox_oldest_seconds", "since when"),
        ("tollgate_unsealed_units{meter=\"api_calls\"}", "the units behind them"),
        ("tollgate_stripe_circuit_open", "that Stripe is left alone"),
    ] {
        until(what, PATIENCE, async || world.metric(metric).await.filter(|value| *value > 0)).await;
    }
    assert_eq!(world.admin(http::Method::GET, "/readyz", None).await.status, 200);
    let held_meanwhile: u64 = world.stripe.metered().await.values().sum();
    world.stripe.forget_faults().await;
    load.answers(20).await;
    assert_eq!(load.refused() + load.lost(), 0, "a client noticed");
    let requests = load.charged();
    load.end().await;
    let ended = unix_now();

    world.drain().await;
    let held = assert_each_counts_once(&world, &customers).await;
    for (units, timestamp) in world.batches() {
        assert!(
            (began..=ended).contains(&timestamp),
            "{units} units are dated {timestamp}, not to their use"
        );
    }
    eprintln!(
        "{seconds} s without Stripe: {requests} requests, none refused; {} of {held} units waited",
        held - held_meanwhile
    );
    assert!(held_meanwhile < held);
    assert_eq!(world.stripe.events_and_duplicates().await.1, 0, "a dropped try is repeated under its key");
    world.finish().await;
}

/// Load goes on all the while.
async fn until_passed(world: &World, load: &Load, end: Instant) {
    while Instant::now() < end {
        load.answers(10).await;
        world.let_pauses_pass();
    }
}
