//! What the end of an exchange settles, and what its header does.

use http::Method;

use super::{ROUTES, ask, held};
use crate::harness::{Behaviour, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_charged_until_the_truth_is_known_and_the_truth_is_billed() {
    let world = World::builder().config(ROUTES).config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    world.upstream.release();
    let mut used = 0;
    for (bytes, truth) in [(2_048, 2), (5_120, 5), (9_000, 9), (0, 0), (1, 1)] {
        world.upstream.on("/sized", Behaviour::Paused(bytes, 0));
        ask(&customer, "/sized", truth).await;
        used += truth;
        customer.until_used(used).await;
    }
    assert_eq!(world.metric("tollgate_measures_total{outcome=\"told\"}").await, Some(5));
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 17);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_header_tells_is_charged_at_once() {
    let world = World::builder().config(ROUTES).start().await;
    let customer = world.customer("acme");
    for (path, told, cost) in [
        ("/told", &[("x-cost", "7")][..], 7),
        ("/told", &[("X-Cost", "12")], 12),
        ("/told", &[("x-cost", "0")], 0),
        ("/told", &[], 5),
        ("/told", &[("x-cost", "much")], 5),
        ("/told", &[("x-cost", "1"), ("x-cost", "2")], 5),
        ("/told", &[("x-cost", "51")], 50),
        ("/twice", &[("x-cost", "3")], 6),
        ("/twice", &[], 0),
    ] {
        world.upstream.on(path, Behaviour::Tells(told));
        let before = customer.used().await;
        let reply = customer.get(path).await;
        let shown = format!("api_calls={cost}");
        assert_eq!((reply.status, reply.header("x-usage-cost")), (200, Some(&*shown)), "{told:?}");
        assert_eq!(customer.used().await, before + cost, "{told:?}");
    }
    for (outcome, times) in [("told", 4), ("missing", 4), ("capped", 1)] {
        let line = format!("tollgate_measures_total{{outcome=\"{outcome}\"}}");
        assert_eq!(world.metric(&line).await, Some(times), "{outcome}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_been_sent_whole_is_charged_at_once_and_an_empty_answer_too() {
    let world = World::builder().config(ROUTES).start().await;
    let customer = world.customer("acme");
    for (bytes, cost) in [(0, 0), (1, 1), (1_024, 1), (3_000, 3)] {
        let body = "x".repeat(bytes);
        let reply = customer.ask(Method::POST, "/sent", |request| request.body(body)).await;
        assert_eq!((reply.charged(), held(&reply)), (cost, None), "{bytes}");
    }
    // With a declared length it goes the short way, in chunks pingora's.
    let mut wire = world.wire().await;
    let body = format!("{}0\r\n\r\n", format!("2bc\r\n{}\r\n", "x".repeat(700)).repeat(4));
    let chunked = wire.ask_with(&customer, "POST /sent HTTP/1.1\r\ntransfer-encoding: chunked", &body).await;
    assert_eq!((chunked.charged(), held(&chunked)), (3, None));
    world.upstream.on("/both", Behaviour::Status(204));
    let empty = customer.ask(Method::POST, "/both", |request| request.body("x".repeat(1_500))).await;
    assert_eq!((empty.charged(), held(&empty)), (2, None));
    assert_eq!(customer.used().await, 10);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_bodies_and_the_time_are_settled_on_either_way() {
    let world = World::builder().config(ROUTES).start().await;
    let customer = world.customer("acme");
    world.upstream.on("/both", Behaviour::Large(2_000));
    let mut used = 0;
    // The second goes pingora's way.
    for wish in ["accept", "te"] {
        let asked =
            |request: reqwest::RequestBuilder| request.header(wish, "trailers").body("x".repeat(2_500));
        let reply = customer.ask(Method::POST, "/both", asked).await;
        assert_eq!(held(&reply), Some(5), "{wish}");
        customer.owes("api_calls=5");
        used += 5;
        customer.until_used(used).await;
        ask(&customer, "/timed", 1).await;
        used += 1;
        customer.until_used(used).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_charged_costs_nothing_however_it_is_measured() {
    let world = World::builder().config(ROUTES).start().await;
    let customer = world.customer("acme");
    for (path, behaviour) in [
        ("/sized", Behaviour::Status(500)),
        ("/told", Behaviour::Status(404)),
        ("/cached", Behaviour::Tells(&[("x-cache", "HIT from here")])),
        ("/cached", Behaviour::Tells(&[("x-cache", "miss"), ("x-cache", "Hit")])),
    ] {
        world.upstream.on(path, behaviour);
        let reply = customer.get(path).await;
        assert_eq!((reply.charged(), reply.header("x-usage-cost")), (0, None), "{path}");
    }
    world.upstream.on("/cached", Behaviour::Tells(&[("x-cache", "miss")]));
    assert_eq!(customer.get("/cached").await.charged(), 3);
    let options = customer.ask(Method::OPTIONS, "/sized", |request| {
        request.header("origin", "https://a.example").header("access-control-request-method", "GET")
    });
    assert_eq!(options.await.header("x-usage-cost"), None, "a preflight");
    assert_eq!(customer.used().await, 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_meters_settle_together() {
    let config = r#"
        routes = [{ path = "/sized", cost = {
            api_calls = 1,
            bytes = { response_bytes = "1KiB", hold = 20 },
            work = { header = "x-work" },
        } }]
        [meters.bytes]
        [meters.work]
        [tiers.free]
        included = { api_calls = 10, bytes = 100, work = 30 }
        [tiers.starter]
        overage = { unit_amount = { api_calls = "0.03", bytes = "0.0001", work = "0.01" } }
        [tiers.pro]
        overage = { unit_amount = { api_calls = "0.02", bytes = "0.0001", work = "0.01" } }
    "#;
    let world = World::builder().config(config).start().await;
    let customer = world.customer("acme");
    world.upstream.on("/sized", Behaviour::Tells(&[("x-work", "8")]));
    let reply = customer.get("/sized").await;
    assert_eq!(reply.header("x-usage-cost"), Some("api_calls=1, bytes=20;held, work=8"));
    let kib = reply.body.len().div_ceil(1_024);
    customer.owes(&format!("bytes={kib}"));
    let usage = |meter: &'static str| {
        let customer = customer.clone();
        async move { customer.status().await["usage"][meter]["current"].as_u64() }
    };
    crate::harness::until("the truth of the bytes", crate::harness::PATIENCE, async || {
        (usage("bytes").await == Some(kib as u64)).then_some(())
    })
    .await;
    assert_eq!((usage("api_calls").await, usage("work").await), (Some(1), Some(8)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_measured_request_costs_nothing_after_its_truth_too() {
    let mut world = World::builder().config(ROUTES).start().await;
    let customer = world.customer("acme");
    world.upstream.on("/sized", Behaviour::Large(3_000));
    let ask = || customer.ask(Method::POST, "/sized", |request| request.header("idempotency-key", "k1"));
    assert_eq!(held(&ask().await), Some(5));
    customer.owes("api_calls=3");
    customer.until_used(3).await;
    assert_eq!(ask().await.header("x-usage-cost"), Some("api_calls=0"));
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(
        ask().await.header("x-usage-cost"),
        Some("api_calls=0"),
        "the truth did not take the key back"
    );
    assert_eq!(customer.used().await, 3);
    world.finish().await;
}
