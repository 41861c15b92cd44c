//! What is not charged, and what is charged and taken back.

use http::Method;

use crate::harness::{Behaviour, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_api_pass_through_uncharged_and_successes_are_charged() {
    let world = World::start().await;
    let customer = world.customer("acme");
    for (status, cost) in
        [(200, 1), (201, 1), (204, 1), (302, 1), (304, 1), (400, 0), (404, 0), (429, 0), (500, 0), (503, 0)]
    {
        world.upstream.on("/signals", Behaviour::Status(status));
        let before = customer.used().await;
        let reply = customer
            .ask(Method::GET, "/signals", |request| request.header("accept", "application/json"))
            .await;
        assert_eq!((reply.status, reply.charged()), (status, cost));
        assert_eq!(customer.used().await, before + cost, "{status}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_charges_for_errors_charges_for_them() {
    let routes = "routes = [{ path = \"/signals\", cost = 1, charge_on = [\"2xx\", 404] }]";
    let world = World::builder().config(routes).start().await;
    let customer = world.customer("acme");
    for (status, cost) in [(404, 1), (400, 0), (302, 0), (200, 1)] {
        world.upstream.on("/signals", Behaviour::Status(status));
        assert_eq!(customer.get("/signals").await.charged(), cost, "{status}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_does_not_answer_in_time_is_504_and_uncharged() {
    let world = World::builder().config("[upstreams.api]\nread_timeout = \"300ms\"").start().await;
    let customer = world.customer("patient");
    world.upstream.on("/signals", Behaviour::Held);
    assert_eq!(customer.get("/signals").await.refusal(), (504, "upstream_timeout".to_owned()));
    assert_eq!(customer.used().await, 0);
    world.upstream.release();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_refuses_connections_is_502_and_uncharged() {
    let mut world = World::start().await;
    let customer = world.customer("acme");
    world.upstream.go_away().await;
    for _ in 0..3 {
        assert_eq!(customer.get("/signals").await.refusal(), (502, "upstream_failed".to_owned()));
    }
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_hangs_up_before_its_header_is_502_and_uncharged() {
    let world = World::start().await;
    let customer = world.customer("acme");
    world.upstream.on("/signals", Behaviour::HangUp);
    let reply = customer.ask(Method::POST, "/signals", |request| request.body("{}")).await;
    assert_eq!(reply.refusal(), (502, "upstream_failed".to_owned()));
    assert_eq!(world.upstream.hits("/signals"), 1, "what the API may have seen is not sent again");
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_api_breaks_off_is_charged_and_then_taken_back() {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    world.upstream.on("/export/pdf", Behaviour::CutMidBody);
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    for _ in 0..4 {
        assert!(customer.try_get("/export/pdf").await.is_err(), "the body breaks off");
    }
    // Header and charge went out before the body broke off.
    assert_eq!(world.seen(), (3, 20));
    until("the charges are gone", PATIENCE, async || (customer.used().await == 3).then_some(())).await;
    world.flush_all().await;
    assert_eq!(world.kept("acme").units, 3);
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_what_stripe_has_counted_is_carried_against_the_next_usage() {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    world.upstream.on("/export/pdf", Behaviour::CutLater);
    let breaking_off = tokio::spawn({
        let customer = customer.clone();
        async move { customer.try_get("/export/pdf").await }
    });
    until("the charge shows", PATIENCE, async || (customer.used().await == 5).then_some(())).await;
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5, "sent while the body was under way");
    world.upstream.release();
    assert!(breaking_off.await.expect("the task ran").is_err(), "the body breaks off");
    until("the charge is gone", PATIENCE, async || (customer.used().await == 0).then_some(())).await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5, "2 of the 5 are still to be used up");
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 6);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_header_is_not_charged_and_holds_no_units() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 5 }").start().await;
    let customer = world.customer("impatient");
    world.upstream.on("/export/pdf", Behaviour::Held);
    let mut wire = world.wire().await;
    let request =
        format!("GET /export/pdf HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n", customer.token);
    wire.send(&request).await;
    world.upstream.arrived("/export/pdf", 1).await;
    // The units in flight are held: there is nothing left for another.
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    drop(wire);
    until("the held units come back", PATIENCE, async || {
        let reply = customer.get("/signals").await;
        (reply.status == 200).then_some(())
    })
    .await;
    world.upstream.release();
    assert_eq!(customer.used().await, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_the_body_stays_charged() {
    let world = World::start().await;
    let customer = world.customer("quitter");
    world.upstream.on("/export/pdf", Behaviour::Large(64 << 20));
    {
        let request = "GET /export/pdf HTTP/1.1";
        let mut wire = world.wire().await;
        let head = wire.ask_for_head(&customer, request).await;
        assert_eq!((head.status, head.charged()), (200, 5));
    }
    let gone = "tollgate_requests_total{route=\"/export/pdf\",status_class=\"2xx\"}";
    until("the gateway notices", PATIENCE, async || (world.metric(gone).await == Some(1)).then_some(()))
        .await;
    assert_eq!(customer.used().await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn free_and_public_routes_cost_nothing_and_have_no_limits_to_show() {
    let world = World::start().await;
    let customer = world.customer("acme");
    let reply = customer.get("/free").await;
    assert_eq!((reply.status, reply.charged()), (200, 0));
    assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), (None, None));
    let reply = world.ask(Method::GET, "/health", |request| request).await;
    assert_eq!((reply.status, reply.charged()), (200, 0));
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}
