//! Limits hold over all nodes, and all of them can be used.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;
use tokio::task::JoinSet;

use super::race::{Race, the_rest};
use super::redis::Redis;
use super::world::World;
use crate::harness::{Customer, Dice, PATIENCE, setting, until};

const CLIENTS: usize = 96;

/// Races for `limit` units until all are used; answers how many were granted before the first refusal.
async fn use_up(at: &[Customer], limit: u64, refusal: (u16, &str), dice: &mut Dice) -> u64 {
    let race = Race::start(at, CLIENTS, dice).end().await;
    assert_eq!(race.refusal, (refusal.0, refusal.1.to_owned()));
    assert_eq!(race.turned_away, 0, "Redis was there all the time");
    assert_eq!(race.charged + the_rest(at).await, limit, "granted in all (left) of the limit (right)");
    let before = race.before_refusing;
    assert!(before * 100 >= limit * 99, "refused when {before} of {limit} had been granted");
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_grant_all_of_a_hard_limit_and_never_more() {
    const LIMIT: u64 = 1_000;
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config("tiers.free.included.api_calls = 1000").start().await;
    let mut dice = Dice::new("three_nodes_grant_all_of_a_hard_limit_and_never_more");
    let rounds = setting("TOLLGATE_TEST_ROUNDS", 5);
    let mut least = LIMIT;
    for round in 0..rounds {
        let at = world.customer(&format!("acme-{round}"));
        least = least.min(use_up(&at, LIMIT, (429, "quota_exceeded"), &mut dice).await);
    }
    eprintln!("{rounds} rounds: at least {least} of {LIMIT} units before the first refusal, and never more");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_spend_a_cap_to_its_last_cent_and_no_further() {
    const CAPPED: &str = r#"
        [tiers.starter]
        included = { api_calls = 100 }
        overage = { unit_amount = { api_calls = "0.03" }, cap = "12.00" }
    "#;
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(CAPPED).start().await;
    let mut dice = Dice::new("three_nodes_spend_a_cap_to_its_last_cent_and_no_further");
    let (at, subscribed) = world.subscriber("capped", "starter").await;
    use_up(&at, 500, (402, "spend_cap_reached"), &mut dice).await;
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 500);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_spend_prepaid_units_to_the_last_and_none_twice() {
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config("tiers.free.included.api_calls = 0").start().await;
    let mut dice = Dice::new("three_nodes_spend_prepaid_units_to_the_last_and_none_twice");
    let at = world.customer("prepaid");
    assert_eq!(at[1].get("/signals").await.refusal(), (402, "credits_exhausted".to_owned()));
    let grant = json!({ "amount": 500, "reason": "a test" });
    let granted = world.nodes[1].operate("/admin/customers/prepaid/credits", &grant).await;
    assert_eq!(granted.status, 200, "{}", granted.text());
    for customer in &at {
        let knows = async || (customer.status().await["credits"] == 500).then_some(());
        until("all nodes know of the grant", PATIENCE, knows).await;
    }
    use_up(&at, 500, (402, "credits_exhausted"), &mut dice).await;
    for customer in &at {
        let knows = async || (customer.status().await["credits"] == 0).then_some(());
        until("all nodes know that nothing is left", PATIENCE, knows).await;
    }
    world.finish().await;
}

/// When a request that was admitted was sent, and answered.
type Span = (Instant, Instant);

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_never_pass_a_rate() {
    const RATE: f64 = 100.0;
    const BURST: f64 = 40.0;
    let redis = Redis::start().await;
    let config =
        "tiers.free.rate = '100/s'\ntiers.free.burst = 40\ntiers.free.included.api_calls = 'unlimited'";
    let world = World::on(&redis.url()).config(config).start().await;
    let at = world.customer("hasty");
    let admitted = Arc::new(Mutex::new(Vec::<Span>::new()));
    let mut clients = JoinSet::new();
    for client in 0..12 {
        clients.spawn(hurry(at[client % at.len()].clone(), admitted.clone()));
    }
    clients.join_all().await;
    assert_within(&admitted.lock().expect("no client panics here"), BURST, RATE);
    world.finish().await;
}

/// Asks until 400 requests of all clients have been admitted.
async fn hurry(customer: Customer, admitted: Arc<Mutex<Vec<Span>>>) {
    loop {
        let sent = Instant::now();
        let reply = customer.get("/signals").await;
        let mut admitted = admitted.lock().expect("no client panics here");
        if reply.status == 200 {
            admitted.push((sent, Instant::now()));
        } else {
            assert_eq!(reply.refusal(), (429, "rate_limited".to_owned()));
        }
        if admitted.len() >= 400 {
            return;
        }
    }
}

/// What was sent and answered within any span was admitted in it.
fn assert_within(admitted: &[Span], burst: f64, rate: f64) {
    let mut worst = f64::MIN;
    for (from, _) in admitted {
        let mut ends: Vec<_> =
            admitted.iter().filter(|(sent, _)| sent >= from).map(|(_, answered)| *answered).collect();
        ends.sort_unstable();
        for (count, end) in (1_u32..).zip(ends) {
            let allowed = burst + rate * end.duration_since(*from).as_secs_f64();
            worst = worst.max(f64::from(count) - allowed);
        }
    }
    let first = admitted.iter().map(|(sent, _)| sent).min().expect("some were admitted");
    let last = admitted.iter().map(|(_, answered)| answered).max().expect("some were admitted");
    let possible = burst + rate * last.duration_since(*first).as_secs_f64();
    eprintln!("{} of {possible:.0} possible requests; {:.1} below the rate at least", admitted.len(), -worst);
    assert!(worst <= 0.0, "{worst} requests beyond the rate");
}
