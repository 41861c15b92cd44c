//! What the API behind the gateway hears.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{World, token, unix_now};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_hears_who_calls_on_which_tier_and_never_the_token() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("acme", "pro").await;
    let headers = customer.get("/signals").await.json()["headers"].clone();
    assert_eq!(headers["x-tollgate-customer"], json!(["acme"]));
    assert_eq!(headers["x-tollgate-tier"], json!(["pro"]));
    assert_eq!(headers["x-tollgate-features"], json!(["premium"]));
    assert_eq!(headers["x-tollgate-limits"], json!(["positions=50,seats=unlimited"]));
    assert_eq!(headers["x-tollgate-member"], Value::Null, "the token names no member");
    assert_eq!(headers["authorization"], Value::Null);

    let claims = json!({ "sub": "acme", "member": "alice", "exp": unix_now() + 60 });
    let reply = world.ask(Method::GET, "/free", |request| request.bearer_auth(token(&claims))).await;
    assert_eq!(reply.json()["headers"]["x-tollgate-member"], json!(["alice"]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_forwarded_where_that_is_configured() {
    let world = World::builder().config("[auth.jwt]\nforward_token = true").start().await;
    let customer = world.customer("acme");
    let headers = customer.get("/signals").await.json()["headers"].clone();
    assert_eq!(headers["authorization"], json!([format!("Bearer {}", customer.token)]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_says_under_our_names_reaches_the_api() {
    let world = World::start().await;
    let customer = world.customer("honest");
    let mut wire = world.wire().await;
    let spoofed = [
        "x-tollgate-customer: evil",
        "X-Tollgate-Tier: enterprise",
        "x_tollgate_customer: evil",
        "x-tollgate_features: everything",
        "x_tollgate-limits: positions=unlimited",
        "x-tollgate-anything: evil",
        "x-tollgate-member: root",
        "x-request-id: evil",
        "x_request_id: evil",
        "x-http-method-override: DELETE",
        "x_http_method_override: DELETE",
        "x-method-override: DELETE",
        "x-original-url: /export/pdf",
        "x-rewrite-url: /export/pdf",
        "x-forwarded-for: 10.0.0.1",
    ];
    let head = format!("GET /signals HTTP/1.1\r\n{}\r\nx-own: kept", spoofed.join("\r\n"));
    let reply = wire.ask(&customer, &head).await;
    let told = reply.json();
    let told = told["headers"].as_object().expect("headers");
    assert_eq!(told["x-own"], json!(["kept"]));
    assert_eq!(told["x-tollgate-customer"], json!(["honest"]));
    assert_eq!(told["x-tollgate-tier"], json!(["free"]));
    assert_eq!(told["x-forwarded-for"], json!(["127.0.0.1"]));
    for (name, values) in told {
        let values = values.to_string();
        let lies = ["evil", "enterprise", "everything", "root", "DELETE", "/export/pdf", "10.0.0.1"];
        assert!(!lies.iter().any(|lie| values.contains(lie)), "{name}: {values}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_route_hears_no_identity_that_a_client_made_up() {
    let world = World::start().await;
    let reply = world.ask(Method::GET, "/health", |r| r.header("x-tollgate-customer", "evil")).await;
    assert_eq!(reply.json()["headers"]["x-tollgate-customer"], Value::Null);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_are_ours_unless_a_trusted_proxy_sent_one() {
    let world = World::start().await;
    let customer = world.customer("acme");
    let ours = customer.ask(Method::GET, "/signals", |r| r.header("x-request-id", "theirs")).await;
    let id = ours.header("x-request-id").expect("an id").to_owned();
    assert_ne!(id, "theirs");
    assert_eq!(ours.json()["headers"]["x-request-id"], json!([id]), "client and API see the same id");
    world.finish().await;

    let world = World::builder().config("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]").start().await;
    let customer = world.customer("acme");
    let proxied = customer
        .ask(Method::GET, "/signals", |r| {
            r.header("x-request-id", "theirs").header("x-forwarded-for", "203.0.113.9")
        })
        .await;
    assert_eq!(proxied.header("x-request-id"), Some("theirs"));
    let headers = proxied.json()["headers"].clone();
    assert_eq!(headers["x-request-id"], json!(["theirs"]));
    assert_eq!(headers["x-forwarded-for"], json!(["203.0.113.9, 127.0.0.1"]));
    world.finish().await;
}
