//! SIGTERM: what is in flight finishes and is billed.

use http::Method;
use serde_json::json;

use crate::harness::{Behaviour, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_at_sigterm_finish_and_are_charged_and_the_exit_is_clean() {
    let mut world = World::start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    world.upstream.on("/export/pdf", Behaviour::Held);
    let in_flight: Vec<_> = (0..8)
        .map(|_| {
            let customer = customer.clone();
            tokio::spawn(async move { customer.get("/export/pdf").await })
        })
        .collect();
    world.upstream.arrived("/export/pdf", 8).await;
    world.gateway.terminate();
    until("the port closes", PATIENCE, async || {
        tokio::net::TcpStream::connect(world.gateway.public).await.is_err().then_some(())
    })
    .await;
    let ready = world.admin(Method::GET, "/readyz", None).await;
    assert_eq!((ready.status, ready.text().trim()), (503, "draining"));
    world.upstream.release();
    for request in in_flight {
        let reply = request.await.expect("the task ran");
        assert_eq!((reply.status, reply.charged()), (200, 5));
    }
    assert_eq!(world.gateway.ended().await, Some(0), "{}", world.gateway.log());
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 40);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 40);
    world.finish().await;
}

/// A client that keeps a connection must not send its next request where nobody reads any more.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_answers_on_kept_connections_say_that_the_connection_closes() {
    let mut world = World::start().await;
    let customer = world.customer("regular");
    world.upstream.on("/export/pdf", Behaviour::Held);
    let mut waiting = [world.wire().await, world.wire().await];
    let wishes = ["", "\r\nte: trailers"]; // a plain request, and one that is not
    for (wire, wish) in waiting.iter_mut().zip(wishes) {
        let kept = wire.ask(&customer, "GET /signals HTTP/1.1").await;
        assert_eq!((kept.status, kept.header("connection")), (200, Some("keep-alive")));
        wire.send_head(&customer, &format!("GET /export/pdf HTTP/1.1{wish}")).await;
    }
    world.upstream.arrived("/export/pdf", 2).await;
    world.gateway.terminate();
    until("the port closes", PATIENCE, async || {
        tokio::net::TcpStream::connect(world.gateway.public).await.is_err().then_some(())
    })
    .await;
    world.upstream.release();
    for (mut wire, wish) in waiting.into_iter().zip(wishes) {
        let last = wire.go_on(&customer, "").await;
        assert_eq!(
            (last.status, last.charged(), last.header("connection")),
            (200, 5, Some("close")),
            "{wish}"
        );
        assert!(wire.read("GET").await.is_none(), "{wish}: the connection ends");
    }
    assert_eq!(world.gateway.ended().await, Some(0), "{}", world.gateway.log());
    world.finish().await;
}

/// While the port stays open, so do connections, until their next answer.
#[tokio::test(flavor = "multi_thread")]
async fn answers_within_the_drain_delay_close_their_connections() {
    let mut world = World::builder().config("[server]\ndrain_delay = \"4s\"").start().await;
    let customer = world.customer("regular");
    let heads = ["GET /signals HTTP/1.1", "GET /nowhere HTTP/1.1", "GET /pricing HTTP/1.1"];
    let mut wires = Vec::new();
    for head in heads {
        let mut wire = world.wire().await;
        assert_eq!(wire.ask(&customer, head).await.header("connection"), Some("keep-alive"), "{head}");
        wires.push((wire, head));
    }
    world.gateway.terminate();
    until("the gateway says that it drains", PATIENCE, async || {
        (world.admin(Method::GET, "/readyz", None).await.status == 503).then_some(())
    })
    .await;
    for (mut wire, head) in wires {
        assert_eq!(wire.ask(&customer, head).await.header("connection"), Some("close"), "{head}");
        assert!(wire.read("GET").await.is_none(), "{head}: the connection ends");
    }
    // A second signal ends the wait.
    world.gateway.terminate();
    assert_eq!(world.gateway.ended().await, Some(0), "{}", world.gateway.log());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_outlast_the_drain_timeout_are_cut_off_uncharged_and_the_exit_is_clean() {
    let mut world = World::builder().config("[server]\ndrain_timeout = \"500ms\"").start().await;
    let customer = world.customer("too-slow");
    world.upstream.on("/export/pdf", Behaviour::Held);
    let in_flight = tokio::spawn({
        let customer = customer.clone();
        async move { customer.try_get("/export/pdf").await }
    });
    world.upstream.arrived("/export/pdf", 1).await;
    world.gateway.stop().await;
    assert!(in_flight.await.expect("the task ran").is_err(), "the connection ended");
    world.upstream.release();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_seals_what_was_used_and_sends_it() {
    let mut world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.gateway.stop().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_could_not_be_sent_before_the_stop_is_sent_after_the_start() {
    let mut world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.stripe.break_meter_events(json!({ "status": 503, "times": 1_000 })).await;
    world.gateway.stop().await;
    let kept = world.kept("acme");
    assert_eq!((kept.units, kept.sealed), (5, 5), "the stop folded the ledger to its end and sealed");
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0);
    world.stripe.forget_faults().await;
    world.gateway.restart().await;
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_stays_open_unready_for_the_drain_delay() {
    let mut world = World::builder().config("[server]\ndrain_delay = \"4s\"").start().await;
    let customer = world.customer("still-welcome");
    world.gateway.terminate();
    until("the gateway says that it drains", PATIENCE, async || {
        let ready = world.admin(Method::GET, "/readyz", None).await;
        (ready.status == 503 && ready.text().trim() == "draining").then_some(())
    })
    .await;
    let reply = customer.get("/signals").await;
    assert_eq!((reply.charged(), reply.header("connection")), (1, Some("close")));
    // A second signal ends the wait.
    world.gateway.terminate();
    assert_eq!(world.gateway.ended().await, Some(0), "{}", world.gateway.log());
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 1);
    world.finish().await;
}
