//! How many connections there may be, and how much a request's header may hold.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{PATIENCE, Wire, World, until};

/// A connection from an address of this machine.
async fn from(world: &World, last: u8) -> Wire {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).expect("an address of this machine");
    let stream: TcpStream = socket.connect(world.gateway.public).await.expect("the port is open");
    world.wire_over(stream)
}

/// Whether a connection is served.
async fn is_served(wire: &mut Wire) -> bool {
    wire.try_send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await && wire.read("GET").await.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let keys = "[server]\nconnections_per_ip = 3\ntrusted_proxies = [\"127.0.0.9/32\"]";
    let world = World::builder().config(keys).start().await;
    let mut mine = Vec::new();
    for _ in 0..3 {
        let mut wire = from(&world, 2).await;
        assert!(is_served(&mut wire).await);
        mine.push(wire);
    }
    assert!(!is_served(&mut from(&world, 2).await).await, "one too many");
    assert!(is_served(&mut from(&world, 3).await).await, "another address");
    let mut trusted = Vec::new();
    for _ in 0..5 {
        let mut wire = from(&world, 9).await;
        assert!(is_served(&mut wire).await, "proxies speak for many");
        trusted.push(wire);
    }
    assert_eq!(world.metric("tollgate_connections_refused_total{why=\"address\"}").await, Some(1));
    mine.pop();
    until("there is room again", PATIENCE, async || {
        is_served(&mut from(&world, 2).await).await.then_some(())
    })
    .await;
    assert!(is_served(&mut mine[0]).await, "those that are there go on");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_connections_in_all() {
    let world = World::builder().config("[server]\nmax_connections = 4").start().await;
    let mut open = Vec::new();
    until("four are open", PATIENCE, async || {
        let mut wire = from(&world, 2).await;
        if is_served(&mut wire).await {
            open.push(wire);
        }
        (open.len() == 4).then_some(())
    })
    .await;
    assert_eq!(world.metric("tollgate_connections").await, Some(4));
    for last in [2, 3] {
        assert!(!is_served(&mut from(&world, last).await).await, "one too many");
    }
    assert!(world.metric("tollgate_connections_refused_total{why=\"all\"}").await >= Some(2));
    drop(open);
    until("there is room again", PATIENCE, async || {
        is_served(&mut from(&world, 2).await).await.then_some(())
    })
    .await;
    until("all are closed", PATIENCE, async || {
        (world.metric("tollgate_connections").await == Some(0)).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_holds_as_much_as_is_allowed() {
    let keys = "[server]\nmax_headers = 6\nmax_header_bytes = \"1KiB\"\nmax_uri = \"100B\"";
    let world = World::builder().config(keys).start().await;
    let ask = async |path: &str, headers: &str| {
        let mut wire = world.wire().await;
        wire.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n")).await;
        wire.read("GET").await.expect("an answer").status
    };
    assert_eq!(ask("/health", &"x: y\r\n".repeat(5)).await, 200);
    assert_eq!(ask("/health", &"x: y\r\n".repeat(6)).await, 431);
    assert_eq!(ask("/health", &format!("x: {}\r\n", "y".repeat(1_000))).await, 200);
    assert_eq!(ask("/health", &format!("x: {}\r\n", "y".repeat(1_024))).await, 431);
    assert_eq!(ask(&format!("/health?{}", "q".repeat(92)), "").await, 200);
    assert_eq!(ask(&format!("/health?{}", "q".repeat(93)), "").await, 414);
    world.finish().await;
}
