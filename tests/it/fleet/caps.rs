//! What each member of a customer may use is counted by each node, which admits its part of it.

use serde_json::json;

use super::redis::Redis;
use super::world::World;
use crate::harness::{Customer, PATIENCE, token, unix_now, until};

/// Until each node hears of what the others know: then it counts them.
async fn until_known(world: &World) {
    for number in 0..world.nodes.len() {
        assert_eq!(world.customer(&format!("of-{number}"))[number].get("/signals").await.charged(), 1);
    }
    for node in &world.nodes {
        until("each knows the others", PATIENCE, async || {
            let list = node.shown("/admin/customers").await;
            (list["data"].as_array().map(Vec::len) == Some(world.nodes.len())).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_three_nodes_admits_its_part_of_a_members_cap_rounded_up() {
    let redis = Redis::start().await;
    let config = "tiers.free.included.api_calls = 1000\ntiers.free.member.included.api_calls = 10";
    let world = World::on(&redis.url()).config(config).start().await;
    until_known(&world).await;
    let claims = json!({ "sub": "acme", "member": "ann", "exp": unix_now() + 3_600 });
    let at: Vec<Customer> =
        world.customer("acme").into_iter().map(|acme| acme.showing(&token(&claims))).collect();
    for ann in &at {
        for _ in 0..4 {
            assert_eq!(ann.get("/signals").await.charged(), 1);
        }
        let refused = ann.get("/signals").await;
        assert_eq!(refused.refusal(), (429, "quota_exceeded".to_owned()));
        assert_eq!(refused.json()["violated-policies"], json!(["member-api_calls"]));
    }
    for acme in world.customer("acme") {
        assert_eq!(acme.get("/signals").await.charged(), 1, "the customer has more");
    }
    world.finish().await;
}
