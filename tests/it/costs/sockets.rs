//! WebSockets whose cost is what passes.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::held;
use crate::harness::{Customer, World, tollgate};

/// The key of RFC 6455, section 1.3, and what it is answered with.
const ASKED: &str = "GET /live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An API that agrees to each WebSocket, and sends back what it is sent.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let _ = stream.write_all(AGREED.as_bytes()).await;
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// A world in which each KiB that passes costs a unit, and so many are held.
async fn world(hold: u64, more: &str) -> World {
    let address = echo().await;
    let config = format!(
        "[upstreams.api]\nservers = [\"{address}\"]\n
        [[routes]]\npath = \"/live\"\ncost = {{ api_calls = {{ bytes = \"1KiB\", hold = {hold} }} }}"
    );
    World::builder().config(&config).config(more).start().await
}

/// The client's side of a WebSocket, and the id of its request.
async fn open(world: &World, customer: &Customer, hold: u64) -> (TcpStream, String) {
    let mut wire = world.wire().await;
    let reply = wire.ask_for_head(customer, ASKED).await;
    assert_eq!((reply.status, held(&reply)), (101, Some(hold)));
    let id = reply.header("x-request-id").expect("an id").to_owned();
    let (stream, ahead) = wire.into_stream();
    assert!(ahead.is_empty());
    (stream, id)
}

/// So many bytes pass, half of them each way.
async fn pass(stream: &mut TcpStream, bytes: usize) {
    stream.write_all(&vec![b'x'; bytes / 2]).await.expect("it is open");
    let mut back = vec![0; bytes / 2];
    stream.read_exact(&mut back).await.expect("all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passed_through_a_websocket_is_charged_when_it_ends() {
    let world = world(50, "").await;
    let customer = world.customer("talker");
    let (mut stream, _) = open(&world, &customer, 50).await;
    assert_eq!(customer.used().await, 50);
    pass(&mut stream, 7_000).await;
    drop(stream);
    customer.owes("api_calls=7");
    customer.until_used(7).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_charged_and_billed_slice_by_slice_and_comes_to_what_passed() {
    let mut world = world(2, "[billing]\nflush_interval = \"1h\"").await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let (mut stream, id) = open(&world, &customer, 2).await;
    pass(&mut stream, 6 << 10).await;
    assert!(customer.used().await >= 6, "it is charged before it passes");
    world.flush_all().await;
    let billed = world.stripe.units_of(&subscribed.customer).await;
    assert!((2..=6).contains(&billed), "{billed}: the first slice, which has come true");
    pass(&mut stream, 3 << 10).await;
    drop(stream);
    customer.owes("api_calls=9");
    customer.until_used(9).await;
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 9);
    let config = world.gateway.config.display().to_string();
    let folder = world.gateway.config.parent().expect("a folder");
    let explained = tollgate(folder, &["explain", &id, "--json", "--config", &config], &[]);
    let receipt: Value = serde_json::from_str(&explained.stdout).expect("JSON");
    assert_eq!(
        (&receipt["kind"], &receipt["corrected"]["cost"]["api_calls"]),
        (&"estimate".into(), &9.into())
    );
    let charges = world.shown("/admin/customers/acme/charges").await;
    assert_eq!(charges["data"].as_array().map(Vec::len), Some(1), "one request: {charges}");
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 9);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_passed_through_a_websocket() {
    let mut world = world(2, "").await;
    let customer = world.customer("talker");
    let (mut stream, _) = open(&world, &customer, 2).await;
    for _ in 0..8 {
        pass(&mut stream, 1 << 10).await;
    }
    let used = customer.used().await;
    assert!(used >= 8, "{used}");
    world.gateway.kill9();
    world.gateway.restart().await;
    customer.owes(&format!("api_calls={used}"));
    assert_eq!(customer.used().await, used, "what passed, and what was held for more");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_reached_closes_a_websocket() {
    let world = world(2, "[tiers.free]\nincluded = { api_calls = 9 }").await;
    let customer = world.customer("talker");
    let (mut stream, _) = open(&world, &customer, 2).await;
    pass(&mut stream, 8 << 10).await;
    pass(&mut stream, 1 << 10).await;
    stream.write_all(b"x").await.expect("it is open");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("it is closed in order");
    assert!(rest.is_empty());
    customer.owes("api_calls=9");
    customer.until_used(9).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_on_as_it_began_while_another_configuration_comes() {
    let world = world(2, "").await;
    let customer = world.customer("talker");
    let (mut stream, _) = open(&world, &customer, 2).await;
    pass(&mut stream, 6 << 10).await;
    customer.until_used(12).await;
    // Dearer, by another server; and then not at all.
    let elsewhere = format!("[upstreams.api]\nservers = [\"{}\"]\n", world.upstream.address);
    world.reconfigure(&format!("{elsewhere}[[routes]]\npath = \"/live\"\ncost = 90")).await;
    world.reconfigure("[[routes]]\npath = \"/signals\"\ncost = 1\n[tiers.pro]\nrate = \"900/s\"").await;
    pass(&mut stream, 20 << 10).await;
    // 26 have passed, and 20 are held for what comes.
    customer.until_used(46).await;
    drop(stream);
    customer.owes("api_calls=26");
    customer.until_used(26).await;
    world.finish().await;
}
