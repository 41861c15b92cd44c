//! Secrets and keys that are rolled while everything runs.

use http::Method;
use jsonwebtoken::Algorithm;
use serde_json::json;
use tollgate::auth::sign_hs;

use super::applied;
use crate::harness::{ADMIN_TOKEN, PATIENCE, SECRET, World, signature, unix_now, until};

const NEXT: &str = "the-next-secret-0123456789-0123456789-0123";

/// The status that a token signed with a secret gets.
async fn status_with(world: &World, secret: &str) -> u16 {
    let claims = json!({ "sub": "acme", "exp": unix_now() + 3_600 });
    let token = sign_hs(Algorithm::HS256, secret.as_bytes(), &claims).expect("HS256 signs");
    world.ask(Method::GET, "/free", |request| request.bearer_auth(token)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_tokens_that_is_rolled_forgets_what_the_old_one_signed() {
    let world = World::start().await;
    assert_eq!((status_with(&world, SECRET).await, status_with(&world, NEXT).await), (200, 401));
    world.reconfigure("[tiers.free]\nrate = \"900/s\"").await;
    assert_eq!(status_with(&world, SECRET).await, 200);
    world.reconfigure(&format!("[auth.jwt]\nsecret = \"{NEXT}\"")).await;
    assert_eq!((status_with(&world, SECRET).await, status_with(&world, NEXT).await), (401, 200));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_configuration_names_is_watched_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).expect("a file");
    let over =
        format!("[server]\nwatch = \"20ms\"\n[auth.jwt]\nsecret = {{ file = \"{}\" }}", secret.display());
    let world = World::builder().config(&over).start().await;
    assert_eq!(status_with(&world, SECRET).await, 200);
    std::fs::write(&secret, NEXT).expect("a file");
    until("the next secret is known", PATIENCE, async || {
        (status_with(&world, NEXT).await == 200).then_some(())
    })
    .await;
    assert_eq!(status_with(&world, SECRET).await, 401);
    std::fs::write(&secret, SECRET).expect("a file");
    until("the old one is back", PATIENCE, async || (status_with(&world, SECRET).await == 200).then_some(()))
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_token_is_rolled() {
    let world = World::start().await;
    world.reconfigure("[server]\nadmin_token = \"the-next-admin-token\"").await;
    assert_eq!(world.admin(Method::GET, "/admin/sync", Some(ADMIN_TOKEN)).await.status, 401);
    let next = Some("the-next-admin-token");
    assert_eq!(world.admin(Method::GET, "/admin/sync", next).await.status, 200);
    world.configure(&format!("[server]\nadmin_token = \"{ADMIN_TOKEN}\""));
    assert_eq!(world.admin(Method::POST, "/admin/reload", next).await.status, 200);
    assert_eq!(applied(&world).await, 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhooks_secret_is_rolled() {
    let world = World::start().await;
    let event =
        json!({ "id": "evt_rolled", "object": "event", "type": "ping", "created": unix_now(), "data": {} });
    let body = event.to_string();
    let signed = signature("whsec_next", unix_now(), body.as_bytes());
    assert_eq!(world.deliver_signed(body.clone(), &signed).await.status, 400);
    world.reconfigure("[stripe]\nwebhook_secrets = [\"whsec_next\", \"whsec_only_for_tests\"]").await;
    assert_eq!(world.deliver_signed(body, &signed).await.status, 200);
    world.finish().await;
}
