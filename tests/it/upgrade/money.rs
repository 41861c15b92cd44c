//! What is under way when processes change is charged once, and what is held is held.

use http::Method;

use super::{GET, free, get_held};
use crate::harness::{Behaviour, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_charged_once_and_its_key_is_known_to_the_next_process() {
    let mut world = World::start().await;
    let customer = world.customer("keyed");
    world.upstream.on("/signals", Behaviour::Held);
    let asking = customer.clone();
    let post = async move || {
        asking
            .ask(Method::POST, "/signals", |request| request.header("idempotency-key", "once").body("it"))
            .await
    };
    let (first, again) = (post.clone(), post);
    let first = tokio::spawn(async move { first().await });
    world.upstream.arrived("/signals", 1).await;
    world.gateway.upgrade().await;
    let twin = tokio::spawn({
        let again = again.clone();
        async move { again().await }
    });
    world.upstream.arrived("/signals", 2).await;
    world.upstream.release();
    let (first, twin) = (first.await.expect("no panic"), twin.await.expect("no panic"));
    assert_eq!((first.status, twin.status), (200, 200));
    assert_eq!(first.charged() + twin.charged(), 1, "one of the two is charged");
    assert_eq!(again().await.charged(), 0, "the key is remembered");
    assert_eq!(customer.used().await, 1);
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_by_the_old_process_is_not_sold_by_the_new_one() {
    let mut world = World::builder().config(&free(2)).start().await;
    let customer = world.customer("tight");
    world.upstream.on("/signals/history/HELD", Behaviour::Held);
    let held = get_held(&world, &customer).await;
    world.gateway.upgrade().await;
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.upstream.release();
    assert_eq!(held.await.expect("no panic").charged(), 2);
    assert_eq!(customer.used().await, 2);
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_process_gives_back_can_be_had_from_the_new_one() {
    let mut world = World::builder().config(&free(2)).start().await;
    let customer = world.customer("lucky");
    world.upstream.on("/signals/history/HELD", Behaviour::Held);
    // It keeps the old process.
    let keeps = get_held(&world, &world.customer("patient")).await;
    let mut wire = world.wire().await;
    wire.send_head(&customer, "GET /signals/history/HELD HTTP/1.1").await;
    world.upstream.arrived("/signals/history/HELD", 2).await;
    world.gateway.upgrade().await;
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    drop(wire);
    // It is given back when the old process sees that its client has left, and not only when that ends.
    let got = until("a unit is free", PATIENCE, async || {
        let reply = customer.get("/signals").await;
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(got.await.charged(), 1);
    assert!(!keeps.is_finished(), "the old process is still there");
    world.upstream.release();
    assert_eq!(keeps.await.expect("no panic").charged(), 2);
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_is_answered_once_more_under_the_limits_of_the_new_process() {
    let mut world = World::builder().config(&free(2)).start().await;
    let customer = world.customer("kept");
    let mut wires = Vec::new();
    for path in ["/free", "/free", "/free"] {
        let mut wire = world.wire().await;
        assert_eq!(wire.ask(&customer, &format!("GET {path} HTTP/1.1")).await.status, 200);
        wires.push(wire);
    }
    world.gateway.upgrade().await;
    assert_eq!(customer.get("/signals").await.charged(), 1, "by the new process");
    let [first, second, own] = &mut wires[..] else { panic!("three") };
    let reply = first.ask(&customer, GET).await;
    assert_eq!((reply.status, reply.charged()), (200, 1), "{}", reply.text());
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(reply.header("ratelimit").is_some_and(|shown| shown.contains("r=0")), "{:?}", reply.headers);
    let reply = second.ask(&customer, GET).await;
    assert_eq!(reply.refusal(), (429, "quota_exceeded".to_owned()));
    let reply = own.ask(&customer, "GET /billing/status HTTP/1.1").await;
    assert_eq!(reply.json()["usage"]["api_calls"]["current"], 2, "{}", reply.text());
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_is_spent_is_spent_in_the_new_process_as_well() {
    let rare = "[tiers.free]\nrate = \"1/h\"\nburst = 3\n";
    let mut world = World::builder().config(rare).start().await;
    let customer = world.customer("quick");
    for _ in 0..3 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    world.gateway.upgrade().await;
    assert_eq!(customer.get("/signals").await.refusal(), (429, "rate_limited".to_owned()));
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_in_shadow_while_processes_change_is_noted_and_billed_to_nobody() {
    let mut world = World::builder().config(&free(1)).config("[tiers.free]\nmode = \"shadow\"").start().await;
    let customer = world.customer("tried");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.upstream.on("/signals/history/HELD", Behaviour::Held);
    let held = get_held(&world, &customer).await;
    world.gateway.upgrade().await;
    world.upstream.release();
    let reply = held.await.expect("no panic");
    assert_eq!((reply.status, reply.charged()), (200, 0), "{}", reply.text());
    world.gateway.replaced_ended().await;
    assert_eq!(customer.used().await, 1);
    world.flush().await;
    let usage = customer.get("/billing/usage").await.json();
    assert_eq!(usage["data"][0]["units"], 3, "one of them charged: {usage}");
    world.finish().await;
}
