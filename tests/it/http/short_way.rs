//! Plain requests go a shorter way than pingora's own: it must not show.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Customer, PATIENCE, Reply, World};

/// A raw API: answers each path by bytes, and may close the connection afterwards.
struct RawApi {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
}

/// What the raw API answers, and whether it closes then.
fn script(path: &str) -> (&'static [u8], bool) {
    match path {
        "/signals" => (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false),
        "/export/csv" => {
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", false)
        }
        "/export/pdf" => (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", true),
        "/signals/history/old" => (b"HTTP/1.0 200 Fine\r\ncontent-length: 2\r\n\r\nok", true),
        "/signals/history/empty" => (b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n", false),
        "/signals/history/same" => (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 70\r\n\r\n", false),
        "/signals/history/hints" => (
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            false,
        ),
        "/signals/history/last" => {
            (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", true)
        }
        "/signals/history/more" => (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more", false),
        "/signals/history/switch" => (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", false),
        "/signals/history/twice" => {
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", false)
        }
        "/signals/history/noise" => (b"no HTTP at all\r\n\r\n", true),
        "/signals/history/short" => (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", true),
        "/signals/history/stale" => (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        "/signals/history/silent" => (b"", false),
        "/signals/history/missing" => (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false),
        _ => (b"", true),
    }
}

const PATHS: [&str; 15] = [
    "/signals",
    "/export/csv",
    "/export/pdf",
    "/signals/history/old",
    "/signals/history/empty",
    "/signals/history/same",
    "/signals/history/hints",
    "/signals/history/last",
    "/signals/history/more",
    "/signals/history/switch",
    "/signals/history/twice",
    "/signals/history/noise",
    "/signals/history/short",
    "/signals/history/missing",
    "/signals/history/gone",
];

impl RawApi {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let connections = Arc::<AtomicU64>::default();
        let opened = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, connections }
    }

    async fn world(&self) -> World {
        World::builder().config(&format!("[upstreams.api]\nservers = [\"{}\"]", self.address)).start().await
    }
}

async fn serve(mut stream: TcpStream) {
    let mut read = Vec::new();
    for asked_before in 0.. {
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                return;
            }
        }
        let head = String::from_utf8_lossy(&read).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path == "/signals/history/stale" && asked_before > 0 {
            return;
        }
        if path == "/signals/history/slow" {
            say_slowly(&mut stream).await;
            return;
        }
        let (answer, closes) = script(path);
        let bodiless = head.starts_with("HEAD ");
        let end = answer.windows(4).rposition(|end| end == b"\r\n\r\n").map_or(0, |end| end + 4);
        let answer = if bodiless { &answer[..end] } else { answer };
        if stream.write_all(answer).await.is_err() || closes {
            return;
        }
        read.clear();
    }
}

/// Is silent between its words, never for as long as `read_timeout`, in all for longer.
async fn say_slowly(stream: &mut TcpStream) {
    let words: [&[u8]; 4] =
        [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"o", b"k"];
    for word in words {
        tokio::time::sleep(Duration::from_millis(500)).await; // as slowly as such an API is
        stream.write_all(word).await.expect("the gateway listens");
    }
}

/// What a client can tell of an answer.
fn told(reply: &Reply) -> (u16, u64, String) {
    let text = if reply.status >= 500 && !reply.body.is_empty() { reply.code() } else { reply.text() };
    (reply.status, reply.charged(), text)
}

/// None where the answer broke off. A request that says which codings it takes is not a plain one.
async fn ask(customer: &Customer, method: &Method, path: &str, plain: bool) -> Option<(u16, u64, String)> {
    let asked = customer.try_ask(method.clone(), path, |request| {
        if plain { request } else { request.header("te", "trailers") }
    });
    asked.await.ok().as_ref().map(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_answer_is_the_same_by_either_way() {
    let api = RawApi::start().await;
    let world = api.world().await;
    let customer = world.customer("traveller");
    for method in [Method::GET, Method::HEAD] {
        for path in PATHS {
            let short = ask(&customer, &method, path, true).await;
            assert_eq!(short, ask(&customer, &method, path, false).await, "{method} {path}");
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_api_is_used_again_unless_its_answer_was_in_doubt() {
    let api = RawApi::start().await;
    let world = api.world().await;
    let customer = world.customer("regular");
    // One connection, on which a request is read when the one before is over.
    let mut wire = world.wire().await;
    for (path, opened) in [
        ("/signals", 1),
        ("/export/csv", 1),
        ("/signals/history/empty", 1),
        ("/signals/history/same", 1),
        ("/signals/history/hints", 1),
        ("/signals/history/missing", 1),
        ("/signals/history/more", 1),
        ("/signals", 2),
        ("/signals/history/last", 2),
        ("/signals", 3),
        ("/export/pdf", 3),
        ("/signals", 4),
        ("/signals/history/switch", 4),
        ("/signals", 5),
    ] {
        let mut reply = wire.ask(&customer, &format!("GET {path} HTTP/1.1")).await;
        if reply.status == 103 {
            reply = wire.answer(&customer).await;
        }
        assert_eq!(api.connections.load(Ordering::SeqCst), opened, "{path}");
        if reply.header("connection") == Some("close") {
            wire = world.wire().await;
        }
    }
    world.finish().await;
}

/// The API closes a kept connection when the next request comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_the_api_closes_is_replaced_for_what_may_be_asked_twice_only() {
    let api = RawApi::start().await;
    let world = api.world().await;
    let customer = world.customer("unlucky");
    for plain in [true, false] {
        let stale = "/signals/history/stale";
        ask(&customer, &Method::GET, "/signals", plain).await.expect("keeps a connection");
        let reply = ask(&customer, &Method::GET, stale, plain).await.expect("an answer");
        assert_eq!((reply.0, reply.1), (200, 2), "plain: {plain}");
        let reply = ask(&customer, &Method::POST, stale, plain).await.expect("an answer");
        assert_eq!((reply.0, reply.1), (502, 0), "plain: {plain}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_brings_no_whole_request_in_time_is_closed() {
    let world = World::builder().config("[server]\nkeepalive_timeout = \"1s\"").start().await;
    let customer = world.customer("slow");
    let mut idle = world.wire().await;
    assert_eq!(idle.ask(&customer, "GET /signals HTTP/1.1").await.status, 200);
    assert!(idle.read("GET").await.is_none(), "closed when nothing comes");
    let mut slow = world.wire().await;
    let mut drops = 0;
    while slow.try_send("G").await {
        drops += 1;
        tokio::time::sleep(Duration::from_millis(20)).await; // as slowly as such a client sends
    }
    assert!(drops > 1, "it had its time");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_timeout_is_how_long_the_api_is_silent_and_not_what_client_or_answer_take() {
    let api = RawApi::start().await;
    let servers = format!("[upstreams.api]\nservers = [\"{}\"]\nread_timeout = \"800ms\"", api.address);
    let world = World::builder().config(&servers).start().await;
    let customer = world.customer("patient");
    for plain in [true, false] {
        let reply = ask(&customer, &Method::GET, "/signals/history/slow", plain).await;
        assert_eq!(reply, Some((200, 2, "ok".to_owned())), "plain: {plain}");
        let silent = ask(&customer, &Method::GET, "/signals/history/silent", plain);
        let reply = tokio::time::timeout(PATIENCE, silent).await.expect("the wait ends");
        assert_eq!(reply, Some((504, 0, "upstream_timeout".to_owned())), "plain: {plain}");
    }
    ask(&customer, &Method::GET, "/signals", true).await.expect("keeps a connection, whose timer runs out");
    let mut wire = world.wire().await;
    wire.send_head(&customer, "POST /signals HTTP/1.1\r\ncontent-length: 2").await;
    tokio::time::sleep(Duration::from_secs(1)).await; // as slowly as such a client sends
    assert_eq!(wire.go_on(&customer, "{}").await.status, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_lines_before_a_request_are_skipped_and_connect_is_refused() {
    let world = World::start().await;
    let customer = world.customer("odd");
    for framing in ["content-length: 2\r\n\r\n{}", "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"] {
        let mut wire = world.wire().await;
        for blank in ["\r\n\r\n", "\n", ""] {
            wire.send(blank).await;
            let (head, body) = framing.split_once("\r\n\r\n").expect("a header's end");
            let reply = wire.ask_with(&customer, &format!("POST /signals HTTP/1.1\r\n{head}"), body).await;
            assert_eq!(
                (reply.status, reply.json()["body_bytes"].as_u64()),
                (200, Some(2)),
                "{blank:?} {head}"
            );
        }
    }
    let mut wire = world.wire().await;
    // The route takes all methods.
    let reply = wire.ask_for_head(&customer, "CONNECT /signals/history/acme HTTP/1.1").await;
    assert_eq!((reply.status, reply.charged()), (405, 0));
    assert_eq!((world.upstream.hits("/signals"), world.upstream.hits("/signals/history/acme")), (6, 0));
    world.finish().await;
}
