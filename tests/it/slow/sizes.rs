//! Bodies and connections beyond what fits into memory.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::harness::{Behaviour, Customer, World, free_address, resident};
use crate::tls::Secure;

const LARGE: usize = 50 << 20;
/// What a gateway may take beside what it had.
const MORE_KIB: u64 = 32 * 1024;

async fn upload(world: &World, customer: &Customer, head: &str, chunked: bool) -> u64 {
    let mut wire = world.wire().await;
    wire.send_head(customer, head).await;
    let piece = "x".repeat(64 * 1024);
    for _ in 0..LARGE / piece.len() {
        if chunked {
            wire.send(&format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        } else {
            wire.send(&piece).await;
        }
    }
    let end = if chunked { "0\r\n\r\n" } else { "" };
    wire.go_on(customer, end).await.json()["body_bytes"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_any_size_pass_in_little_memory() {
    let h2c = free_address();
    let keys = format!("[server]\nmax_body = \"64MiB\"\nh2c_listen = [\"{h2c}\"]");
    let world = World::builder().config(&keys).start().await;
    let customer = world.customer("large");
    world.upstream.on("/export/csv", Behaviour::Large(LARGE));
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let id = world.gateway.id();
    let before = resident(id);
    let grown = |what: &str| {
        let grown = resident(id).saturating_sub(before);
        eprintln!("{what}: {grown} KiB more");
        assert!(grown < MORE_KIB, "{what}: {grown} KiB more");
    };
    let sized = format!("POST /signals HTTP/1.1\r\ncontent-length: {LARGE}");
    assert_eq!(upload(&world, &customer, &sized, false).await, LARGE as u64);
    grown("50 MiB up, with their length");
    let chunked = "POST /signals HTTP/1.1\r\ntransfer-encoding: chunked";
    assert_eq!(upload(&world, &customer, chunked, true).await, LARGE as u64);
    grown("50 MiB up, in chunks");
    assert_eq!(customer.get("/export/csv").await.body.len(), LARGE);
    grown("50 MiB down");
    let http2 = world.http2_over(tokio::net::TcpStream::connect(h2c).await.expect("open")).await;
    assert_eq!(http2.get(&customer, "/export/csv").await.body.len(), LARGE);
    grown("50 MiB down, HTTP/2");
    let (answer, mut send) =
        http2.begin(Some(&customer), Method::POST, "/signals", true).await.expect("a request");
    let mut left = LARGE;
    while left > 0 {
        send.reserve_capacity(left.min(64 * 1024));
        let room = std::future::poll_fn(|task| send.poll_capacity(task)).await;
        let room = room.expect("it goes on").expect("it goes on").min(left);
        left -= room;
        send.send_data(Bytes::from(vec![b'x'; room]), left == 0).expect("it goes on");
    }
    let told = http2.read(Some(&customer), answer).await.expect("an answer").json();
    assert_eq!(told["body_bytes"], LARGE);
    grown("50 MiB up, HTTP/2");
    assert_eq!(customer.used().await, 10);
    world.finish().await;
}

/// How many connections rest at once: as many as this process may open, at most 5,000 of each kind.
fn connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let files: usize = files.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(65_536);
    (files.saturating_sub(500) / 4).min(5_000)
}

/// Prints what an idle connection costs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it opens 10,000 connections; tests/run.sh runs it"]
async fn idle_connections_by_the_thousand_cost_little_each() {
    let secure = Secure::start().await;
    let customer = secure.world.customer("here");
    let id = secure.world.gateway.id();
    let client = secure.client();
    let each = connections();
    let mut kept = Vec::new();
    let mut shaken = Vec::new();
    assert_eq!(customer.get("/signals").await.charged(), 1);
    for (what, address) in [("plain", secure.world.gateway.public), ("TLS", secure.https)] {
        let before = resident(id);
        for number in 0..each {
            let socket = TcpSocket::new_v4().expect("a socket");
            let last = if number % 2 == 0 { 2 } else { 3 };
            socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).expect("an address");
            let mut stream = socket.connect(address).await.expect("the port is open");
            let asked = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
            let mut answer = [0; 15];
            if what == "TLS" {
                let mut stream = client.connect_over(stream, crate::tls::HOST).await.expect("a handshake");
                stream.write_all(asked).await.expect("open");
                stream.flush().await.expect("open");
                stream.read_exact(&mut answer).await.expect("an answer");
                shaken.push(stream);
            } else {
                stream.write_all(asked).await.expect("open");
                stream.read_exact(&mut answer).await.expect("an answer");
                kept.push(stream);
            }
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
        }
        let grown = resident(id).saturating_sub(before);
        eprintln!("{each} idle connections, {what}: {} KiB each", grown / each as u64);
        assert!(grown / (each as u64) < 64, "{what}: {grown} KiB for {each}");
    }
    assert_eq!(customer.get("/signals").await.charged(), 1, "others are served");
    secure.world.finish().await;
}
