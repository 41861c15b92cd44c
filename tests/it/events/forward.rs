//! The old handler gets each event as it came, once it can take it.

use axum::http::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};
use tollgate::billing::Outgoing;

use super::old_handler::OldHandler;
use super::{applied, event};
use crate::harness::{PATIENCE, WEBHOOK_SECRET, World, signature, tollgate, unix_now, until};

/// When a signature says that it was made; it must be right.
fn signed_at(signed: &str, body: &[u8]) -> i64 {
    let at = signed.strip_prefix("t=").and_then(|rest| rest.split(',').next()).expect("a time");
    let at = at.parse().expect("a time");
    assert_eq!(signed, signature(WEBHOOK_SECRET, at, body), "over these bytes");
    at
}

async fn world_beside(old: &OldHandler) -> World {
    let config = format!("[billing]\nforward_webhooks_to = \"{}\"", old.url);
    World::builder().without_webhooks().config(&config).start().await
}

async fn until_received(old: &OldHandler, count: usize) {
    until("the old handler has them", PATIENCE, async || (old.received().len() >= count).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_handler_gets_every_event_byte_for_byte_with_stripes_signature() {
    let old = OldHandler::start(&[]).await;
    let world = world_beside(&old).await;
    // Spaces that nobody who parses it would write again.
    let bodies: Vec<String> = ["customer.updated", "something.else"]
        .iter()
        .enumerate()
        .map(|(at, kind)| event(&format!("evt_{at}"), kind, &json!({})).to_string().replace(':', " :  "))
        .collect();
    let signed: Vec<_> =
        bodies.iter().map(|body| signature(WEBHOOK_SECRET, unix_now() - 100, body.as_bytes())).collect();
    for _ in 0..2 {
        for (body, signed) in bodies.iter().zip(&signed) {
            assert_eq!(world.deliver_signed(body.clone(), signed).await.status, 200);
        }
    }
    let forged = signature("whsec_another", unix_now(), bodies[0].as_bytes());
    assert_eq!(world.deliver_signed(bodies[0].clone(), &forged).await.status, 400);
    until_received(&old, 2).await;
    applied(&world).await;
    let mut received = old.received();
    received.sort();
    let mut sent: Vec<_> = signed.into_iter().zip(bodies.into_iter().map(Into::into)).collect();
    sent.sort();
    assert_eq!(received, sent, "each once");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_old_handler_refuses_is_handed_on_again_over_a_kill() {
    let old = OldHandler::start(&[StatusCode::INTERNAL_SERVER_ERROR]).await;
    let mut world = world_beside(&old).await;
    assert_eq!(world.deliver(&event("evt_1", "customer.updated", &json!({}))).await.status, 200);
    until_received(&old, 1).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    until_received(&old, 2).await;
    let received = old.received();
    assert_eq!(received[0], received[1]);
    until("nothing waits", PATIENCE, async || {
        (super::books::count(&world, "SELECT count(*) FROM forwards") == 0).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_has_aged_is_made_anew() {
    let old = OldHandler::start(&[]).await;
    let mut world = world_beside(&old).await;
    world.gateway.stop().await;
    let body = event("evt_1", "customer.updated", &json!({})).to_string();
    let aged = signature(WEBHOOK_SECRET, unix_now() - 1_000, body.as_bytes());
    let db = Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
    // As it lies without a key of its own.
    let outgoing = Outgoing::new([WEBHOOK_SECRET]).expect("a secret");
    let lies = outgoing.packed("evt_1", body.as_bytes()).expect("seals");
    let row = "INSERT INTO forwards (event_id, signature, body, next_try_at) VALUES ('evt_1', ?1, ?2, ?3)";
    db.execute(row, rusqlite::params![aged, lies, unix_now()]).expect("a row");
    drop(db);
    world.gateway.restart().await;
    until_received(&old, 1).await;
    let (signed, received) = old.received().remove(0);
    assert_eq!(received, body.as_bytes());
    assert!(unix_now() - signed_at(&signed, &received) < 240);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_webhook_has_brought_is_handed_on_too_and_not_again_when_it_comes_after_all() {
    let old = OldHandler::start(&[]).await;
    let mut world = world_beside(&old).await;
    let prices = ["price_it_pro_monthly", "price_it_pro_api_calls"];
    world.gateway.stop().await;
    world.stripe.buy("away", &prices).await;
    let config = world.gateway.config.display().to_string();
    let ended = tollgate(&world.gateway.data_dir, &["sync", "--config", &config], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found = super::books::count(&world, "SELECT count(*) FROM forwards");
    assert!(found > 0, "the command leaves them to the gateway");
    world.gateway.restart().await;
    // A run that is under way would be joined, and might have asked before the next of it happens.
    world.until_synced().await;
    world.customer("away").until_status("tier", "pro").await;
    world.stripe.buy("here", &prices).await;
    assert_eq!(world.operate("/admin/sync", &json!({})).await.status, 200);
    let events = world.stripe.events().await;
    let kept = super::books::texts(&world, "SELECT event_id FROM inbox ORDER BY event_id");
    until_received(&old, kept.len()).await;
    let id = |event: &Value| event["id"].as_str().expect("an id").to_owned();
    let mut received = Vec::new();
    for (signed, body) in old.received() {
        signed_at(&signed, &body);
        let event: Value = serde_json::from_slice(&body).expect("JSON");
        assert!(events.contains(&event), "{event} is none of Stripe's");
        received.push(id(&event));
    }
    received.sort();
    assert!(i64::try_from(received.len()).is_ok_and(|count| count > found), "some by the gateway itself");
    assert_eq!(received, kept);
    let known = |event: &&Value| kept.contains(&id(event));
    super::deliver_all(&world, &events.iter().filter(known).cloned().collect::<Vec<_>>()).await;
    assert_eq!(world.deliver(&event("evt_last", "customer.updated", &json!({}))).await.status, 200);
    until_received(&old, kept.len() + 1).await;
    assert_eq!(old.received().len(), kept.len() + 1, "each once");
    world.finish().await;
}
