//! What a key or a token may do.

use http::Method;
use serde_json::{Value, json};

use super::{KEYS, make};
use crate::harness::{Reply, World, token, unix_now};

const ROUTES: &str = r#"
    routes = [
        { path = "/signals", methods = ["GET"], cost = 1, scopes = ["read"] },
        { path = "/signals", methods = ["POST"], cost = 1, scopes = ["read", "write"] },
        { path = "/open", cost = 1 },
    ]
"#;

async fn world(more: &str) -> World {
    World::builder().config(&format!("{ROUTES}\n{KEYS}\n{more}")).start().await
}

async fn ask(world: &World, method: Method, path: &str, token: &str) -> Reply {
    let caller = world.customer("acme").showing(token);
    caller.ask(method, path, |request| request).await
}

/// The answers to a read, a write, and what asks for no scope.
async fn statuses(world: &World, token: &str) -> [u16; 3] {
    let read = ask(world, Method::GET, "/signals", token).await;
    let write = ask(world, Method::POST, "/signals", token).await;
    let open = ask(world, Method::GET, "/open", token).await;
    for reply in [&read, &write, &open].into_iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.refusal(), (403, "scope_missing".to_owned()));
    }
    [read.status, write.status, open.status]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_scopes_may_do_what_they_say_and_one_without_everything() {
    let world = world("").await;
    for (scopes, expected) in [
        (Value::Null, [200, 200, 200]),
        (json!(["read", "write"]), [200, 200, 200]),
        (json!(["read"]), [200, 403, 200]),
        (json!(["write"]), [403, 403, 200]),
        (json!([]), [403, 403, 200]),
    ] {
        let made = make(&world, &json!({ "customer": "acme", "name": "x", "scopes": scopes })).await;
        assert_eq!(statuses(&world, &made.key).await, expected, "{scopes}");
    }
    let refusal = {
        let made = make(&world, &json!({ "customer": "acme", "name": "x", "scopes": ["read"] })).await;
        ask(&world, Method::POST, "/signals", &made.key).await
    };
    assert!(refusal.json()["detail"].as_str().is_some_and(|detail| detail.contains("\"write\"")));
    let challenge = refusal.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    let odd = json!({ "name": "x", "scopes": ["raed"] });
    assert_eq!(world.operate("/admin/keys", &odd).await.refusal(), (422, "unprocessable".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_takes_anothers_place_has_its_scopes() {
    let world = world("").await;
    let made = make(&world, &json!({ "customer": "acme", "name": "x", "scopes": ["read"] })).await;
    let rotated = world.operate(&format!("/admin/keys/{}/rotate", made.id), &json!({})).await.json();
    assert_eq!(rotated["scopes"], json!(["read"]));
    let key = rotated["key"].as_str().expect("a key");
    assert_eq!(statuses(&world, key).await, [200, 403, 200]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_bound_to_scopes_buys_and_cancels_nothing() {
    let world = world("").await;
    for (scopes, status) in [(Value::Null, 200), (json!(["read", "write"]), 403)] {
        let made = make(&world, &json!({ "customer": "acme", "name": "x", "scopes": scopes })).await;
        assert_eq!(ask(&world, Method::GET, "/billing/status", &made.key).await.status, status, "{scopes}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_bound_to_scopes_where_a_claim_is_named() {
    let bound = world("[auth.jwt]\nscope_claim = \"scope\"").await;
    let with = |scope: Value| token(&json!({ "sub": "acme", "exp": unix_now() + 60, "scope": scope }));
    for (scope, expected) in [
        (json!("read write other"), [200, 200, 200]),
        (json!(["read", "write"]), [200, 200, 200]),
        (json!("read"), [200, 403, 200]),
        (json!("reader"), [403, 403, 200]),
        (Value::Null, [403, 403, 200]),
    ] {
        assert_eq!(statuses(&bound, &with(scope.clone())).await, expected, "{scope}");
    }
    let odd = ask(&bound, Method::GET, "/open", &with(json!(7))).await;
    assert_eq!(odd.refusal(), (401, "token_invalid".to_owned()));
    let status = ask(&bound, Method::GET, "/billing/status", &with(json!("read"))).await;
    assert_eq!(status.status, 200, "a token acts for its customer");
    bound.finish().await;
    let free = world("").await;
    assert_eq!(statuses(&free, &with(json!("reader"))).await, [200, 200, 200]);
    free.finish().await;
}
