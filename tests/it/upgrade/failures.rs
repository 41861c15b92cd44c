//! Either process dies, or the new one is no good.

use serde_json::json;
use tollgate::handover::Channel;

use super::{free, get_held};
use crate::harness::{Behaviour, Load, PATIENCE, World, until};

/// As the new process says it, as far as it comes.
async fn half_an_upgrade(world: &World, schema: usize, steps: usize) {
    let socket = world.gateway.data_dir.join("upgrade.sock");
    let connected = until("the gateway waits for another one", PATIENCE, async || {
        Channel::connect(&socket).await.expect("a socket")
    });
    let mut channel = connected.await;
    if steps >= 1 {
        let hello = json!({ "protocol": 1, "schema": schema, "version": "next" });
        channel.send(&hello).await.expect("it is there");
    }
    if steps >= 2 {
        let reply: serde_json::Value = channel.receive().await.expect("an answer");
        assert!(reply["Come"]["ports"].is_array(), "{reply}");
        let files = channel.receive_files().await.expect("sockets");
        assert!(files.len() >= 3, "the lock, and two ports");
    }
    if steps >= 3 {
        channel.send(&json!(null)).await.expect("it is there");
        let rests: serde_json::Value = channel.receive().await.expect("what is in flight");
        assert!(rests["estate"].is_object(), "{rests}");
    }
}

const SCHEMA: usize = tollgate::store::SCHEMA;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_that_dies_before_it_serves_has_changed_nothing() {
    let mut world = World::start().await;
    let (pro, _) = world.subscriber("busy", "pro").await;
    let load = Load::start(&[pro], 4);
    for steps in [0, 1, 2, 3, 3, 3] {
        half_an_upgrade(&world, SCHEMA, steps).await;
        load.answers(50).await;
    }
    // It came as far as a file of its own.
    let ledger = world.gateway.data_dir.join("ledger");
    let last = std::fs::read_dir(&ledger).expect("a folder").count();
    assert!(last >= 4, "each hand-over that failed late has made a segment: {last}");
    assert_eq!((load.lost(), load.refused()), (0, 0), "{}", world.gateway.log());
    world.gateway.upgrade().await;
    load.answers(50).await;
    assert_eq!((load.lost(), load.refused()), (0, 0), "{}", world.gateway.log());
    load.end().await;
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_take_over_is_told_why_and_the_old_process_goes_on() {
    let mut world = World::start().await;
    half_an_upgrade(&world, SCHEMA + 1, 1).await;
    let customer = world.customer("calm");
    let good = world.configuration();
    world.configure("[tiers.free]\nrate = \"fast\"");
    assert_eq!(world.gateway.upgrade_in_vain().await.0, Some(64));
    world.configure_from(good.clone(), "[upstreams.api]\nservers = [\"nowhere.invalid:1\"]");
    let (code, why) = world.gateway.upgrade_in_vain().await;
    assert_eq!((code, why.contains("nowhere.invalid")), (Some(1), true), "{why}");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.configure_from(good, "");
    world.gateway.upgrade().await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.gateway.replaced_ended().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_process_to_replace_an_upgrade_is_a_start() {
    let mut world = World::start().await;
    world.gateway.kill9();
    world.gateway.upgrade().await;
    assert_eq!(world.customer("first").get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_old_process_is_killed_what_it_held_is_free() {
    let mut world = World::builder().config(&free(2)).start().await;
    let customer = world.customer("orphan");
    world.upstream.on("/signals/history/HELD", Behaviour::Held);
    let mut wire = world.wire().await;
    wire.send_head(&customer, "GET /signals/history/HELD HTTP/1.1").await;
    world.upstream.arrived("/signals/history/HELD", 1).await;
    world.gateway.upgrade().await;
    assert_eq!(customer.get("/signals").await.status, 429);
    world.gateway.kill9_replaced();
    until("what was held is free", PATIENCE, async || {
        (customer.get("/signals").await.status == 200).then_some(())
    })
    .await;
    world.upstream.release();
    assert_eq!(customer.used().await, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_new_process_is_killed_the_old_one_charges_nothing_more() {
    let mut world = World::start().await;
    let customer = world.customer("unlucky");
    world.upstream.on("/signals/history/HELD", Behaviour::Held);
    let held = get_held(&world, &customer).await;
    world.gateway.upgrade().await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 1, "the old one is in nobody's way");
    world.upstream.release();
    let reply = held.await.expect("no panic");
    assert_eq!(reply.refusal(), (503, "ledger_unavailable".to_owned()));
    assert_eq!(customer.used().await, 1);
    world.gateway.replaced_ended().await;
    world.finish().await;
}
