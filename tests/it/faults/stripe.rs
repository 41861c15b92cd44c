//! A Stripe that fails every fifth call, in every way it can: customers notice nothing, and every unit counts once.
//!
//! An event that Stripe rejects as a duplicate is a try whose answer was lost after it had taken effect, and which
//! came again under another `Idempotency-Key`; under the same key Stripe gives its stored answer instead.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Customer, Dice, Load, PATIENCE, World, setting, until};

const CUSTOMERS: usize = 8;
const CLIENTS: usize = 8;
const PERCENT: u64 = 20;

/// How many duplicates so many strikes explain.
#[derive(Clone, Copy, PartialEq)]
enum Duplicates {
    None,
    /// Stripe's answer was another's, or an error: the next try goes under a new key.
    OneForEach,
    AtMost(usize),
}

/// So many customers on a paid tier.
pub fn subscribers(world: &World, customers: usize) -> Vec<(Customer, String)> {
    let subscribe = |at| {
        let name = format!("customer-{at}");
        let subscribed = world.stripe.subscribe("pro", Some(&name));
        (world.claiming(&name, Some(&subscribed.customer)), subscribed.customer)
    };
    (0..customers).map(subscribe).collect()
}

/// Each customer's units at Stripe are what they were told. Answers the sum.
pub async fn assert_each_counts_once(world: &World, customers: &[(Customer, String)]) -> u64 {
    let metered = world.stripe.metered().await;
    let each = customers.iter().map(|(customer, at_stripe)| {
        let units = metered.get(&(at_stripe.clone(), "api_calls".to_owned())).copied().unwrap_or(0);
        let (charged, doubtful) = world.seen_of(&customer.name);
        assert!(
            (charged..=charged + doubtful).contains(&units),
            "{}: charged {charged}, {doubtful} in doubt, Stripe holds {units}; the store: {:?}",
            customer.name,
            world.kept(&customer.name)
        );
        units
    });
    each.sum()
}

/// Load while Stripe fails so, then calm; `TOLLGATE_TEST_STRIKES` makes it longer.
async fn counts_once(name: &str, faults: &[Value], percent: u64, duplicates: Duplicates) {
    let mut dice = Dice::new(name);
    let world = World::builder().config("[billing]\nflush_interval = \"100ms\"").start().await;
    let customers = subscribers(&world, CUSTOMERS);
    for (customer, _) in &customers {
        customer.until_status("tier", "pro").await;
    }
    let clients: Vec<_> = customers.iter().map(|(customer, _)| customer.clone()).collect();
    world.stripe.break_at_random(faults, percent, dice.roll()).await;
    let load = Load::start(&clients, CLIENTS);
    let strikes = setting("TOLLGATE_TEST_STRIKES", 12);
    let within = PATIENCE + Duration::from_secs(2 * strikes);
    until("the faults strike", within, async || {
        world.let_pauses_pass();
        (world.stripe.struck().await.sum() >= strikes).then_some(())
    })
    .await;
    assert_eq!(load.refused() + load.lost(), 0, "a client noticed");
    let requests = load.charged();
    load.end().await;
    let struck = world.stripe.forget_faults().await;
    world.drain().await;
    let held = assert_each_counts_once(&world, &customers).await;
    let (events, rejected) = world.stripe.events_and_duplicates().await;
    eprintln!(
        "{name}: {requests} requests, {held} units charged and at Stripe in {events} events, {} answers failed {:?}, \
         {rejected} events rejected as duplicates",
        struck.sum(),
        struck.0
    );
    match duplicates {
        Duplicates::None => assert_eq!(rejected, 0),
        Duplicates::OneForEach => {
            assert_eq!(rejected, struck.sum(), "each lost answer explains one duplicate");
        }
        Duplicates::AtMost(first) => {
            let explained: u64 = struck.0[..first].iter().sum();
            assert!(rejected <= explained, "{rejected} duplicates, {explained} explained");
        }
    }
    let told = async |outcome: &str| {
        let metric = format!("tollgate_meter_events_total{{outcome=\"{outcome}\"}}");
        world.metric(&metric).await.expect("a count")
    };
    let (delivered, duplicate) = (told("delivered").await, told("duplicate").await);
    // A duplicate had been accepted at an earlier try; the answer that says so may be lost as well.
    assert_eq!((delivered + duplicate, told("dead").await), (events, 0));
    assert!(duplicate <= rejected, "{duplicate} of {rejected} heard of");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applied_and_the_connection_dropped() {
    let faults = [json!({ "drop": true, "when": "after" })];
    counts_once("applied, then dropped", &faults, PERCENT, Duplicates::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_dropped_before_the_effect() {
    counts_once("dropped before", &[json!({ "drop": true })], PERCENT, Duplicates::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_before_the_effect_that_is_saved_under_the_key() {
    let faults = [json!({ "status": 500, "saved": true })];
    counts_once("500 before, saved", &faults, PERCENT, Duplicates::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_effect_that_is_saved_under_the_key() {
    let faults = [json!({ "status": 500, "when": "after" })];
    counts_once("500 after, saved", &faults, PERCENT, Duplicates::OneForEach).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable_and_too_many_requests() {
    let faults = [json!({ "status": 503 }), json!({ "status": 429 })];
    counts_once("503 and 429", &faults, PERCENT / 2, Duplicates::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_with_another_call() {
    let faults = [
        json!({ "status": 409, "code": "lock_timeout" }),
        json!({ "status": 409, "code": "idempotency_key_in_use" }),
    ];
    counts_once("409", &faults, PERCENT / 2, Duplicates::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers() {
    counts_once("slow", &[json!({ "delay_ms": 400 })], PERCENT, Duplicates::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_page_in_place_of_an_answer() {
    let faults = [json!({ "status": 502, "html": true, "when": "after" })];
    counts_once("HTML 502 after", &faults, PERCENT, Duplicates::OneForEach).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_to_try_again_and_not_to() {
    let faults = [
        json!({ "status": 500, "when": "after", "should_retry": false }),
        json!({ "status": 400, "should_retry": true }),
    ];
    counts_once("Stripe-Should-Retry", &faults, PERCENT / 2, Duplicates::AtMost(1)).await;
}

/// Everything at once. The first three lose an answer after the effect.
pub fn mixed() -> Vec<Value> {
    vec![
        json!({ "status": 500, "when": "after" }),
        json!({ "status": 502, "html": true, "when": "after" }),
        json!({ "status": 500, "when": "after", "should_retry": false }),
        json!({ "drop": true, "when": "after" }),
        json!({ "drop": true }),
        json!({ "status": 500, "saved": true }),
        json!({ "status": 503 }),
        json!({ "status": 429 }),
        json!({ "status": 409, "code": "lock_timeout" }),
        json!({ "status": 409, "code": "idempotency_key_in_use" }),
        json!({ "status": 400, "should_retry": true }),
        json!({ "delay_ms": 200 }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once() {
    counts_once("mixed", &mixed(), 2, Duplicates::AtMost(3)).await;
}
