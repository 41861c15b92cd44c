//! Servers that are not well get nothing, and come back.

use crate::harness::{Behaviour, PATIENCE, Upstream, World, until};

use super::{get, hits, upstreams};

const CHECK: &str = "health_check = { path = \"/up\", interval = \"100ms\", rise = 1, fall = 1 }";

async fn until_up(world: &World, servers: u64) {
    until(&format!("{servers} servers are up"), PATIENCE, async || {
        let up = world.metric("tollgate_upstream_up{upstream=\"api\"}").await;
        (up == Some(servers)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_its_check_gets_nothing_until_it_passes_again() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let world = World::builder().config(&upstreams(&[&a, &b], CHECK)).start().await;
    let customer = world.customer("acme");
    until_up(&world, 2).await;
    a.on("/up", Behaviour::Status(500));
    until_up(&world, 1).await;
    for request in 0..10 {
        assert_eq!(get(&customer, "/signals", request % 2 == 0).await.status, 200);
    }
    assert_eq!(hits(&[&a, &b], "/signals"), [0, 10]);
    a.on("/up", Behaviour::Status(204));
    until_up(&world, 2).await;
    for request in 0..10 {
        get(&customer, "/signals", request % 2 == 0).await;
    }
    assert_eq!(hits(&[&a, &b], "/signals"), [5, 15]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_server_is_well_one_is_tried_all_the_same() {
    let (a, mut b) = (Upstream::start().await, Upstream::start().await);
    let world = World::builder().config(&upstreams(&[&a, &b], CHECK)).start().await;
    let customer = world.customer("acme");
    a.on("/up", Behaviour::Status(500));
    b.on("/up", Behaviour::HangUp);
    until_up(&world, 0).await;
    assert_eq!(get(&customer, "/signals", true).await.status, 200);
    b.go_away().await;
    a.on("/signals", Behaviour::HangUp);
    let reply = get(&customer, "/signals", true).await;
    assert_eq!((reply.status, reply.code().as_str(), reply.charged()), (502, "upstream_failed", 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_connection_fails_a_check_without_a_path() {
    let (a, mut b) = (Upstream::start().await, Upstream::start().await);
    let check = "health_check = { interval = \"100ms\", fall = 1 }";
    let world = World::builder().config(&upstreams(&[&a, &b], check)).start().await;
    until_up(&world, 2).await;
    b.go_away().await;
    until_up(&world, 1).await;
    assert_eq!(a.hits("/"), 0, "nothing is asked");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_on_failing_is_left_alone_for_a_while() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let eject = "eject = { failures = 3, for = \"1s\" }";
    let world = World::builder().config(&upstreams(&[&a, &b], eject)).start().await;
    let customer = world.customer("acme");
    a.on("/signals", Behaviour::Status(503));
    for request in 0..6 {
        get(&customer, "/signals", request % 2 == 0).await;
    }
    assert_eq!(hits(&[&a, &b], "/signals"), [3, 3]);
    until_up(&world, 1).await;
    for _ in 0..4 {
        // The second is not left alone as well: half of them have to go on.
        b.on("/signals", Behaviour::Status(503));
        assert_eq!(get(&customer, "/signals", true).await.status, 503);
    }
    let left_alone = a.hits("/signals") == 3;
    until("it is tried again", PATIENCE, async || {
        get(&customer, "/free", true).await;
        (a.hits("/free") > 0).then_some(())
    })
    .await;
    assert!(left_alone);
    world.finish().await;
}
