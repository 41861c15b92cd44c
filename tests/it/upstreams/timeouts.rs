//! How long each step may take. Who waits in vain is told so, and pays nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::harness::{Behaviour, Reply, Upstream, World};

use super::{ask, get, hits, upstreams};

fn told(reply: &Reply) -> (u16, String, u64) {
    (reply.status, reply.code(), reply.charged())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_begin_in_time_is_not_waited_for() {
    let timed_out = (504, "upstream_timeout".to_owned(), 0);
    for limit in ["first_byte_timeout = \"300ms\"", "total_timeout = \"300ms\"", "read_timeout = \"300ms\""] {
        let server = Upstream::start().await;
        server.on("/export/csv", Behaviour::Held);
        let config = upstreams(&[&server], &format!("retries = 3\n{limit}"));
        let world = World::builder().config(&config).start().await;
        let customer = world.customer("patient");
        for plain in [true, false] {
            for method in [Method::GET, Method::POST] {
                let reply = ask(&customer, &method, "/export/csv", plain).await;
                assert_eq!(told(&reply), timed_out, "{limit} {method} plain: {plain}");
            }
            assert_eq!(get(&customer, "/signals", plain).await.status, 200);
        }
        assert_eq!(server.hits("/export/csv"), 4, "{limit}: nothing is asked again that took too long");
        server.release();
        world.finish().await;
    }
}

/// A raw API whose answer begins at once, and goes on when it is told to.
async fn slow_ender(goes_on: Arc<Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut read).await.expect("a request");
        }
        let begins = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(begins).await.expect("it is read");
        goes_on.notified().await;
        stream.write_all(b"6\r\n world\r\n0\r\n\r\n").await.expect("it is still read");
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_waited_for_beyond_what_its_beginning_may_take() {
    let goes_on = Arc::new(Notify::new());
    let config = format!(
        "[upstreams.api]\nservers = [\"{}\"]\nfirst_byte_timeout = \"300ms\"\ntotal_timeout = \"300ms\"",
        slow_ender(goes_on.clone()).await
    );
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("patient");
    let mut wire = world.wire().await;
    let begun = wire.ask_for_head(&customer, "GET /signals HTTP/1.1").await;
    assert_eq!((begun.status, begun.charged()), (200, 1));
    tokio::time::sleep(Duration::from_millis(600)).await; // for longer than the limits
    goes_on.notify_one();
    let (mut stream, mut body) = wire.into_stream();
    while !body.ends_with(b"0\r\n\r\n") {
        assert!(
            stream.read_buf(&mut body).await.expect("an answer") > 0,
            "{:?}",
            String::from_utf8_lossy(&body)
        );
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_together_have_their_time() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.on("/signals", Behaviour::Status(503));
    b.on("/signals", Behaviour::Held);
    let limits = "retries = 5\nretry_on = [503]\ntotal_timeout = \"500ms\"";
    let world = World::builder().config(&upstreams(&[&a, &b], limits)).start().await;
    let customer = world.customer("patient");
    for plain in [true, false] {
        assert_eq!(told(&get(&customer, "/signals", plain).await), (504, "upstream_timeout".to_owned(), 0));
    }
    assert_eq!(hits(&[&b], "/signals"), [2]);
    b.release();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_its_own_time() {
    let server = Upstream::start().await;
    let routes = r#"routes = [
        { path = "/export/csv", cost = 3, timeout = { read = "300ms" } },
        { path = "/export/pdf", cost = 5, timeout = { total = "300ms" } },
        { path = "/signals", cost = 1, timeout = { read = "1m" } },
    ]"#;
    let limits = "first_byte_timeout = \"300ms\"";
    let world = World::builder().config(&upstreams(&[&server], limits)).config(routes).start().await;
    let customer = world.customer("patient");
    for path in ["/export/csv", "/export/pdf", "/signals"] {
        server.on(path, Behaviour::Held);
    }
    for plain in [true, false] {
        for path in ["/export/csv", "/export/pdf"] {
            let reply = get(&customer, path, plain).await;
            assert_eq!(told(&reply), (504, "upstream_timeout".to_owned(), 0), "{path} plain: {plain}");
        }
    }
    let patient = customer.clone();
    let waiting = tokio::spawn(async move { get(&patient, "/signals", true).await });
    server.arrived("/signals", 1).await;
    tokio::time::sleep(Duration::from_millis(600)).await; // for longer than the upstream's own limit
    server.release();
    assert_eq!(waiting.await.expect("it ends").status, 200);
    world.finish().await;
}
