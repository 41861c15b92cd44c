//! An estimate between its header and its truth, and what may become of it.

use http::Method;
use serde_json::json;

use super::{ROUTES, held};
use crate::harness::{Behaviour, Customer, PATIENCE, Wire, World, until};

/// A subscriber whose exchange has been charged its hold and goes on.
async fn begun(world: &World, subscriber: &Customer) -> Wire {
    world.upstream.on("/sized", Behaviour::Paused(2_000, 7_000));
    let mut wire = world.wire().await;
    let head = wire.ask_for_head(subscriber, "GET /sized HTTP/1.1").await;
    assert_eq!((head.status, held(&head)), (200, Some(5)));
    until("the hold is charged", PATIENCE, async || (subscriber.used().await >= 5).then_some(())).await;
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_is_not_sealed_before_its_truth() {
    let world = World::builder().config(ROUTES).config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let wire = begun(&world, &customer).await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 1, "of the plain request alone");
    world.upstream.release();
    customer.owes("api_calls=9");
    customer.until_used(10).await;
    drop(wire);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 10);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_that_a_kill_leaves_open_stands_once() {
    let mut world = World::builder().config(ROUTES).start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let wire = begun(&world, &customer).await;
    world.gateway.kill9();
    drop(wire);
    world.upstream.release();
    customer.owes("api_calls=5");
    for _ in 0..2 {
        world.gateway.restart().await;
        assert_eq!(customer.used().await, 5);
        world.flush_all().await;
        assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
        world.gateway.kill9();
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_dies_takes_hold_and_fixed_units_back() {
    let routes = r#"routes = [{ path = "/dies", cost = {
        api_calls = 2, bytes = { response_bytes = "1KiB", hold = 5 } } }]
        [meters.bytes]
        [tiers.free]
        included = { api_calls = 10, bytes = 10 }
        [tiers.starter]
        overage = { unit_amount = { api_calls = "0.03", bytes = "0.0001" } }
        [tiers.pro]
        overage = { unit_amount = { api_calls = "0.02", bytes = "0.0001" } }"#;
    let world = World::builder().config(routes).start().await;
    let customer = world.customer("acme");
    world.upstream.on("/dies", Behaviour::CutMidBody);
    assert!(customer.try_get("/dies").await.is_err(), "the body breaks off");
    until("nothing is charged", PATIENCE, async || {
        let usage = customer.status().await["usage"].clone();
        (usage["api_calls"]["current"] == 0 && usage["bytes"]["current"] == 0).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_pays_for_what_it_was_sent() {
    let world = World::builder().config(ROUTES).start().await;
    let (customer, _) = world.subscriber("acme", "pro").await;
    let settled = "tollgate_measures_total{outcome=\"told\"}";
    let mut wire = begun(&world, &customer).await;
    // What it was sent is on its way to it.
    wire.read_some().await;
    drop(wire);
    customer.owes("api_calls=2");
    customer.until_used(2).await;
    assert_eq!(world.metric(settled).await, Some(1));
    world.upstream.release();
    // On pingora's way as well.
    world.upstream.on("/sized", Behaviour::Large(64 << 20));
    let mut wire = world.wire().await;
    let head = wire.ask_for_head(&customer, "GET /sized HTTP/1.1\r\nte: trailers").await;
    assert_eq!(held(&head), Some(5));
    drop(wire);
    until("it is settled", PATIENCE, async || (world.metric(settled).await == Some(2)).then_some(())).await;
    let used = customer.used().await;
    assert!((3..2 + (64 << 10)).contains(&used), "{used}: neither the hold alone nor all of it");
    customer.owes(&format!("api_calls={}", used - 2));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_outlasts_the_drain_is_settled_when_it_is_cut_off() {
    let mut world =
        World::builder().config(ROUTES).config("[server]\ndrain_timeout = \"300ms\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let mut wire = begun(&world, &customer).await;
    wire.read_some().await;
    world.gateway.stop().await;
    customer.owes("api_calls=2");
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 2, "the last flush had its truth");
    world.upstream.release();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_estimates_at_once_each_get_their_own_truth() {
    let world = World::builder().config(ROUTES).start().await;
    let (customer, _) = world.subscriber("acme", "pro").await;
    world.upstream.on("/sized", Behaviour::Paused(1_500, 1_000));
    let waiting: Vec<_> = (0..24)
        .map(|_| {
            let customer = customer.clone();
            tokio::spawn(async move { customer.ask(Method::GET, "/sized", |request| request).await })
        })
        .collect();
    until("all are charged their hold", PATIENCE, async || (customer.used().await == 120).then_some(()))
        .await;
    world.upstream.release();
    for asked in waiting {
        assert_eq!(held(&asked.await.expect("it ran")), Some(5));
        customer.owes("api_calls=3");
    }
    customer.until_used(72).await;
    let charges = world.shown("/admin/customers/acme/charges").await;
    let first = &charges["data"][0];
    assert_eq!(
        (&first["kind"], &first["corrected"]["cost"]),
        (&json!("estimate"), &json!({ "api_calls": 3 }))
    );
    world.finish().await;
}
