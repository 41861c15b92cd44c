//! Answers that take long, and end badly: the charge stands once, or is taken back, whatever ends first.

use tokio::task::JoinHandle;

use crate::harness::{Behaviour, Customer, PATIENCE, World, until};

/// Asks for a body that goes on until the upstream is released; returns once its charge shows.
async fn under_way(world: &World, customer: &Customer, ending: Behaviour) -> JoinHandle<bool> {
    world.upstream.on("/export/pdf", ending);
    let asking = tokio::spawn({
        let customer = customer.clone();
        async move { customer.try_get("/export/pdf").await.is_ok() }
    });
    until("the charge shows", PATIENCE, async || (customer.used().await == 5).then_some(())).await;
    asking
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_in_the_middle_of_a_body_has_charged_it_once() {
    let mut world = World::start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let asking = under_way(&world, &customer, Behaviour::CutLater).await;
    world.gateway.kill9();
    assert!(!asking.await.expect("the task ran"), "the body broke off");
    // The client saw the header: what it says was charged.
    assert_eq!(world.seen_of("acme"), (0, 5));
    world.gateway.restart().await;
    world.upstream.release();
    assert_eq!(customer.used().await, 5);
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_taken_back_stays_so_when_the_gateway_is_killed_right_after() {
    let mut world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    let asking = under_way(&world, &customer, Behaviour::CutLater).await;
    world.upstream.release();
    assert!(!asking.await.expect("the task ran"), "the body broke off");
    until("the charge is gone", PATIENCE, async || (customer.used().await == 0).then_some(())).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 0);
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_header_is_not_charged_in_any_durability() {
    for durability in ["process", "power"] {
        let world =
            World::builder().config(&format!("[ledger]\ndurability = \"{durability}\"")).start().await;
        let customer = world.customer("impatient");
        world.upstream.on("/export/pdf", Behaviour::Held);
        let mut wire = world.wire().await;
        let request = format!(
            "GET /export/pdf HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
            customer.token
        );
        wire.send(&request).await;
        world.upstream.arrived("/export/pdf", 1).await;
        drop(wire);
        let gone = "tollgate_requests_total{route=\"/export/pdf\",status_class=\"4xx\"}";
        until("the gateway notices", PATIENCE, async || (world.metric(gone).await == Some(1)).then_some(()))
            .await;
        world.upstream.release();
        assert_eq!(customer.used().await, 0);
        world.drain().await;
        assert_eq!(world.kept("impatient").units, 0);
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_after_the_header_is_charged_if_that_status_is() {
    let routes = "routes = [{ path = \"/export/pdf\", cost = 5, charge_on = [404] }, { path = \"/signals\", cost = 1 }]";
    for (config, charged) in [("", 5), (routes, 0)] {
        let world = World::builder().config(config).start().await;
        let customer = world.customer("quitter");
        world.upstream.on("/export/pdf", Behaviour::Large(64 << 20));
        {
            let mut wire = world.wire().await;
            let head = wire.ask_for_head(&customer, "GET /export/pdf HTTP/1.1").await;
            assert_eq!((head.status, head.charged()), (200, charged));
        }
        let gone = "tollgate_requests_total{route=\"/export/pdf\",status_class=\"2xx\"}";
        until("the gateway notices", PATIENCE, async || (world.metric(gone).await == Some(1)).then_some(()))
            .await;
        assert_eq!(customer.used().await, charged);
        world.finish().await;
    }
}
