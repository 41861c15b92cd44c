//! A sync that was cut off goes on where it was.

use serde_json::{Value, json};

use super::{calls, progress, store, subscribe, sync, until_synced, without_news};
use crate::harness::{ADMIN_TOKEN, PATIENCE, World, unix_now, until};

/// Where a sync goes on, by the store.
fn mark(world: &World) -> Option<Value> {
    let read = "SELECT value FROM meta WHERE key = 'sync'";
    let mark: Vec<u8> = store(world).query_row(read, [], |row| row.get(0)).ok()?;
    serde_json::from_slice(&mark).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_between_pages_goes_on_at_the_next_one() {
    // A page a second.
    let slow = "[stripe]\nmax_requests_per_second = 4";
    let mut world = World::builder().without_webhooks().config(slow).start().await;
    subscribe(&world, 300).await;
    let asked = reqwest::Client::new()
        .post(format!("http://{}/admin/sync", world.gateway.admin))
        .bearer_auth(ADMIN_TOKEN)
        .send();
    // It is not answered.
    let asked = tokio::spawn(asked);
    until("a page is stored", PATIENCE, async || mark(&world)).await;
    world.gateway.kill9();
    asked.await.expect("it ends").expect_err("nobody answers");
    let stored = mark(&world).expect("it had not ended")["synced"].as_u64().expect("a number");
    assert!((100..300).contains(&stored), "{stored}");
    world.gateway.restart().await;
    let after = until_synced(&world).await;
    assert_eq!((&after["synced"], &after["failed"]), (&json!(300), &json!(0)), "{after}");
    assert_eq!(calls(&world, "subscription_list").await, (300 - stored) / 100);
    assert_eq!(mark(&world), None, "the next one begins anew");
    for name in ["customer_0", "customer_299"] {
        assert_eq!(world.customer(name).status().await["tier"], "pro", "{name}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_cut_off_within_the_hour_goes_on() {
    let mut world = without_news().await;
    let subscribed = subscribe(&world, 250).await;
    sync(&world).await;
    let begin_at = async |world: &mut World, after: &str, at: i64| {
        world.gateway.stop().await;
        let mark = json!({ "after": after, "version": 1, "synced": 0, "failed": 0, "at": at });
        let put = "INSERT OR REPLACE INTO meta VALUES ('sync', ?1)";
        store(world).execute(put, [mark.to_string().into_bytes()]).expect("a row");
        world.gateway.restart().await;
        let done = until_synced(world).await;
        (done["synced"].as_u64().expect("a number"), calls(world, "subscription_list").await)
    };
    // The list begins with the newest.
    let after = &subscribed[120];
    assert_eq!(begin_at(&mut world, after, unix_now() - 60).await, (120, 2));
    assert_eq!(begin_at(&mut world, after, unix_now() - 3_700).await, (250, 3));
    assert_eq!(begin_at(&mut world, "sub_forgotten", unix_now()).await, (250, 3), "where it was is gone");
    assert_eq!(progress(&world).await["error"], json!(null));
    world.finish().await;
}
