//! Missed news: everything is read again from Stripe, and silence is not taken for good news for ever.

mod all;
mod backfill;
mod command;
mod resume;
mod second;
mod silence;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

/// A gateway at a Stripe that keeps its news to itself.
async fn without_news() -> World {
    World::builder().without_webhooks().start().await
}

/// So many subscribers, called `customer_0` and so on, of whom no event tells and whom no token claims. Answers their
/// subscriptions.
async fn subscribe(world: &World, count: usize) -> Vec<String> {
    subscribe_as(world, "customer", count).await
}

/// The same, called `<prefix>_0` and so on.
async fn subscribe_as(world: &World, prefix: &str, count: usize) -> Vec<String> {
    let seed = json!({ "customers": count, "tier": "pro", "prefix": prefix });
    let made = world.stripe.hook("seed", seed).await;
    let made = made.as_array().expect("a list").iter();
    made.map(|one| one["subscription"].as_str().expect("an id").to_owned()).collect()
}

/// Has everything read again.
async fn sync(world: &World) -> Value {
    let reply = world.operate("/admin/sync", &json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn progress(world: &World) -> Value {
    world.admin(Method::GET, "/admin/sync", Some(ADMIN_TOKEN)).await.json()
}

/// Waits for the sync of the gateway's start; answers what it did.
async fn until_synced(world: &World) -> Value {
    until("everything has been read", PATIENCE, async || {
        let progress = progress(world).await;
        (!progress["ended_at"].is_null()).then_some(progress)
    })
    .await
}

/// Calls of Stripe that were answered, by this process of the gateway.
async fn calls(world: &World, operation: &str) -> u64 {
    let line = format!("tollgate_stripe_requests_total{{operation=\"{operation}\",outcome=\"ok\"}}");
    world.metric(&line).await.expect("there from the start")
}

/// The store's file, while the gateway runs or while it does not.
fn store(world: &World) -> rusqlite::Connection {
    let store = rusqlite::Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
    store.busy_timeout(PATIENCE).expect("a store");
    store
}

/// A number out of the store.
fn count(world: &World, query: &str) -> u64 {
    store(world).query_row(query, [], |row| row.get::<_, i64>(0)).expect("a number").cast_unsigned()
}
