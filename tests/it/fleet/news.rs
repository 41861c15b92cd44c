//! What one gateway hears of a customer, all of them know; and whatever all of them hear is done once.

use std::time::Instant;

use serde_json::json;

use super::proxy::Proxy;
use super::redis::Redis;
use super::world::World;
use crate::harness::{Customer, PATIENCE, setting, until};

/// Waits until a customer is on a tier at every node; answers how long each of the others knew it later than the first.
async fn until_on(at: &[Customer], tier: &str) -> Vec<u128> {
    at[0].until_status("tier", tier).await;
    let known = Instant::now();
    let others = at[1..].iter().map(async |customer| {
        customer.until_status("tier", tier).await;
        known.elapsed().as_millis()
    });
    futures_util::future::join_all(others).await
}

/// Moves a subscriber up and down; the first node alone is told. Answers the longest that another node took to know.
async fn change_tiers(world: &World, at: &[Customer], subscription: &str) -> u128 {
    let mut worst = 0;
    for turn in 0..setting("TOLLGATE_TEST_ROUNDS", 6) {
        let tier = ["pro", "starter"][turn % 2];
        world.stripe.change_tier(subscription, tier).await;
        worst = until_on(at, tier).await.into_iter().fold(worst, u128::max);
        for customer in at {
            let premium = customer.get("/premium").await.status;
            assert_eq!(premium, if tier == "pro" { 200 } else { 403 }, "{tier}");
        }
    }
    worst
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_that_changes_through_one_node_is_in_force_on_all() {
    let redis = Redis::start().await;
    let world = World::start(&redis).await;
    let (at, subscribed) = world.subscriber("acme", "starter").await;
    let worst = change_tiers(&world, &at, &subscribed.subscription).await;
    eprintln!("in force on the others at most {worst} ms after the first");
    world.stripe.change_tier(&subscribed.subscription, "pro").await;
    until_on(&at, "pro").await;
    for (at, node) in world.nodes.iter().enumerate() {
        until(&format!("node {at} counts it once"), PATIENCE, async || {
            let count = async |tier: &str| {
                let line = format!("tollgate_subscriptions{{status=\"active\",tier=\"{tier}\"}}");
                node.metric(&line).await
            };
            (count("pro").await == 1 && count("starter").await == 0).then_some(())
        })
        .await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_that_changes_is_in_force_on_all_though_nothing_published_arrives() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.at()).await;
    let fleet = World::on(&redis.url()).by(1, &proxy.url()).by(2, &proxy.url());
    let world = fleet.start().await;
    let (at, subscribed) = world.subscriber("acme", "starter").await;
    proxy.mute();
    let worst = change_tiers(&world, &at, &subscribed.subscription).await;
    eprintln!("with the channel cut: in force on the others at most {worst} ms after the first");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_a_node_was_cut_off_is_in_force_when_it_is_back() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.at()).await;
    let world = World::on(&redis.url()).by(2, &proxy.url()).start().await;
    let (at, subscribed) = world.subscriber("acme", "starter").await;
    proxy.cut();
    world.nodes[2].until_linked(false).await;
    world.stripe.change_tier(&subscribed.subscription, "pro").await;
    until_on(&at[..2], "pro").await;
    assert_eq!(at[2].status().await["tier"], "starter", "nobody has told it");
    proxy.open();
    at[2].until_status("tier", "pro").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_blocked_at_one_node_is_blocked_at_all() {
    let redis = Redis::start().await;
    let world = World::start(&redis).await;
    let at = world.customer("acme");
    for customer in &at {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    let blocked = world.nodes[1].operate("/admin/customers/acme/block", &json!({ "reason": "fraud" })).await;
    assert_eq!(blocked.status, 200, "{}", blocked.text());
    for customer in &at {
        let refused = async || (customer.get("/signals").await.status == 403).then_some(());
        until("blocked everywhere", PATIENCE, refused).await;
    }
    let freed = world.nodes[2].operate("/admin/customers/acme/unblock", &json!({})).await;
    assert_eq!(freed.status, 200, "{}", freed.text());
    for customer in &at {
        let served = async || (customer.get("/signals").await.status == 200).then_some(());
        until("served again everywhere", PATIENCE, served).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_every_node_is_told_of_is_granted_once() {
    let redis = Redis::start().await;
    let fleet = World::on(&redis.url()).told(&[0, 1, 2]).config("tiers.pro.credits_per_cycle = 500");
    let world = fleet.start().await;
    let (at, _) = world.subscriber("acme", "pro").await;
    for customer in &at {
        let granted = async || {
            let credits = customer.status().await["credits"].as_u64().expect("units");
            assert!(credits == 0 || credits == 500, "{credits} credits");
            (credits == 500).then_some(())
        };
        until("the credits are there", PATIENCE, granted).await;
    }
    world.finish().await;
}
