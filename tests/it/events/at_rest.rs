//! Payloads lie sealed, or not at all.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::old_handler::OldHandler;
use super::{applied, event, shown};
use crate::harness::{PATIENCE, World, until};

const MAIL: &str = "jane.doe@example.com";
const OLD: &str = "old-0123456789-0123456789-0123456789";
const NEW: &str = "new-0123456789-0123456789-0123456789";

/// Whether a text lies anywhere in the gateway's folder.
fn lies_there(world: &World, text: &str) -> bool {
    let files = std::fs::read_dir(&world.gateway.data_dir).expect("a folder");
    let files = files.map(|file| file.expect("a file").path()).filter(|path| path.is_file());
    files
        .map(|path| std::fs::read(path).expect("a file"))
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn of_jane(id: &str) -> Value {
    event(id, "customer.updated", &json!({ "id": "cus_1", "object": "customer", "email": MAIL }))
}

async fn with_keys(world: &mut World, from: &str, to: &str) {
    world.gateway.stop().await;
    let config = std::fs::read_to_string(&world.gateway.config).expect("a file");
    let changed = config.replace(&format!("encryption_key = {from}"), &format!("encryption_key = {to}"));
    assert_ne!(changed, config);
    std::fs::write(&world.gateway.config, changed).expect("a file");
    world.gateway.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_lies_sealed_opens_for_the_operator_and_a_key_can_be_rolled() {
    let config = format!("[server]\nencryption_key = \"{OLD}\"");
    let mut world = World::builder().without_webhooks().config(&config).start().await;
    assert_eq!(world.deliver(&of_jane("evt_1")).await.status, 200);
    applied(&world).await;
    assert!(lies_there(&world, "evt_1"), "the folder is the right one");
    assert!(!lies_there(&world, MAIL));
    assert_eq!(shown(&world, "evt_1").await["payload"], of_jane_as(&world, "evt_1").await);

    with_keys(&mut world, &format!("\"{OLD}\""), &format!("[\"{NEW}\", \"{OLD}\"]")).await;
    assert_eq!(world.deliver(&of_jane("evt_2")).await.status, 200);
    applied(&world).await;
    for id in ["evt_1", "evt_2"] {
        assert_eq!(shown(&world, id).await["payload"]["data"]["object"]["email"], MAIL, "{id}");
    }
    with_keys(&mut world, &format!("[\"{NEW}\", \"{OLD}\"]"), &format!("\"{NEW}\"")).await;
    let gone = shown(&world, "evt_1").await;
    assert_eq!((&gone["sealed"], &gone["payload"]), (&json!(true), &json!(null)));
    assert_eq!(shown(&world, "evt_2").await["payload"]["data"]["object"]["email"], MAIL);
    assert!(!lies_there(&world, MAIL));
    world.finish().await;
}

/// What was sent, as far as it stays the same from one making to the next.
async fn of_jane_as(world: &World, id: &str) -> Value {
    let mut sent = of_jane(id);
    sent["created"] = shown(world, id).await["payload"]["created"].clone();
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_no_payload_is_kept() {
    let world = World::builder().without_webhooks().start().await;
    assert_eq!(world.deliver(&of_jane("evt_1")).await.status, 200);
    applied(&world).await;
    assert!(lies_there(&world, "evt_1") && !lies_there(&world, MAIL));
    let kept = shown(&world, "evt_1").await;
    assert_eq!((&kept["sealed"], &kept["payload"]), (&json!(false), &json!(null)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_old_handler_lies_sealed_without_a_key_too() {
    let old = OldHandler::start(&[StatusCode::INTERNAL_SERVER_ERROR; 64]).await;
    let config = format!("[billing]\nforward_webhooks_to = \"{}\"", old.url);
    let world = World::builder().without_webhooks().config(&config).start().await;
    assert_eq!(world.deliver(&of_jane("evt_1")).await.status, 200);
    until("it was refused", PATIENCE, async || (!old.received().is_empty()).then_some(())).await;
    assert_eq!(super::books::count(&world, "SELECT count(*) FROM forwards"), 1);
    assert!(lies_there(&world, "evt_1") && !lies_there(&world, MAIL));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_beyond_64_kib_is_not_kept_and_its_event_counts_all_the_same() {
    let config = format!("[server]\nencryption_key = \"{NEW}\"");
    let world = World::builder().without_webhooks().config(&config).start().await;
    let mut large = of_jane("evt_1");
    large["padding"] = json!("x".repeat(64 << 10));
    assert_eq!(world.deliver(&large).await.status, 200);
    applied(&world).await;
    let kept = shown(&world, "evt_1").await;
    assert_eq!((&kept["sealed"], &kept["status"]), (&json!(false), &json!("done")));
    world.finish().await;
}
