//! An API key that one gateway makes is good at all of them, and one that it revokes at none; who has one, and who shows
//! nothing, has one quota at all.

use std::time::Instant;

use http::Method;
use reqwest::RequestBuilder;
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

/// Asks in turns until the quota is used up at every node; answers what was charged.
async fn use_up(at: &[Customer]) -> u64 {
    let mut charged = 0;
    let mut refused = 0;
    for turn in 0.. {
        let reply = at[turn % at.len()].ask(Method::GET, "/signals", from_one_address).await;
        charged += reply.charged();
        refused = if reply.status == 200 { 0 } else { refused + 1 };
        if refused == at.len() {
            break;
        }
    }
    charged
}

fn from_one_address(request: RequestBuilder) -> RequestBuilder {
    request.header("x-forwarded-for", "2001:db8::7")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_key_of_their_own_or_shows_nothing_has_one_quota_at_all_nodes() {
    let config = r#"
        routes = [{ path = "/signals", cost = 1, auth = "optional" }]
        server.trusted_proxies = ["127.0.0.0/8"]
        auth.keys.enabled = true
        auth.anonymous.tier = "anonymous"
        [tiers.anonymous]
        included = { api_calls = 7 }
        overage = "deny"
        [tiers.free]
        included = { api_calls = 10 }
    "#;
    let redis = Redis::start().await;
    let world = World::on(&redis.url()).config(config).start().await;
    let anonymous: Vec<Customer> =
        world.customer("ip 2001:db8::/64").into_iter().map(Customer::showing_nothing).collect();
    assert_eq!(use_up(&anonymous).await, 7);
    let made = world.nodes[0].operate("/admin/keys", &json!({ "name": "of its own" })).await.json();
    let text = |key: &str| made[key].as_str().expect("a text");
    let own: Vec<Customer> =
        world.customer(text("customer")).into_iter().map(|customer| customer.showing(text("key"))).collect();
    for customer in &own {
        let known = async || (customer.get("/billing/status").await.status == 200).then_some(());
        until("the key is known", PATIENCE, known).await;
    }
    assert_eq!(use_up(&own).await, 10);
    world.finish().await;
}
