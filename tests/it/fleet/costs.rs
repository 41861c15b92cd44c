//! What an exchange cost beyond its hold is known to all nodes.

use crate::harness::{Behaviour, PATIENCE, until};

use super::redis::Redis;
use super::world::World;

const ROUTES: &str = r#"
    routes = [
        { path = "/sized", cost = { api_calls = { response_bytes = "1KiB", hold = 2 } } },
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
