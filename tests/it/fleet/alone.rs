//! Gateways that do not reach Redis: all of them, one of them, from the start, for a while.

use super::proxy::Proxy;
use super::race::the_rest;
use super::redis::Redis;
use super::trial::{ALLOWANCE, LIMIT, POLICIES, Trial};
use super::world::World;
use crate::harness::{Customer, PATIENCE, setting, until};

const UNAVAILABLE: (u16, &str) = (503, "fleet_unavailable");

/// Single units until they are refused, which must be for want of Redis.
async fn until_unavailable(at: &Customer) -> u64 {
    let mut units = 0;
    loop {
        let reply = at.get("/signals").await;
        if reply.status != 200 {
            assert_eq!(reply.refusal(), (UNAVAILABLE.0, UNAVAILABLE.1.to_owned()));
            assert_eq!(reply.header("retry-after"), Some("1"));
            let kind = reply.json()["type"].as_str().expect("a type").to_owned();
            assert!(kind.ends_with("#temporary-reduced-capacity"), "{kind}");
            return units;
        }
        units += reply.charged();
    }
}

fn config(on_redis_loss: &str) -> String {
    format!(
        "fleet.on_redis_loss = '{on_redis_loss}'
        [tiers.free]
        included.api_calls = {LIMIT}
        degraded_allowance = {ALLOWANCE}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_node_admits_its_allowance_and_all_of_it_counts_later() {
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(&config("degrade")).start().await;
    redis.pause();
    for node in &world.nodes {
        node.until_linked(false).await;
    }
    let at = world.customer("acme");
    for customer in &at {
        assert_eq!(until_unavailable(customer).await, ALLOWANCE, "of one whom no node has seen before");
        assert_eq!(customer.get("/free").await.status, 200, "what costs nothing needs no Redis");
        assert_eq!(customer.used().await, ALLOWANCE);
    }
    redis.resume();
    for node in &world.nodes {
        node.until_linked(true).await;
    }
    assert_eq!(3 * ALLOWANCE + the_rest(&at).await, LIMIT);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_free_at_last_is_shared_without_redis_too() {
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(&config("degrade")).start().await;
    let at = world.customer("acme");
    // All but ten units, and every node knows it.
    for _ in 0..(LIMIT - 10) / 5 {
        assert_eq!(at[0].get("/export/pdf").await.charged(), 5);
    }
    for customer in &at {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    for customer in &at {
        customer.until_used(LIMIT - 7).await;
    }
    redis.pause();
    for node in &world.nodes {
        node.until_linked(false).await;
    }
    let mut granted = LIMIT - 7;
    for customer in &at {
        granted += until_unavailable(customer).await;
    }
    eprintln!("{granted} of {LIMIT} units, the last of them without Redis");
    // Each node rounds its part up.
    assert!(granted <= LIMIT + 2, "{granted}");
    redis.resume();
    for node in &world.nodes {
        node.until_linked(true).await;
    }
    the_rest(&at).await;
    world.drain().await;
    assert!((LIMIT..=LIMIT + 2).contains(&world.kept("acme").cast_unsigned()), "{}", world.kept("acme"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_denies_admits_nothing_beyond_its_claims_without_redis() {
    let redis = Redis::start().await;
    let mut world = World::on(&redis.url()).config(&config("deny")).start().await;
    redis.pause();
    for node in &world.nodes {
        node.until_linked(false).await;
    }
    let at = world.customer("acme");
    for customer in &at {
        assert_eq!(until_unavailable(customer).await, 0);
        assert_eq!(customer.get("/free").await.status, 200, "nothing is charged");
    }
    world.nodes[2].gateway.kill9();
    world.nodes[2].gateway.spawn();
    let started = async || world.nodes[2].gateway.log().contains("starts without its fleet").then_some(());
    until("it starts without its fleet", PATIENCE, started).await;
    redis.resume();
    world.nodes[2].gateway.ready().await;
    for node in &world.nodes {
        node.until_linked(true).await;
    }
    assert_eq!(the_rest(&at).await, LIMIT);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_without_redis_serves_what_is_free_and_joins_later() {
    let mut redis = Redis::start().await;
    let mut world = World::on(&redis.url()).config(&config("degrade")).start().await;
    let at = world.customer("acme");
    assert_eq!(at[0].get("/signals").await.charged(), 1);
    redis.kill();
    world.nodes[2].gateway.kill9();
    world.nodes[2].gateway.restart().await;
    let free = at[2].get("/free").await;
    assert_eq!(free.status, 200, "{}", free.text());
    assert_eq!(until_unavailable(&at[2]).await, 0, "it knows nothing of what the others have used");
    redis.restart().await;
    for node in &world.nodes {
        node.until_linked(true).await;
    }
    assert_eq!(1 + the_rest(&at).await, LIMIT);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_a_time_without_redis_is_billed_once_and_counts() {
    for (policy, bound) in POLICIES {
        let redis = Redis::start().await;
        let mut trial = Trial::start("stands_still", World::on(&redis.url()), policy).await;
        for _ in 0..setting("TOLLGATE_TEST_ROUNDS", 2) {
            trial
                .round(async |load| {
                    redis.pause();
                    load.refusals(3).await;
                    redis.resume();
                })
                .await;
        }
        trial.end(&format!("{policy}, Redis stands still"), bound).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_that_is_cut_off_takes_no_more_than_its_part() {
    for (policy, bound) in [("deny", 0), ("degrade", ALLOWANCE)] {
        for stalls in [false, true] {
            let redis = Redis::start().await;
            let proxy = Proxy::start(redis.at()).await;
            let fleet = World::on(&redis.url()).by(2, &proxy.url());
            let mut trial = Trial::start("cut_off", fleet, policy).await;
            trial
                .round(async |load| {
                    if stalls {
                        proxy.stall();
                    } else {
                        proxy.cut();
                    }
                    load.refusals(3).await;
                    proxy.open();
                })
                .await;
            trial.end(&format!("{policy}, one node cut off (stalled: {stalls})"), bound).await;
        }
    }
}
