//! WebSockets whose messages are priced.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::harness::{Customer, PATIENCE, World};

type Socket = WebSocketStream<TcpStream>;

const ASKED: &str = "GET /live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

async fn world(api: SocketAddr) -> World {
    world_with(api, "").await
}

/// `more`: of the route, and then of anything.
async fn world_with(api: SocketAddr, more: &str) -> World {
    let config = format!(
        "[upstreams.api]\nservers = [\"{api}\"]\n
        [[routes]]\npath = \"/live\"\ncost = {{ api_calls = {{ messages = 2, hold = 5 }} }}\n{more}"
    );
    World::builder().config(&config).start().await
}

/// Asks for a WebSocket: both ends of it, once the switch has been answered with what is held.
async fn open(world: &World, api: &TcpListener, customer: &Customer) -> (Socket, Socket) {
    let mut wire = world.wire().await;
    let agree =
        async { accept_async(api.accept().await.expect("a connection").0).await.expect("a WebSocket") };
    let (reply, server) = tokio::join!(wire.ask_for_head(customer, ASKED), agree);
    assert_eq!((reply.status, reply.header("x-usage-cost")), (101, Some("api_calls=5;held")));
    let (stream, ahead) = wire.into_stream();
    (WebSocketStream::from_partially_read(stream, ahead, Role::Client, None).await, server)
}

/// Passes one message; what answers itself on the way is not one.
async fn pass(from: &mut Socket, to: &mut Socket, message: Message) {
    from.send(message.clone()).await.expect("it is open");
    while timeout(PATIENCE, to.next()).await.expect("it comes").expect("it is open").expect("a message")
        != message
    {}
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_priced_in_both_directions_and_control_frames_are_free() {
    let api = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let world = world(api.local_addr().expect("a bound port")).await;
    let customer = world.customer("talker");
    let (mut client, mut server) = open(&world, &api, &customer).await;
    for at in 0..10 {
        pass(&mut client, &mut server, Message::text(format!("question {at}"))).await;
        pass(&mut server, &mut client, Message::Binary(Bytes::from(vec![7; 70_000]))).await;
        pass(&mut client, &mut server, Message::Ping(Bytes::from_static(b"there?"))).await;
    }
    let part = |opcode, last| Message::Frame(Frame::message(Bytes::from_static(b"part"), opcode, last));
    client.send(part(OpCode::Data(Data::Text), false)).await.expect("it is open");
    client.send(part(OpCode::Data(Data::Continue), false)).await.expect("it is open");
    client.send(part(OpCode::Data(Data::Continue), true)).await.expect("it is open");
    while timeout(PATIENCE, server.next()).await.expect("it comes").expect("it is open").expect("a message")
        != Message::text("partpartpart")
    {}
    assert!(customer.used().await >= 11, "it is charged before it passes");
    client.close(None).await.expect("it is open");
    while timeout(PATIENCE, server.next()).await.expect("it ends").is_some() {}
    drop((client, server));
    // 21 messages, two for a unit.
    customer.owes("api_calls=11");
    customer.until_used(11).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_ends_a_websocket_whose_messages_are_priced() {
    let api = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let world = world(api.local_addr().expect("a bound port")).await;
    let customer = world.customer("talker");
    let (mut client, mut server) = open(&world, &api, &customer).await;
    pass(&mut client, &mut server, Message::text("one")).await;
    let (mut client, mut server) = (client.into_inner(), server.into_inner());
    client.write_all(b"\x83\x05wrong").await.expect("it is open");
    for side in [&mut client, &mut server] {
        let mut rest = Vec::new();
        // An end or a reset, whichever comes first.
        let _ = timeout(PATIENCE, side.read_to_end(&mut rest)).await.expect("it is cut");
        assert!(rest.is_empty(), "{rest:?}");
    }
    customer.owes("api_calls=1");
    customer.until_used(1).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_leaves_what_was_held_of_an_open_websocket() {
    let api = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut world = world(api.local_addr().expect("a bound port")).await;
    let customer = world.customer("talker");
    let (mut client, mut server) = open(&world, &api, &customer).await;
    pass(&mut client, &mut server, Message::text("one")).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    customer.owes("api_calls=5");
    customer.until_used(5).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_closes_a_websocket_with_a_reason_before_what_exceeds_it() {
    let api = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = api.local_addr().expect("a bound port");
    let world = world_with(address, "[tiers.free]\nincluded = { api_calls = 6 }").await;
    let customer = world.customer("talker");
    let (mut client, mut server) = open(&world, &api, &customer).await;
    for at in 0..6 {
        pass(&mut client, &mut server, Message::text(format!("question {at}"))).await;
        pass(&mut server, &mut client, Message::text(format!("answer {at}"))).await;
    }
    client.send(Message::text("one more")).await.expect("it is open");
    let last = timeout(PATIENCE, client.next()).await.expect("it comes").expect("a frame").expect("a frame");
    let Message::Close(Some(close)) = last else { panic!("{last:?} is no reason") };
    assert_eq!((close.code, &*close.reason), (CloseCode::Policy, "quota_exceeded"));
    while let Some(Ok(message)) = timeout(PATIENCE, server.next()).await.expect("it ends") {
        assert_ne!(message, Message::text("one more"));
    }
    drop((client, server));
    customer.owes("api_calls=6");
    customer.until_used(6).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_is_to_be_finished_passes_a_limit() {
    let api = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = api.local_addr().expect("a bound port");
    let finish = "on_limit = \"finish\"\n[tiers.free]\nincluded = { api_calls = 6 }";
    let world = world_with(address, finish).await;
    let customer = world.customer("talker");
    let (mut client, mut server) = open(&world, &api, &customer).await;
    for at in 0..20 {
        pass(&mut client, &mut server, Message::text(format!("question {at}"))).await;
    }
    client.close(None).await.expect("it is open");
    while timeout(PATIENCE, server.next()).await.expect("it ends").is_some() {}
    drop((client, server));
    customer.owes("api_calls=10");
    customer.until_used(10).await;
    world.finish().await;
}
