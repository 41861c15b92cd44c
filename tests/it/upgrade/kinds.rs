//! Whatever a connection speaks, and however long it lasts.

use http::Method;
use tokio::net::TcpStream;

use crate::harness::{Behaviour, PATIENCE, World, until};
use crate::tls::Secure;

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_http2_go_over_without_a_failed_request() {
    let mut secure = Secure::start().await;
    let customer = secure.world.customer("private");
    let (http1, http2) = (secure.client(), secure.client().offering(&["h2"]));
    let mut kept = secure.world.wire_over(secure.connect(&http1).await);
    assert_eq!(kept.ask(&customer, "GET /signals HTTP/1.1").await.charged(), 1);
    let many = secure.world.http2_over(secure.connect(&http2).await).await;
    assert_eq!(many.get(&customer, "/signals").await.charged(), 1);
    secure.world.upstream.on("/signals/history/HELD", Behaviour::Held);
    let (held, _) = many
        .begin(Some(&customer), Method::GET, "/signals/history/HELD", false)
        .await
        .expect("a connection that goes on");
    secure.world.upstream.arrived("/signals/history/HELD", 1).await;
    secure.world.gateway.upgrade().await;
    assert_eq!(kept.ask(&customer, "GET /signals HTTP/1.1").await.charged(), 1, "by the old process");
    secure.world.upstream.release();
    assert_eq!(many.read(Some(&customer), held).await.expect("an answer").charged(), 2);
    many.ended().await;
    let fresh = secure.world.http2_over(secure.connect(&http2).await).await;
    assert_eq!(fresh.get(&customer, "/signals").await.charged(), 1);
    assert_eq!(customer.used().await, 6);
    drop(fresh);
    secure.world.gateway.replaced_ended().await;
    secure.world.finish().await;
}

/// Each KiB costs a unit, and five are held until the end tells.
const SIZED: &str = r#"
    routes = [
        { path = "/sized", cost = { api_calls = { response_bytes = "1KiB", hold = 5 } } },
        { path = "/signals", cost = 1 },
    ]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_that_is_open_when_processes_change_settles_to_the_truth() {
    let mut world = World::builder().config(SIZED).start().await;
    let (customer, _) = world.subscriber("streaming", "pro").await;
    world.upstream.on("/sized", Behaviour::Paused(1024, 8 * 1024 - 1024));
    let mut wire = world.wire().await;
    let head = wire.ask_for_head(&customer, "GET /sized HTTP/1.1").await;
    assert_eq!((head.status, head.header("x-usage-cost")), (200, Some("api_calls=5;held")));
    assert_eq!(customer.used().await, 5);
    world.gateway.upgrade().await;
    assert_eq!(customer.used().await, 5, "it is held until the truth is told");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.flush().await;
    let sealed: i64 = world.batches().iter().map(|(units, _)| units).sum();
    assert_eq!(sealed, 1, "nothing of it is sealed");
    world.upstream.release();
    wire.read_some().await;
    customer.owes("api_calls=8");
    customer.until_used(9).await;
    drop(wire);
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_whose_process_is_killed_stands_as_the_charge() {
    let mut world = World::builder().config(SIZED).start().await;
    let (customer, _) = world.subscriber("cut", "pro").await;
    world.upstream.on("/sized", Behaviour::Paused(1024, 1024));
    let mut wire = world.wire().await;
    assert_eq!(wire.ask_for_head(&customer, "GET /sized HTTP/1.1").await.status, 200);
    customer.owes("api_calls=5");
    world.gateway.upgrade().await;
    world.gateway.kill9_replaced();
    until("it is sealed", PATIENCE, async || {
        world.flush().await;
        (!world.batches().is_empty()).then_some(())
    })
    .await;
    world.upstream.release();
    drop::<TcpStream>(wire.into_stream().0);
    assert_eq!(customer.used().await, 5);
    world.finish().await;
}
