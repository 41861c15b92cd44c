//! Requests of HTTP/2 are charged, refused and forwarded like any other.

use bytes::Bytes;
use http::Method;

use super::Multiplexed;
use crate::harness::{Behaviour, Http2, TlsClient};
use crate::tls::{HOST, Secure};

/// What a connection of HTTP/1 alone may say (RFC 9113, section 8.2.2).
const OF_CONNECTIONS: [&str; 5] =
    ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"];

async fn each_way(world: &crate::harness::World, connection: Http2, proto: &str) {
    let customer = world.customer("many");
    for (method, path, status, charged) in [
        (Method::GET, "/signals", 200, 1),
        (Method::HEAD, "/signals", 200, 1),
        (Method::GET, "/signals/history/X?a=%20", 200, 2),
        (Method::GET, "/free", 200, 0),
        (Method::GET, "/nowhere", 404, 0),
        (Method::PUT, "/signals", 405, 0),
        (Method::GET, "/premium", 403, 0),
        (Method::GET, "/billing/status", 200, 0),
        (Method::GET, "/pricing", 200, 0),
    ] {
        let head = method == Method::HEAD;
        let reply = connection.ask(&customer, method, path, None).await;
        assert_eq!((reply.status, reply.charged()), (status, charged), "{path}: {}", reply.text());
        assert!(reply.header("x-request-id").is_some(), "{path}");
        let of_connections = OF_CONNECTIONS.iter().find(|name| reply.headers.contains_key(**name));
        assert_eq!(of_connections, None, "{path}");
        assert_eq!(reply.body.is_empty(), head, "{path}");
    }
    let body = Bytes::from(vec![b'x'; 60_000]);
    let told = connection.ask(&customer, Method::POST, "/signals", Some(body)).await.json();
    assert_eq!((&told["body_bytes"], &told["method"]), (&60_000.into(), &"POST".into()));
    for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", proto), ("host", HOST)] {
        assert_eq!(told["headers"][name][0], value, "{name}");
    }
    assert_eq!(told["headers"]["x-tollgate-customer"][0], "many");
    let large = Bytes::from(vec![b'x'; 70_000]);
    let refused = connection.ask(&customer, Method::POST, "/signals", Some(large)).await;
    assert_eq!(refused.refusal(), (413, "body_too_large".to_owned()));
    let (answer, _) = connection.begin(None, Method::GET, "/signals", false).await.expect("a request");
    let refused = connection.read(None, answer).await.expect("an answer");
    assert_eq!(refused.refusal(), (401, "token_missing".to_owned()));
    assert_eq!(customer.used().await, 5);
    assert_eq!(connection.get(&customer, "/signals").await.charged(), 1, "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_tls_are_charged_and_refused_like_any_other() {
    let secure = Secure::start().await;
    let client: TlsClient = secure.client().offering(&["h2"]);
    let connection = secure.world.http2_over(secure.connect(&client).await).await;
    each_way(&secure.world, connection, "https").await;
    secure.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_tls_are_charged_and_refused_like_any_other() {
    let many = Multiplexed::start("").await;
    each_way(&many.world, many.connect().await, "http").await;
    // HTTP/1 is not spoken there.
    let mut wire = many.world.wire_over(many.tcp().await);
    wire.send("GET /signals HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(wire.read("GET").await.is_none());
    many.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_requests_as_are_allowed_run_at_once_and_the_next_waits() {
    let many = Multiplexed::start("[server]\nh2 = { streams = 20 }").await;
    let customer = many.world.customer("parallel");
    many.world.upstream.on("/signals", Behaviour::Held);
    let connection = many.connect().await;
    // From its settings the client knows how many there may be; one that does not is refused: `conformance`.
    connection.get(&customer, "/free").await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers
            .push(connection.begin(Some(&customer), Method::GET, "/signals", false).await.expect("room").0);
    }
    many.world.upstream.arrived("/signals", 20).await;
    let (next, _) =
        connection.begin(Some(&customer), Method::GET, "/export/csv", false).await.expect("a request");
    let other = many.connect().await;
    assert_eq!(other.get(&customer, "/free").await.status, 200, "another connection has its own");
    assert_eq!(many.world.upstream.hits("/export/csv"), 0, "there is no room");
    many.world.upstream.release();
    for answer in answers {
        let reply = connection.read(Some(&customer), answer).await.expect("an answer");
        assert_eq!((reply.status, reply.charged()), (200, 1));
    }
    assert_eq!(connection.read(Some(&customer), next).await.expect("an answer").charged(), 3);
    many.world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_costs_nothing_and_leaves_the_connection() {
    let many = Multiplexed::start("").await;
    let customer = many.world.customer("unlucky");
    let connection = many.connect().await;
    for behaviour in [Behaviour::HangUp, Behaviour::Status(503)] {
        many.world.upstream.on("/signals", behaviour.clone());
        let reply = connection.get(&customer, "/signals").await;
        assert_eq!(reply.charged(), 0, "{behaviour:?}");
        assert!(reply.status >= 502, "{behaviour:?}");
    }
    many.world.upstream.on("/export/pdf", Behaviour::CutMidBody);
    let begun = connection.begin(Some(&customer), Method::GET, "/export/pdf", false).await;
    let cut = connection.read(Some(&customer), begun.expect("a request").0).await;
    assert!(cut.is_err(), "half an answer is none");
    assert_eq!(connection.get(&customer, "/free").await.status, 200);
    customer.until_used(0).await;
    many.world.finish().await;
}
