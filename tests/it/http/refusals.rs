//! A refusal is a problem in words, and keeps the client's connection.

use crate::harness::{Behaviour, World};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_refusals_of_every_kind_come_over_one_connection() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 1 }").start().await;
    let customer = world.customer("refused");
    let mut wire = world.wire().await;
    assert_eq!(wire.ask(&customer, "GET /signals HTTP/1.1").await.status, 200);
    let kinds = [
        ("GET /signals HTTP/1.1", 429, "quota_exceeded"),
        ("GET /nowhere HTTP/1.1", 404, "route_not_found"),
        ("DELETE /signals HTTP/1.1", 405, "method_not_allowed"),
        ("GET /premium HTTP/1.1", 403, "feature_not_included"),
        ("GET /a%2fb HTTP/1.1", 400, "bad_request"),
        ("GET /signals HTTP/1.1\r\nauthorization: Bearer x", 400, "bad_request"),
        ("GET /billing/nothing HTTP/1.1", 404, "not_found"),
        ("POST /webhooks/stripe HTTP/1.1\r\ncontent-length: 2\r\nx: y", 400, "bad_request"),
    ];
    for at in 0..50 {
        let (head, status, code) = kinds[at % kinds.len()];
        if head.starts_with("POST") {
            wire.send(&format!("{head}\r\nhost: api.test\r\n\r\n{{}}")).await;
            let reply = wire.read("POST").await.expect("an answer");
            assert_eq!(reply.refusal(), (status, code.to_owned()), "{head}");
            continue;
        }
        let reply = wire.ask(&customer, head).await;
        assert_eq!(reply.refusal(), (status, code.to_owned()), "{head}");
        let problem = reply.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"));
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_ne!(reply.header("connection"), Some("close"), "{head}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_with_a_body_leaves_the_connection_at_the_next_request() {
    let world = World::start().await;
    let customer = world.customer("poster");
    let mut wire = world.wire().await;
    let body = "GET /smuggled HTTP/1.1\r\n\r\n".repeat(100);
    let head = format!("POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    wire.send(&(head + &body)).await;
    let refused = wire.read("POST").await.expect("an answer");
    assert_eq!(refused.refusal(), (404, "route_not_found".to_owned()));
    let next = wire.ask(&customer, "GET /signals HTTP/1.1").await;
    assert_eq!((next.status, next.charged()), (200, 1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_fails_costs_the_client_neither_units_nor_its_connection() {
    let mut world = World::builder().config("[upstreams.api]\nread_timeout = \"300ms\"").start().await;
    let customer = world.customer("unlucky");
    let mut wire = world.wire().await;
    world.upstream.on("/signals", Behaviour::Held);
    let reply = wire.ask(&customer, "GET /signals HTTP/1.1").await;
    assert_eq!(reply.refusal(), (504, "upstream_timeout".to_owned()));
    assert_eq!(reply.header("connection"), Some("keep-alive"));
    world.upstream.release();
    world.upstream.go_away().await;
    for _ in 0..3 {
        let reply = wire.ask(&customer, "GET /export/csv HTTP/1.1").await;
        assert_eq!(reply.refusal(), (502, "upstream_failed".to_owned()));
        assert_eq!(reply.header("connection"), Some("keep-alive"));
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_told_so_and_ends_the_connection() {
    let world = World::start().await;
    for bytes in [
        "no HTTP at all\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        let mut wire = world.wire().await;
        wire.send(bytes).await;
        let reply = wire.read("GET").await.expect("an answer");
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{bytes:?}");
        assert_eq!(reply.header("x-request-id"), reply.json()["request_id"].as_str());
        assert!(wire.read("GET").await.is_none(), "{bytes:?}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_uris_and_headers_are_refused_in_words() {
    let world = World::start().await;
    let customer = world.customer("verbose");
    let mut wire = world.wire().await;
    let reply = wire.ask(&customer, &format!("GET /signals?{} HTTP/1.1", "x".repeat(9_000))).await;
    assert_eq!(reply.refusal(), (414, "uri_too_long".to_owned()));
    let mut wire = world.wire().await;
    let reply =
        wire.ask(&customer, &format!("GET /signals HTTP/1.1\r\nx-long: {}", "x".repeat(66_000))).await;
    assert_eq!(reply.refusal(), (431, "headers_too_large".to_owned()));
    world.finish().await;
}
