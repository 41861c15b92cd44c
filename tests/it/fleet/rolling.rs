//! Gateways come and go: one after the other is stopped and started again, and two must not have one name.

use super::race::Race;
use super::redis::Redis;
use super::world::World;
use crate::harness::{Customer, Dice, Load};

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_no_unit_and_counts_none_twice() {
    const LIMIT: u64 = 6_000;
    let redis = Redis::start().await;
    let config = format!("tiers.free.included.api_calls = {LIMIT}");
    let mut world = World::on(&redis.url()).config(&config).start().await;
    let mut dice = Dice::new("a_rolling_restart_loses_no_unit_and_counts_none_twice");
    let mut billed: Vec<Customer> = Vec::new();
    for name in ["paying", "paying-too"] {
        billed.extend(world.subscriber(name, "pro").await.0);
    }
    let load = Load::start(&billed, 6);
    let at = world.customer("racing");
    let race = Race::start(&at, 3, &mut dice);
    for node in &mut world.nodes {
        load.answers(100).await;
        node.gateway.stop().await;
        load.answers(100).await;
        node.gateway.restart().await;
    }
    let during = race.charged();
    let outcome = race.end().await;
    assert_eq!(outcome.refusal, (429, "quota_exceeded".to_owned()));
    let charged = load.charged();
    load.end().await;
    super::race::the_rest(&at).await;
    world.drain().await;
    eprintln!("{during} of {LIMIT} units and {charged} billed requests in a rolling restart of three nodes");
    assert_eq!(world.kept("racing"), LIMIT.cast_signed());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_and_is_back_has_its_units_and_no_others() {
    const LIMIT: u64 = 1_000;
    let redis = Redis::start().await;
    let mut world = World::on(&redis.url()).config("tiers.free.included.api_calls = 1000").start().await;
    let mut dice = Dice::new("a_node_that_was_killed_and_is_back_has_its_units_and_no_others");
    let at = world.customer("racing");
    let race = Race::start(&at, 12, &mut dice);
    race.reaches(300).await;
    world.nodes[1].gateway.kill9();
    race.reaches(600).await;
    world.nodes[1].gateway.restart().await;
    race.end().await;
    super::race::the_rest(&at).await;
    world.drain().await;
    assert_eq!(world.kept("racing"), LIMIT.cast_signed(), "in the ledgers (left) of the limit (right)");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_alive_is_refused_and_one_that_is_gone_can_be_taken() {
    let redis = Redis::start().await;
    let mut world = World::start(&redis).await;
    let mut stranger = world.stranger("two", &redis.url());
    let (code, said) = stranger.start_in_vain().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("fleet.node \"two\" is alive elsewhere"), "{said}");
    let at = world.customer("acme");
    assert_eq!(at[1].get("/signals").await.charged(), 1, "who has the name goes on");
    world.nodes[1].gateway.stop().await;
    stranger.start().await;
    let (code, _) = world.nodes[1].gateway.start_in_vain().await;
    assert_eq!(code, Some(1), "now it is the other's");
    stranger.stop().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_not_replaced_in_place_and_says_what_to_do_instead() {
    let redis = Redis::start().await;
    let world = World::start(&redis).await;
    let (code, why) = world.nodes[0].gateway.upgrade_in_vain().await;
    assert_eq!((code, why.contains("node by node")), (Some(1), true), "{why}");
    let at = world.customer("calm");
    assert_eq!(at[0].get("/signals").await.charged(), 1, "it goes on");
    world.finish().await;
}
