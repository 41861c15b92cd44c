//! WebSockets: charged once, then bytes pass both ways until either side ends it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::harness::{Customer, PATIENCE, Reply, World, until};

type Socket = WebSocketStream<TcpStream>;

/// What costs 2 units.
const CHAT: &str = "/signals/history/chat";
/// The key of RFC 6455, section 1.3, and what it is answered with.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// More than what is on the way fills.
const FLOOD: usize = 32 << 20;

/// An API of WebSockets, whose side of each the test holds.
struct Api {
    address: SocketAddr,
    opened: mpsc::UnboundedReceiver<Socket>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (opens, opened) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(socket) = accept_hdr_async(stream, agree).await {
                    let _ = opens.send(socket); // a test that has ended needs none
                }
            }
        });
        Self { address, opened }
    }

    /// A world with this API, and with what else is configured: first of `[upstreams.api]`.
    async fn world(&self, config: &str) -> World {
        World::builder().config(&format!("{}{config}", servers(self.address))).start().await
    }

    /// A WebSocket through the gateway: the client's side and ours.
    async fn open(&mut self, world: &World, customer: &Customer) -> (Socket, Socket) {
        let mut wire = world.wire().await;
        let reply = wire.ask_for_head(customer, &asking(CHAT, "Upgrade")).await;
        assert_eq!((reply.status, reply.charged()), (101, 2));
        assert_eq!(reply.header("sec-websocket-accept"), Some(ACCEPTED));
        let (stream, ahead) = wire.into_stream();
        let client = WebSocketStream::from_partially_read(stream, ahead, Role::Client, None).await;
        (client, self.opened.recv().await.expect("the API hears of it"))
    }
}

fn servers(address: SocketAddr) -> String {
    format!("[upstreams.api]\nservers = [\"{address}\"]\n")
}

/// The callback of the handshake: some paths have no WebSocket.
fn agree(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() != CHAT {
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        refusal.headers_mut().insert("content-length", "0".parse().expect("a number"));
        return Err(refusal);
    }
    assert!(!request.headers().contains_key("authorization"), "the API gets no token");
    Ok(response)
}

/// The head of a request for a WebSocket.
fn asking(path: &str, connection: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nConnection: {connection}\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}"
    )
}

