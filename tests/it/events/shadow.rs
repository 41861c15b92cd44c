//! The shadow says what it would have changed, and changes nothing.

use http::Method;
use serde_json::{Value, json};
use tollgate::sandbox::Subscribed;

use super::{applied, books, deliver_all, pack_session, pay, shown};
use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

const SHADOW: &str = "[billing]\nwebhook_mode = \"shadow\"\n[tiers.pro]\ncredits_per_cycle = 500";

/// Where events lie, and where work that no event asks for goes on after a restart. Nothing else may change.
const BESIDE: [&str; 2] = ["inbox", "meta"];

/// Everything that happens to a subscriber, and to somebody who leaves again.
async fn much_happens(world: &World, subscribed: &Subscribed) {
    let session = pack_session(world, "moving", "1000").await;
    pay(world, &session, json!({})).await;
    let expired = pack_session(world, "moving", "1").await;
    world.stripe.post(&format!("/v1/checkout/sessions/{expired}/expire"), &[]).await;
    world.stripe.hook(&format!("subscriptions/{}/upcoming", subscribed.subscription), json!({})).await;
    let leaver = world.stripe.subscribe("starter", Some("leaving"));
    world.stripe.hook(&format!("subscriptions/{}/payment_failed", leaver.subscription), json!({})).await;
    world.stripe.set_status(&leaver.subscription, "paused").await;
    world.stripe.delete(&format!("/v1/customers/{}", leaver.customer)).await;
}

/// The events that mean something, and what they would have changed.
async fn effects(world: &World, events: Vec<Value>) -> (Vec<Value>, Vec<String>) {
    let (mut meaningful, mut effects) = (Vec::new(), Vec::new());
    for event in events {
        let shown = shown(world, event["id"].as_str().expect("an id")).await;
        if shown["status"] == "ignored" {
            continue;
        }
        assert_eq!(shown["status"], "done", "{shown}");
        let words = shown["effects"].as_array().expect("a list").iter();
        effects.extend(words.map(|words| words.as_str().expect("words").to_owned()));
        meaningful.push(event);
    }
    (meaningful, effects)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_the_shadow_change_nothing_and_say_what_they_would_have_until_it_is_lifted() {
    let mut world = World::builder().without_webhooks().config(SHADOW).start().await;
    let customer = world.customer("moving");
    customer.status().await;
    world.customer("leaving").status().await;
    // The sync of the start is no event: what it reads is stored.
    world.until_synced().await;
    let before = books::digests(&world, &BESIDE);
    assert!(before.len() > 25, "all tables: {before:?}");
    let subscribed = world.stripe.subscribe("pro", Some("moving"));
    much_happens(&world, &subscribed).await;
    let events = world.stripe.events().await;
    deliver_all(&world, &events).await;
    assert_eq!(books::digests(&world, &BESIDE), before, "something changed");
    assert_eq!(customer.status().await["tier"], "free");
    let (meaningful, words) = effects(&world, events).await;
    let said = |part: &str| words.iter().any(|words| words.contains(part));
    for part in [
        format!("customer 1 linked to {}", subscribed.customer),
        format!("{}: active", subscribed.subscription),
        "payment in_".to_owned(),
        "payment pi_".to_owned(),
        "granted 1000 credits for payment:pi_".to_owned(),
    ] {
        assert!(said(&part), "{part} is not in {words:#?}");
    }
    assert!(world.gateway.log().contains("shadow_difference"));

    world.gateway.stop().await;
    let config = std::fs::read_to_string(&world.gateway.config).expect("a file");
    let primary = config.replace("webhook_mode = \"shadow\"", "webhook_mode = \"primary\"");
    assert_ne!(primary, config);
    std::fs::write(&world.gateway.config, primary).expect("a file");
    world.gateway.restart().await;
    for event in &meaningful {
        let path = format!("/admin/webhooks/{}/replay", event["id"].as_str().expect("an id"));
        assert_eq!(world.admin(Method::POST, &path, Some(ADMIN_TOKEN)).await.status, 200);
    }
    applied(&world).await;
    assert_eq!(customer.status().await["tier"], "pro");
    // The invoice may have come before anybody was linked.
    until("both are granted", PATIENCE, async || (customer.status().await["credits"] == 1_500).then_some(()))
        .await;
    world.finish().await;
}
