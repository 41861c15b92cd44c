//! What comes too slowly is refused, however regularly its bytes come.

use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::harness::{PATIENCE, World, in_time};

/// Longer than any deadline of these tests.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_comes_byte_by_byte_is_refused_in_time() {
    let world = World::builder().config("[server]\nheader_timeout = \"500ms\"").start().await;
    let customer = world.customer("slow");
    // On a new connection, and on one that has been used.
    for used in [false, true] {
        let mut wire = world.wire().await;
        if used {
            assert_eq!(wire.ask(&customer, "GET /signals HTTP/1.1").await.charged(), 1);
        }
        let header = format!("GET /signals HTTP/1.1\r\nhost: a\r\nx-long: {}", "x".repeat(1_000));
        for byte in header.chars() {
            if !wire.try_send(&byte.to_string()).await {
                break;
            }
            tokio::time::sleep(PAUSE / 4).await;
            if world.metric("tollgate_refusals_total{code=\"request_timeout\"}").await > Some(u64::from(used))
            {
                break;
            }
        }
        let late = in_time(wire.read("GET")).await.expect("an answer");
        assert_eq!(late.refusal(), (408, "request_timeout".to_owned()), "{used}");
        assert!(wire.read("GET").await.is_none(), "the connection ends");
    }
    assert_eq!(customer.used().await, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_may_take_longer_than_a_connection_may_rest() {
    let keys = "[server]\nkeepalive_timeout = \"200ms\"\nheader_timeout = \"20s\"";
    let world = World::builder().config(keys).start().await;
    let customer = world.customer("steady");
    let mut wire = world.wire().await;
    wire.send("GET /signals HTTP/1.1\r\n").await;
    for _ in 0..6 {
        tokio::time::sleep(PAUSE).await;
        wire.send("x-more: x\r\n").await;
    }
    wire.send(&format!("host: a\r\nauthorization: Bearer {}\r\n\r\n", customer.token)).await;
    assert_eq!(wire.go_on(&customer, "").await.charged(), 1);
    // It rests now, and so does one that says nothing at all.
    assert!(wire.read("GET").await.is_none());
    assert!(world.wire().await.read("GET").await.is_none());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_refused_and_costs_nothing() {
    let world = World::builder().config("[server]\nbody_timeout = \"300ms\"").start().await;
    let customer = world.customer("silent");
    for head in [
        "POST /signals HTTP/1.1\r\ncontent-length: 100",
        "POST /signals HTTP/1.1\r\ntransfer-encoding: chunked",
        "POST /signals HTTP/1.1\r\ncontent-length: 65000\r\nte: trailers",
        "POST /signals HTTP/1.1\r\ncontent-length: 100\r\nidempotency-key: a",
        "POST /billing/checkout HTTP/1.1\r\ncontent-length: 100",
    ] {
        for part in ["", "4\r\npart"] {
            let mut wire = world.wire().await;
            wire.send_head(&customer, head).await;
            wire.send(part).await;
            let late = in_time(wire.read("POST")).await.expect("an answer");
            assert_eq!(late.refusal(), (408, "request_timeout".to_owned()), "{head}");
            assert!(wire.read("POST").await.is_none(), "{head}: the connection ends");
        }
    }
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

/// Takes longer than the time for which any rate will do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it waits for half a minute; tests/run.sh runs it"]
async fn a_body_that_comes_too_slowly_for_too_long_is_refused() {
    let world = World::builder().config("[server]\nmin_body_rate = \"1KiB\"").start().await;
    let customer = world.customer("slow");
    let mut tasks = JoinSet::new();
    for head in [
        "POST /signals HTTP/1.1\r\ncontent-length: 60000",
        "POST /signals HTTP/1.1\r\ncontent-length: 65000\r\nte: trailers",
    ] {
        let (mut wire, customer) = (world.wire().await, customer.clone());
        tasks.spawn(async move {
            wire.send_head(&customer, head).await;
            for _ in 0..40 {
                if !wire.try_send("twenty bytes of body").await {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let late = in_time(wire.read("POST")).await.expect("an answer");
            assert_eq!(late.refusal(), (408, "request_timeout".to_owned()), "{head}");
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("refused");
    }
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

/// 200 clients that send a byte now and then, or take nothing, and as many that do what they should.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_by_the_hundred_keep_nobody_from_being_served() {
    const EACH: u64 = 100;
    let keys = "[server]\nheader_timeout = \"5s\"\nbody_timeout = \"5s\"\nmax_body = \"10MiB\"";
    let world = World::builder().config(keys).start().await;
    world.upstream.on("/health", crate::harness::Behaviour::Large(32 << 20));
    let slow_customer = world.customer("slow");
    let mut slow = JoinSet::new();
    for client in 0..200 {
        let stream = TcpSocket::new_v4().expect("a socket");
        // What is not taken fills little.
        stream.set_recv_buffer_size(4 * 1024).expect("a socket");
        let stream = stream.connect(world.gateway.public).await.expect("the port is open");
        let mut wire = world.wire_over(stream);
        let customer = slow_customer.clone();
        slow.spawn(async move {
            match client % 3 {
                0 => wire.send("GET /signals HTTP/1.1\r\n").await,
                1 => {
                    wire.send_head(&customer, "POST /signals HTTP/1.1\r\ncontent-length: 9000000").await;
                    wire.send("a part").await;
                    assert_eq!(wire.read("POST").await.map(|late| late.status), Some(408));
                    return;
                }
                _ => {
                    // Its answer is never taken.
                    let head = wire.ask_for_head(&customer, "GET /health HTTP/1.1").await;
                    assert_eq!(head.status, 200);
                    return std::future::pending().await;
                }
            }
            while wire.try_send("x").await {
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let mut quick = JoinSet::new();
    for number in 0..20 {
        let customer = world.claiming(&format!("quick-{number}"), None);
        quick.spawn(async move {
            for _ in 0..EACH {
                assert_eq!(customer.get("/free").await.status, 200);
                assert_eq!(customer.get("/signals").await.charged(), 1);
            }
        });
    }
    let all = async {
        while let Some(served) = quick.join_next().await {
            served.expect("everybody is served");
        }
    };
    tokio::time::timeout(3 * PATIENCE, all).await.expect("in time");
    // Those that send are all refused; those that take nothing are cut by the gateway.
    let mut refused = 0;
    while refused < 134 {
        let ended = tokio::time::timeout(PATIENCE, slow.join_next()).await.expect("all are refused");
        ended.expect("one of them").expect("refused");
        refused += 1;
    }
    slow.shutdown().await;
    world.finish().await;
}