/// The next text; none when the other side has closed or is gone.
async fn next_text(socket: &mut Socket) -> Option<String> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("it says something, or ends")?.ok()? {
            Message::Text(text) => return Some(text.to_string()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.expect("it is open");
}

/// Whether each still hears the other.
async fn talk(client: &mut Socket, api: &mut Socket) {
    say(client, "ping").await;
    assert_eq!(next_text(api).await.as_deref(), Some("ping"));
    say(api, "pong").await;
    assert_eq!(next_text(client).await.as_deref(), Some("pong"));
}

/// Sends a flood, and takes the other's, in whatever order.
async fn flood_and_take(stream: TcpStream, write_first: bool) {
    let (mut from, mut to) = stream.into_split();
    let flood = async {
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..FLOOD >> 20 {
            to.write_all(&piece).await.expect("it is open");
        }
    };
    let take = async {
        let mut piece = vec![0; 1 << 16];
        let mut taken = 0;
        while taken < FLOOD {
            match from.read(&mut piece).await {
                Ok(read @ 1..) => taken += read,
                ended => panic!("{ended:?} after {taken} bytes"),
            }
        }
    };
    if write_first {
        flood.await;
        take.await;
    } else {
        tokio::join!(flood, take);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_more_than_max_body_and_is_charged_once() {
    let mut api = Api::start().await;
    let world = api.world("").await;
    let customer = world.customer("talker");
    let (mut client, mut server) = api.open(&world, &customer).await;
    let message = Bytes::from(vec![b'x'; 48 << 10]);
    for _ in 0..64 {
        client.send(Message::Binary(message.clone())).await.expect("it is open");
        let heard = server.next().await.expect("it is open").expect("a message");
        server.send(heard).await.expect("it is open");
        let echo = client.next().await.expect("it is open").expect("a message");
        assert_eq!(echo.into_data(), message);
    }
    assert_eq!(customer.used().await, 2);
    drop((client, server));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_direction_of_a_websocket_waits_for_the_other() {
    let mut api = Api::start().await;
    let world = api.world("").await;
    let customer = world.customer("talker");
    for write_first in [false, true] {
        let (client, server) = api.open(&world, &customer).await;
        let client = flood_and_take(client.into_inner(), write_first);
        let server = flood_and_take(server.into_inner(), false);
        let both = async { tokio::join!(client, server) };
        timeout(PATIENCE, both).await.expect("both come through");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_cut_when_both_sides_are_silent_and_not_for_the_silence_of_one() {
    let mut api = Api::start().await;
    let times =
        "read_timeout = \"200ms\"\nidle_timeout = \"1500ms\"\n[server]\nkeepalive_timeout = \"200ms\"";
    let world = api.world(times).await;
    let customer = world.customer("talker");
    let (mut client, mut server) = api.open(&world, &customer).await;
    for _ in 0..10 {
        sleep(Duration::from_millis(300)).await; // the client is silent for twice the time
        say(&mut server, "news").await;
        assert_eq!(next_text(&mut client).await.as_deref(), Some("news"));
    }
    for _ in 0..10 {
        sleep(Duration::from_millis(300)).await; // and so is the API
        say(&mut client, "report").await;
        assert_eq!(next_text(&mut server).await.as_deref(), Some("report"));
    }
    assert_eq!(next_text(&mut client).await, None);
    assert_eq!(next_text(&mut server).await, None);
    assert_eq!(customer.used().await, 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_that_closes_a_websocket_is_heard_to_its_end_and_may_be_answered() {
    let mut api = Api::start().await;
    let world = api.world("").await;
    let customer = world.customer("talker");
    let long = "x".repeat(2 << 20);
    for client_closes in [true, false] {
        let (client, server) = api.open(&world, &customer).await;
        let (mut closes, mut hears) = if client_closes { (client, server) } else { (server, client) };
        let closing = tokio::spawn({
            let long = long.clone();
            async move {
                say(&mut closes, &long).await;
                let mut closes = closes.into_inner();
                closes.shutdown().await.expect("it is open");
                let mut rest = Vec::new();
                closes.read_to_end(&mut rest).await.expect("an end");
                rest
            }
        });
        assert!(next_text(&mut hears).await.is_some_and(|heard| heard == long));
        assert_eq!(next_text(&mut hears).await, None);
        hears.get_mut().write_all(b"bye").await.expect("this way is open");
        drop(hears);
        assert_eq!(closing.await.expect("the task ran"), b"bye");
    }
    assert_eq!(customer.used().await, 4);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_of_a_websocket_that_breaks_off_ends_the_other_and_the_charge_stands() {
    let mut api = Api::start().await;
    let world = api.world("").await;
    let customer = world.customer("talker");
    for client_breaks in [true, false] {
        let (mut client, mut server) = api.open(&world, &customer).await;
        talk(&mut client, &mut server).await;
        let (breaks, mut hears) = if client_breaks { (client, server) } else { (server, client) };
        SockRef::from(breaks.get_ref()).set_linger(Some(Duration::ZERO)).expect("a reset instead of an end");
        drop(breaks);
        assert_eq!(next_text(&mut hears).await, None);
    }
    assert_eq!(customer.used().await, 4);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_goes_on_after_the_other_has_closed_is_cut() {
    let mut api = Api::start().await;
    let world = api.world("").await;
    let customer = world.customer("talker");
    for client_closes in [true, false] {
        let (client, server) = api.open(&world, &customer).await;
        let (mut closes, goes_on) = if client_closes { (client, server) } else { (server, client) };
        closes.get_mut().shutdown().await.expect("it is open");
        let mut goes_on = goes_on.into_inner();
        until("it is cut", PATIENCE, async || goes_on.write_all(b"more").await.is_err().then_some(())).await;
        drop(closes);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_says_with_its_101_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let world = World::builder().config(&servers(listener.local_addr().expect("a bound port"))).start().await;
    let customer = world.customer("talker");
    let mut wire = world.wire().await;
    wire.send_head(&customer, &asking(CHAT, "keep-alive, Upgrade")).await;
    let (mut api, _) = listener.accept().await.expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        api.read_buf(&mut head).await.expect("the request");
    }
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    api.write_all(format!("{switch}\u{1}first").as_bytes()).await.expect("the gateway listens");
    assert_eq!(wire.answer(&customer).await.status, 101);
    let (mut client, mut heard) = wire.into_stream();
    while !heard.ends_with(b"\x01first") {
        let read = timeout(PATIENCE, client.read_buf(&mut heard)).await.expect("it comes");
        assert!(read.expect("it is open") > 0, "{heard:?}");
    }
    drop((client, api));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_the_api_refuses_or_leaves_waiting_costs_nothing() {
    let api = Api::start().await;
    let world = api.world("").await;
    let customer = world.customer("talker");
    let mut wire = world.wire().await;
    for _ in 0..2 {
        let reply = wire.ask(&customer, &asking("/signals/history/none", "Upgrade")).await;
        assert_eq!((reply.status, reply.charged()), (403, 0));
    }
    assert_eq!(customer.used().await, 0);
    world.finish().await;

    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("a bound port");
    let world = World::builder().config(&(servers(address) + "read_timeout = \"300ms\"")).start().await;
    let customer = world.customer("talker");
    let reply = world.wire().await.ask(&customer, &asking(CHAT, "Upgrade")).await;
    assert_eq!(reply.refusal(), (504, "upstream_timeout".to_owned()));
    let mut nobody = world.wire().await;
    nobody.send(&format!("{}\r\nhost: a\r\n\r\n", asking(CHAT, "Upgrade"))).await;
    assert_eq!(nobody.read("GET").await.expect("an answer").status, 401);
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

/// The headers that the API got.
fn forwarded(reply: &Reply) -> Vec<String> {
    let json = reply.json();
    json["headers"].as_object().expect("headers").keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_more_than_a_websocket_gets_an_answer_and_no_upgrade() {
    let world = World::start().await;
    let customer = world.customer("odd");
    let websocket = asking(CHAT, "Upgrade");
    for (head, body) in [
        (websocket.replace("websocket", "h2c"), ""),
        (websocket.replace("Upgrade\r\n", "Upgrade, x-secret\r\nx-secret: 1\r\n"), ""),
        (format!("{websocket}\r\nte: trailers"), ""),
        (format!("{websocket}\r\nhttp2-settings: AA"), ""),
        (format!("{websocket}\r\ncontent-length: 2"), "{}"),
        (websocket.replace("GET", "POST"), ""),
        (websocket.clone(), "before the answer"),
    ] {
        let reply = world.wire().await.ask_with(&customer, &head, body).await;
        assert_eq!((reply.status, reply.charged()), (200, 2), "{head}");
        let headers = forwarded(&reply);
        for hop in ["upgrade", "http2-settings", "te", "x-secret"] {
            assert!(!headers.iter().any(|name| name == hop), "{hop} of {head}");
        }
    }
    // The same as a WebSocket.
    let reply = world.wire().await.ask(&customer, &websocket).await;
    assert!(forwarded(&reply).iter().any(|name| name == "upgrade"));
    world.finish().await;
}

async fn until_the_port_closes(world: &World) {
    until("the port closes", PATIENCE, async || {
        TcpStream::connect(world.gateway.public).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_sigterm_an_open_websocket_goes_on_and_the_gateway_ends_with_it() {
    let mut api = Api::start().await;
    let mut world = api.world("[server]\ndrain_timeout = \"5m\"").await;
    let customer = world.customer("talker");
    let (mut client, mut server) = api.open(&world, &customer).await;
    world.gateway.terminate();
    until_the_port_closes(&world).await;
    talk(&mut client, &mut server).await;
    client.close(None).await.expect("it is open");
    assert_eq!(next_text(&mut server).await, None);
    drop((client, server));
    assert_eq!(world.gateway.ended().await, Some(0));
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_outlasts_drain_timeout_is_cut_and_stays_charged() {
    let mut api = Api::start().await;
    let mut world = api.world("[server]\ndrain_timeout = \"300ms\"").await;
    let customer = world.customer("talker");
    let (mut client, mut server) = api.open(&world, &customer).await;
    world.gateway.terminate();
    assert_eq!(next_text(&mut client).await, None);
    assert_eq!(next_text(&mut server).await, None);
    assert_eq!(world.gateway.ended().await, Some(0));
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 2);
    world.finish().await;
}
