//! Calls of gRPC over HTTP/1, where some proxies in front of us put them: what a client of theirs is refused, and which
//! statuses cost.

use http::Method;

use super::Api;
use crate::harness::{Behaviour, Reply, World, free_address};

const CALL: &str = "content-type: application/grpc+proto\r\ncontent-length: 0";

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\n{CALL}")
}

/// The status and the code of a refusal as gRPC has it.
fn refusal(reply: &Reply) -> (u16, String) {
    assert_eq!((reply.status, reply.charged()), (200, 0), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/grpc"));
    assert!(reply.body.is_empty() && reply.header("x-request-id").is_some());
    let status = reply.header("grpc-status").and_then(|status| status.parse().ok());
    let message = reply.header("grpc-message").expect("a message");
    let (code, detail) = message.split_once(": ").expect("a code and a detail");
    assert!(!detail.is_empty());
    (status.expect("a status"), code.to_owned())
}

fn told(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_refused_as_grpc_has_it_and_the_connection_goes_on() {
    let config = format!(
        r#"
        routes = [
            {{ path = "/pkg.Api/Call", cost = 1, upstream = "api" }},
            {{ path = "/pkg.Api/Get", methods = ["GET"], cost = 1, upstream = "api" }},
            {{ path = "/pkg.Api/Premium", cost = 1, requires = ["premium"], upstream = "api" }},
            {{ path = "/pkg.Api/Rare", cost = 0, rate = "1/h", burst = 1, upstream = "api" }},
            {{ path = "/pkg.Api/Lost", cost = 1, upstream = "lost" }},
            {{ path = "/pkg.Api/Slow", cost = 1, upstream = "api" }},
        ]
        upstreams.api.read_timeout = "300ms"
        upstreams.lost.servers = ["{}"]
        tiers.free.included = {{ api_calls = 1 }}
        "#,
        free_address()
    );
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("caller");
    world.upstream.on("/pkg.Api/Slow", Behaviour::Held);
    let mut wire = world.wire().await;
    for (path, status, code) in [
        ("/pkg.Api/Nothing", 12, "route_not_found"),
        ("/pkg.Api/Get", 12, "method_not_allowed"),
        ("/pkg.Api/Premium", 7, "feature_not_included"),
        ("/pkg.Api/a%2fb", 3, "bad_request"),
        ("/pkg.Api/Slow", 4, "upstream_timeout"),
        ("/pkg.Api/Lost", 14, "upstream_failed"),
    ] {
        let reply = wire.ask(&customer, &post(path)).await;
        assert_eq!(refusal(&reply), told(status, code), "{path}");
    }
    assert_eq!(wire.ask(&customer, &post("/pkg.Api/Call")).await.charged(), 1);
    let over = wire.ask(&customer, &post("/pkg.Api/Call")).await;
    assert_eq!(refusal(&over), told(8, "quota_exceeded"));
    assert!(over.header("ratelimit").is_some_and(|limits| limits.contains("r=0")));
    assert_eq!(wire.ask(&customer, &post("/pkg.Api/Rare")).await.status, 200);
    let rare = wire.ask(&customer, &post("/pkg.Api/Rare")).await;
    assert_eq!(refusal(&rare), told(8, "rate_limited"));
    let after: u64 = rare.header("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
    assert_eq!(rare.header("grpc-retry-pushback-ms"), Some(&*(after * 1_000).to_string()));
    world.upstream.release();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_or_sends_too_much_is_told_so_as_grpc_has_it() {
    let world = World::start().await;
    let grpc = |request: reqwest::RequestBuilder| request.header("content-type", "application/grpc");
    let nobody = world.ask(Method::POST, "/signals", grpc).await;
    assert_eq!(refusal(&nobody), told(16, "token_missing"));
    let large = |request| grpc(request).header("content-length", 65 * 1024);
    let too_much = world.customer("sender").ask(Method::POST, "/signals", large).await;
    assert_eq!(refusal(&too_much), told(8, "body_too_large"));
    // No other client is told so.
    let web = |request: reqwest::RequestBuilder| request.header("content-type", "application/grpc-web+proto");
    assert_eq!(world.ask(Method::POST, "/signals", web).await.refusal(), (401, "token_missing".to_owned()));
    assert_eq!(world.ask(Method::GET, "/signals", grpc).await.refusal(), (401, "token_missing".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_in_the_header_decides_what_a_call_costs() {
    let mut api = Api::start().await;
    let world = api.world("").await;
    let customer = world.customer("caller");
    for (status, content_type, cost) in [
        ("0", "application/grpc", 1),
        ("8", "application/grpc+proto", 0),
        ("13", "application/grpc", 0),
        ("8", "text/plain", 1),
    ] {
        let (reply, ()) = tokio::join!(
            customer
                .ask(Method::POST, "/signals", |request| request.header("content-type", "application/grpc")),
            async {
                api.asked().await.answer(200, &[("content-type", content_type), ("grpc-status", status)], "");
            }
        );
        assert_eq!((reply.status, reply.charged()), (200, cost), "{status}");
        assert_eq!(reply.header("grpc-status"), Some(status));
    }
    world.finish().await;
}
