//! A machine dies with usage that it has not reported: another one reports it, once; and when it comes back after all,
//! still once.

use serde_json::json;

use super::redis::Redis;
use super::world::World;
use crate::harness::{Dice, Load, PATIENCE, setting, until};

/// Units in the copies of all nodes, as `t` and `r` fields have them.
async fn copied(redis: &Redis) -> i64 {
    let keys: Vec<String> = redis.ask(&["KEYS", "tg:{u*}:x"]).await;
    let mut units = 0;
    for key in keys {
        let fields: Vec<(String, String)> = redis.ask(&["HGETALL", &key]).await;
        let counted = fields.iter().filter(|(field, _)| field.starts_with(['t', 'r']));
        units += counted.map(|(_, text)| units_in(text)).sum::<i64>();
    }
    units
}

fn units_in(text: &str) -> i64 {
    let body: serde_json::Value = serde_json::from_str(text).expect("JSON");
    body["v"].as_i64().expect("units")
}

/// As if a node had last been seen two hours ago.
async fn make_old(redis: &Redis, name: &str) {
    let entry: String = redis.ask(&["HGET", "tg:nodes", name]).await;
    let mut parts: Vec<_> = entry.split(',').map(str::to_owned).collect();
    let seen: u64 = parts[3].parse().expect("milliseconds");
    parts[3] = (seen - 7_200_000).to_string();
    let () = redis.ask(&["HSET", "tg:nodes", name, &parts.join(",")]).await;
}

/// Waits until Stripe has counted so many units of a customer.
async fn until_counted(world: &World, stripe_customer: &str, units: u64) {
    until("Stripe has counted all", 2 * PATIENCE, async || {
        let counted = world.stripe.units_of(stripe_customer).await;
        assert!(counted <= units, "{counted} units counted, {units} used");
        (counted == units).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_machine_has_not_reported_is_reported_once_even_when_it_is_back() {
    let redis = Redis::start().await;
    // Nothing is reported unless a test says so.
    let mut world = World::on(&redis.url()).config("billing.flush_interval = '1h'").start().await;
    let (at, subscribed) = world.subscriber("paying", "pro").await;
    for _ in 0..10 {
        assert_eq!(at[2].get("/export/pdf").await.charged(), 5);
    }
    world.nodes[2].drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 50);
    // Stripe counts the next row, and no answer arrives.
    world.stripe.break_meter_events(json!({ "drop": true, "when": "after", "times": 1_000 })).await;
    for _ in 0..10 {
        assert_eq!(at[2].get("/export/csv").await.charged(), 3);
    }
    world.nodes[2].operate("/admin/outbox/flush", &json!({})).await;
    for _ in 0..7 {
        assert_eq!(at[2].get("/signals").await.charged(), 1);
    }
    until("what is unsent is copied", PATIENCE, async || (copied(&redis).await == 37).then_some(())).await;
    world.nodes[2].gateway.kill9();
    world.stripe.forget_faults().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 80);
    make_old(&redis, "three").await;
    for node in &world.nodes[..2] {
        node.drain().await;
    }
    until_counted(&world, &subscribed.customer, 87).await;

    world.nodes[2].gateway.restart().await;
    assert_eq!(at[2].get("/signals").await.charged(), 1);
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 88, "each unit once");
    eprintln!("87 units of a lost machine: each reported once, and once still when it is back");
    world.finish().await;
}

/// Under load, and back at a random moment.
#[tokio::test(flavor = "multi_thread")]
async fn machines_that_die_under_load_and_come_back_are_billed_once() {
    let redis = Redis::start().await;
    let mut world = World::start(&redis).await;
    let mut dice = Dice::new("machines_that_die_under_load_and_come_back_are_billed_once");
    let (mut at, mut owners) = (Vec::new(), Vec::new());
    for name in ["paying", "paying-too"] {
        let (customers, subscribed) = world.subscriber(name, "pro").await;
        at.extend(customers);
        owners.push((name, subscribed.customer));
    }
    for _ in 0..setting("TOLLGATE_TEST_ROUNDS", 2) {
        let load = Load::start(&at, 6);
        load.answers(50 + u64::try_from(dice.below(200)).expect("a small number")).await;
        world.nodes[2].gateway.kill9();
        load.answers(50).await;
        load.end().await;
        make_old(&redis, "three").await;
        if dice.percent(70) {
            let fenced = async || {
                let fences: Vec<String> = redis.ask(&["KEYS", "tg:{u*}:f"]).await;
                (!fences.is_empty()).then_some(())
            };
            until("it is taken over", 2 * PATIENCE, fenced).await;
        }
        world.nodes[2].gateway.restart().await;
    }
    for (name, stripe_customer) in &owners {
        until("Stripe has counted all", 2 * PATIENCE, async || {
            world.drain().await;
            let counted = world.stripe.units_of(stripe_customer).await;
            (i64::try_from(counted) == Ok(world.kept(name))).then_some(())
        })
        .await;
        let (charged, doubtful) = world.seen_of(name);
        eprintln!("{name}: {} units billed; {charged} charged, {doubtful} in doubt", world.kept(name));
    }
    world.finish().await;
}
