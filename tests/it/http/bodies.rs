//! Request bodies: forwarded whole, or refused uncharged.

use http::Method;

use crate::harness::{Behaviour, World};

/// `max_body` of the tests.
const LIMIT: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_as_large_as_allowed_arrives_whole() {
    let world = World::start().await;
    let customer = world.customer("uploader");
    let reply = customer.ask(Method::POST, "/signals", |request| request.body("x".repeat(LIMIT))).await;
    assert_eq!((reply.status, reply.charged()), (200, 1));
    assert_eq!(reply.json()["body_bytes"], LIMIT);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_length_beyond_it_is_413_before_the_api_hears_anything() {
    let world = World::start().await;
    let customer = world.customer("uploader");
    let mut wire = world.wire().await;
    let head = format!("POST /signals HTTP/1.1\r\ncontent-length: {}", LIMIT + 1);
    let reply = wire.ask(&customer, &head).await;
    assert_eq!(reply.refusal(), (413, "body_too_large".to_owned()));
    assert_eq!(world.upstream.hits("/signals"), 0);
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_found_too_large_on_the_way_is_413_and_uncharged() {
    let world = World::start().await;
    let customer = world.customer("uploader");
    let mut wire = world.wire().await;
    let head = format!(
        "POST /signals HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        customer.token
    );
    wire.send(&head).await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..5 {
        wire.send(&chunk).await;
    }
    let reply = wire.read("POST").await.expect("an answer");
    assert_eq!(reply.refusal(), (413, "body_too_large".to_owned()));
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

/// Closed upon what was not read, the connection would take the answer with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_whole_body_first_still_reads_why_it_was_refused() {
    const SENT: usize = 8 << 20;
    let world = World::start().await;
    let customer = world.customer("uploader");
    let bearer = format!("authorization: Bearer {}\r\n", customer.token);
    let length = format!("content-length: {SENT}\r\n\r\n");
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{SENT:x}\r\n");
    for (headers, framing, refused) in [
        (&*bearer, &length, (413, "body_too_large")),
        (&*bearer, &chunked, (413, "body_too_large")),
        ("connection: close\r\n", &chunked, (401, "token_missing")),
    ] {
        let mut wire = world.wire().await;
        wire.send(&format!("POST /signals HTTP/1.1\r\nhost: a\r\n{headers}{framing}")).await;
        wire.send(&"x".repeat(SENT)).await;
        if framing == &chunked {
            wire.send("\r\n0\r\n\r\n").await;
        }
        let reply = wire.read("POST").await.expect("an answer");
        assert_eq!(reply.refusal(), (refused.0, refused.1.to_owned()), "{framing}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(wire.read("POST").await.is_none(), "it ends");
    }
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_client_breaks_off_is_uncharged_and_a_short_one_never_reaches_the_api() {
    for (framing, reaches) in
        [("content-length: 9\r\n\r\nbroken", 0), ("transfer-encoding: chunked\r\n\r\n6\r\nbroken\r\n", 1)]
    {
        let world = World::start().await;
        let customer = world.customer("uploader");
        let mut wire = world.wire().await;
        let head = format!(
            "POST /signals HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n{framing}",
            customer.token
        );
        wire.send(&head).await;
        world.upstream.arrived("/signals", reaches).await;
        drop(wire);
        let ended = "tollgate_requests_total{route=\"/signals\",status_class=\"4xx\"}";
        crate::harness::until("the gateway notices", crate::harness::PATIENCE, async || {
            (world.metric(ended).await == Some(1)).then_some(())
        })
        .await;
        assert_eq!(customer.used().await, 0);
        assert_eq!(world.upstream.hits("/signals"), reaches);
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_100_continue_a_failure_is_still_told() {
    let world = World::builder().config("[upstreams.api]\nread_timeout = \"300ms\"").start().await;
    let customer = world.customer("uploader");
    world.upstream.on("/signals", Behaviour::Held);
    let mut wire = world.wire().await;
    let head = "POST /signals HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5";
    assert_eq!(wire.ask_for_head(&customer, head).await.status, 100);
    wire.send("hello").await;
    let reply = wire.read("POST").await.expect("an answer");
    assert_eq!(reply.refusal(), (504, "upstream_timeout".to_owned()));
    assert_eq!(customer.used().await, 0);
    world.upstream.release();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_take_longer_bodies_than_others_or_shorter_ones_or_any() {
    let routes = r#"routes = [
        { path = "/short", cost = 1, max_body = "1KiB" },
        { path = "/long", cost = 1, max_body = "128KiB" },
        { path = "/any", cost = 1, max_body = 0 },
    ]"#;
    let world = World::builder().config(routes).start().await;
    let customer = world.customer("uploader");
    for (path, bytes, passes) in [
        ("/short", 1 << 10, true),
        ("/short", (1 << 10) + 1, false),
        ("/long", 128 << 10, true),
        ("/long", (128 << 10) + 1, false),
        ("/any", 1 << 20, true),
    ] {
        let mut declared = world.wire().await;
        let mut chunked = world.wire().await;
        let body = "x".repeat(bytes);
        let head = |framing: &str| format!("POST {path} HTTP/1.1\r\n{framing}");
        declared.send_head(&customer, &head(&format!("content-length: {bytes}"))).await;
        chunked.send_head(&customer, &head("transfer-encoding: chunked")).await;
        if passes {
            declared.send(&body).await;
        }
        // Who is refused may see the connection end before all is sent.
        chunked.try_send(&format!("{bytes:x}\r\n{body}\r\n0\r\n\r\n")).await;
        for wire in [&mut declared, &mut chunked] {
            let reply = wire.answer(&customer).await;
            assert_eq!(
                (reply.status, reply.charged()),
                (if passes { 200 } else { 413 }, u64::from(passes)),
                "{path} {bytes}"
            );
        }
    }
    assert_eq!(customer.used().await, 6);
    world.finish().await;
}
