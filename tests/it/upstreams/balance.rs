//! Which server takes a request.

use std::collections::BTreeSet;

use crate::harness::{Behaviour, Upstream, World};

use super::{get, hits, upstreams};

#[tokio::test(flavor = "multi_thread")]
async fn servers_get_requests_by_their_weights_on_either_way() {
    let (light, heavy) = (Upstream::start().await, Upstream::start().await);
    let servers = format!(
        "[upstreams.api]\nservers = [\"{}\", {{ address = \"{}\", weight = 3 }}]",
        light.address, heavy.address
    );
    let world = World::builder().config(&servers).start().await;
    let customer = world.customer("acme");
    for request in 0..80 {
        assert_eq!(get(&customer, "/signals", request % 2 == 0).await.status, 200);
    }
    let [light, heavy] = hits(&[&light, &heavy], "/signals")[..] else { panic!("two servers") };
    assert!((18..=22).contains(&light) && light + heavy == 80, "{light} and {heavy}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_busy_gets_nothing_while_another_is_free() {
    let servers = [Upstream::start().await, Upstream::start().await];
    let [busy, free] = &servers;
    let config = upstreams(&[busy, free], "balance = \"least_connections\"");
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("acme");
    busy.on("/export/csv", Behaviour::Held);
    free.on("/export/csv", Behaviour::Held);
    let held = customer.clone();
    let held = tokio::spawn(async move { get(&held, "/export/csv", true).await.status });
    let (busy, free) = tokio::select! {
        () = busy.arrived("/export/csv", 1) => (busy, free),
        () = free.arrived("/export/csv", 1) => (free, busy),
    };
    for request in 0..10 {
        assert_eq!(get(&customer, "/signals", request % 2 == 0).await.status, 200);
    }
    assert_eq!(hits(&[busy, free], "/signals"), [0, 10]);
    busy.release();
    assert_eq!(held.await.expect("it ends"), 200);
    for _ in 0..10 {
        get(&customer, "/signals", true).await;
    }
    assert_eq!(hits(&[busy, free], "/signals"), [5, 15]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_customer_keeps_a_server_until_it_leaves() {
    let servers = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
    let [a, b, c] = &servers;
    // The Host tells which of them answered.
    let config = upstreams(&[a, b, c], "balance = \"customer\"\nhost = \"server\"");
    let world = World::builder().config(&config).start().await;
    let mut used = BTreeSet::new();
    for number in 0..20 {
        let customer = world.customer(&format!("customer-{number}"));
        let mut of_one = BTreeSet::new();
        for plain in [true, false, true] {
            of_one.insert(get(&customer, "/signals", plain).await.json()["headers"]["host"].to_string());
        }
        assert_eq!(of_one.len(), 1, "customer {number}");
        used.extend(of_one);
    }
    assert_eq!(used.len(), 3);
    world.finish().await;
}
