//! Events that no webhook has brought.

use super::{progress, sync, until_synced, without_news};
use crate::harness::{PATIENCE, World, unix_now, until};

const PRO: [&str; 2] = ["price_it_pro_monthly", "price_it_pro_api_calls"];

async fn until_applied(world: &World) {
    until("the inbox is done", PATIENCE, async || (world.waiting_events() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_gateway_was_away_is_taken_in_once() {
    let mut world = without_news().await;
    world.gateway.stop().await;
    // Only the event of the checkout tells whose it is.
    world.stripe.buy("away", &PRO).await;
    world.gateway.restart().await;
    let after = until_synced(&world).await;
    assert!(after["events"].as_u64() >= Some(1), "{after}");
    world.customer("away").until_status("tier", "pro").await;
    until_applied(&world).await;
    let received = world.received_events();
    sync(&world).await;
    assert_eq!((world.received_events(), &progress(&world).await["events"]), (received, &0.into()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_webhooks_have_brought_is_not_taken_in_again() {
    let world = World::start().await;
    world.stripe.buy("heard", &PRO).await;
    world.customer("heard").until_status("tier", "pro").await;
    until("every event arrives", PATIENCE, async || {
        let events = world.stripe.events().await;
        (world.received_events() == events.len() as u64).then_some(())
    })
    .await;
    sync(&world).await;
    assert_eq!(progress(&world).await["events"], 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_begins_with_itself() {
    let mut world = without_news().await;
    world.gateway.stop().await;
    std::fs::remove_dir_all(&world.gateway.data_dir).expect("a folder of ours");
    world.stripe.buy("before", &PRO).await;
    let bought_at = unix_now();
    until("the next second", PATIENCE, async || (unix_now() > bought_at).then_some(())).await;
    world.gateway.restart().await;
    let first = until_synced(&world).await;
    assert_eq!((&first["synced"], &first["events"]), (&1.into(), &0.into()), "{first}");
    assert_eq!(world.received_events(), 0);
    assert_eq!(world.customer("before").status().await["tier"], "free", "nothing says whose it is");
    // What comes after it does count, and brings nothing of before.
    world.stripe.buy("after", &PRO).await;
    sync(&world).await;
    world.customer("after").until_status("tier", "pro").await;
    until_applied(&world).await;
    assert_eq!(world.customer("before").status().await["tier"], "free");
    world.finish().await;
}
