//! `kill -9` at random moments: no charged unit is lost, and none billed twice.

use std::time::Duration;

use super::stripe::{assert_each_counts_once, mixed, subscribers};
use crate::harness::{Dice, Load, World, setting};

const CUSTOMERS: usize = 6;
const CLIENTS: usize = 16;
/// The dearest request.
const MOST_UNITS: u64 = 5;
/// A start takes about as long.
const START: Duration = Duration::from_millis(250);

/// Kills the gateway again and again under load: while it answers, folds, seals, sends and takes webhooks, and while
/// it starts. `TOLLGATE_TEST_KILLS` sets how often.
async fn loses_nothing(name: &str, percent: u64, usual: u64) {
    let mut dice = Dice::new(name);
    let kills = setting("TOLLGATE_TEST_KILLS", usual);
    // Everything behind a request happens all the time.
    let mut world = World::builder().config("[billing]\nflush_interval = \"100ms\"").start().await;
    let subscribed: Vec<_> = (0..CUSTOMERS)
        .map(|at| world.stripe.subscribe("pro", Some(&format!("news-{at}"))).subscription)
        .collect();
    let customers = subscribers(&world, CUSTOMERS);
    for (customer, _) in &customers {
        customer.until_status("tier", "pro").await;
    }
    let clients: Vec<_> = customers.iter().map(|(customer, _)| customer.clone()).collect();
    if percent > 0 {
        world.stripe.break_at_random(&mixed(), percent, dice.roll()).await;
    }
    let load = Load::start(&clients, CLIENTS);
    for _ in 0..kills {
        load.answers(dice.below(80) as u64 + 1).await;
        if dice.percent(30) {
            let status = ["past_due", "active"][dice.below(2)];
            world.stripe.set_status(&subscribed[dice.below(CUSTOMERS)], status).await;
        }
        if dice.percent(30) {
            world.let_pauses_pass();
        }
        wait_a_little(&mut dice);
        world.gateway.kill9();
        while dice.percent(25) {
            world.gateway.spawn();
            // Killed at a random moment of its start: there is nothing to wait for.
            tokio::time::sleep(START * u32::try_from(dice.below(100)).expect("small") / 100).await;
            world.gateway.kill9();
        }
        world.gateway.restart().await;
    }
    load.answers(100).await;
    let (requests, lost) = (load.charged(), load.lost());
    load.end().await;
    world.stripe.forget_faults().await;
    world.drain().await;
    let held = assert_each_counts_once(&world, &customers).await;
    let (charged, doubtful) = world.seen();
    eprintln!(
        "{name}: {kills} kills, {requests} requests charged, {lost} without an answer; clients saw {charged} units, \
         Stripe holds {held}: {} more, {doubtful} were in flight; {} events rejected as duplicates",
        held - charged,
        world.stripe.events_and_duplicates().await.1
    );
    assert!(
        doubtful <= 2 * (kills + 1) * CLIENTS as u64 * MOST_UNITS,
        "only requests in flight are in doubt"
    );
    world.finish().await;
}

/// Less than a millisecond of the gateway's progress.
fn wait_a_little(dice: &mut Dice) {
    for _ in 0..dice.below(200_000) {
        std::hint::spin_loop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_no_charged_unit_and_bill_none_twice() {
    loses_nothing("kills", 0, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_stripe_fails_every_fifth_call_do_neither() {
    loses_nothing("kills and a failing Stripe", 2, 12).await;
}
