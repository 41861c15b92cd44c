//! An API key that one gateway makes is good at all of them, and one that it revokes at none.

use std::time::Instant;

use http::Method;
use serde_json::json;

use super::redis::Redis;
use super::world::World;
use crate::harness::{Customer, PATIENCE, until};

const KEYS: &str = "[auth.keys]\nenabled = true";

/// Makes a key at a node; answers its id, and who calls with it at every node.
async fn make(world: &World, node: usize) -> (String, Vec<Customer>) {
    let wanted = json!({ "customer": "acme", "name": "of a test" });
    let reply = world.nodes[node].operate("/admin/keys", &wanted).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let made = reply.json();
    let text = |key: &str| made[key].as_str().expect("a text");
    let at = world.customer("acme").into_iter().map(|customer| customer.showing(text("key")));
    (text("id").to_owned(), at.collect())
}

async fn until_answered(customer: &Customer, status: u16) {
    until(&format!("{status} is answered"), PATIENCE, async || {
        (customer.get("/free").await.status == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_at_every_node_and_a_revoked_one_at_none() {
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(KEYS).start().await;
    let (id, at) = make(&world, 0).await;
    assert_eq!(at[0].get("/signals").await.charged(), 1, "at once where it was made");
    for customer in &at {
        until_answered(customer, 200).await;
    }
    assert_eq!(world.nodes[2].shown("/admin/keys").await["data"][0]["id"], id, "all of them list it");
    let revoked = world.nodes[1].ask(Method::DELETE, &format!("/admin/keys/{id}"), None).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    let begun = Instant::now();
    assert_eq!(at[1].get("/free").await.status, 401, "at once where it was revoked");
    for customer in &at {
        until_answered(customer, 401).await;
    }
    eprintln!("refused everywhere after {} ms", begun.elapsed().as_millis());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_while_a_node_was_down_is_refused_when_it_is_back() {
    let redis = Redis::start().await;
    let mut world = World::on(&redis.url()).config(KEYS).start().await;
    let (id, at) = make(&world, 0).await;
    until_answered(&at[2], 200).await;
    world.nodes[2].gateway.stop().await;
    let revoked = world.nodes[0].ask(Method::DELETE, &format!("/admin/keys/{id}"), None).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    world.nodes[2].gateway.restart().await;
    until_answered(&at[2], 401).await;
    let row = async || {
        let row = world.nodes[2].shown(&format!("/admin/keys/{id}")).await;
        (row["state"] == "revoked").then_some(())
    };
    until("its list says so", PATIENCE, row).await;
    world.finish().await;
}
