//! What an exchange cost beyond its hold is known to all nodes.

use crate::harness::{Behaviour, PATIENCE, until};

use super::redis::Redis;
use super::world::World;

const ROUTES: &str = r#"
    routes = [
        { path = "/sized", cost = { api_calls = { response_bytes = "1KiB", hold = 2 } } },
        { path = "/cut", on_limit = "cut", cost = { api_calls = { response_bytes = "1KiB", hold = 2 } } },
        { path = "/signals", cost = 1 },
    ]
    [tiers.starter]
    included = { api_calls = 50 }
    overage = "deny"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_truth_above_what_a_node_was_lent_is_told_and_binds_the_others() {
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(ROUTES).start().await;
    let (at, subscribed) = world.subscriber("acme", "starter").await;
    world.upstream.on("/sized", Behaviour::Large(60 << 10));
    let reply = at[0].get("/sized").await;
    assert_eq!(reply.header("x-usage-cost"), Some("api_calls=2;held"));
    at[0].owes("api_calls=60");
    for customer in &at {
        until("all nodes know it", PATIENCE, async || (customer.used().await == 60).then_some(())).await;
        assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    }
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 50, "10 are covered by nothing");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_all_nodes_share_cuts_an_exchange_of_one() {
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(ROUTES).start().await;
    let (at, subscribed) = world.subscriber("acme", "starter").await;
    world.upstream.on("/cut", Behaviour::Paused(40 << 10, 20 << 10));
    let asking = tokio::spawn({
        let customer = at[0].clone();
        async move { customer.try_get("/cut").await }
    });
    until("all nodes know what has passed", PATIENCE, async || (at[1].used().await >= 40).then_some(()))
        .await;
    world.upstream.release();
    assert!(asking.await.expect("it ran").is_err(), "it is cut");
    world.drain().await;
    let units = world.stripe.units_of(&subscribed.customer).await;
    assert!((40..=50).contains(&units), "{units}");
    at[0].owes(&format!("api_calls={units}"));
    world.finish().await;
}
