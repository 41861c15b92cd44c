//! When another server is asked, and that nobody pays twice for it.

use http::Method;

use crate::harness::{Behaviour, Upstream, World};

use super::{ask, get, hits, upstreams};

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_asked_twice_is_asked_of_another_server_when_one_hangs_up() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.on("/export/csv", Behaviour::HangUp);
    let world = World::builder().config(&upstreams(&[&a, &b], "")).start().await;
    let customer = world.customer("acme");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for plain in [true, false] {
            let reply = ask(&customer, &method, "/export/csv", plain).await;
            assert_eq!((reply.status, reply.charged()), (200, 3), "{method}, plain: {plain}");
        }
    }
    let body = |request: reqwest::RequestBuilder| request.body("{\"a\": 1}");
    let reply = customer.ask(Method::PUT, "/export/csv", body).await;
    assert_eq!((reply.status, reply.json()["body_bytes"].as_u64()), (200, Some(8)));
    assert_eq!((a.hits("/export/csv") > 0, b.hits("/export/csv")), (true, 7));
    customer.until_used(21).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_may_have_arrived_is_sent_once_whatever_fails() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    for server in [&a, &b] {
        server.in_turn("/signals", [Behaviour::HangUp, Behaviour::Status(503), Behaviour::CutMidBody]);
        server.on("/signals", Behaviour::HangUp);
    }
    let config = upstreams(&[&a, &b], "retries = 10\nretry_on = [503]");
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("acme");
    for request in 1..=10_u64 {
        for body in ["", "{}"] {
            let posted = customer.try_ask(Method::POST, "/signals", |asked| {
                let asked = if request % 2 == 0 { asked } else { asked.header("te", "trailers") };
                asked.body(body)
            });
            assert!(posted.await.ok().is_none_or(|reply| reply.status >= 500 && reply.charged() == 0));
        }
        assert_eq!(hits(&[&a, &b], "/signals").iter().sum::<u64>(), 2 * request);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_connections_costs_nobody_an_answer() {
    let (mut a, b) = (Upstream::start().await, Upstream::start().await);
    a.go_away().await;
    let world = World::builder().config(&upstreams(&[&a, &b], "")).start().await;
    let customer = world.customer("acme");
    for request in 0..10 {
        let reply = ask(&customer, &Method::POST, "/signals", request % 2 == 0).await;
        assert_eq!((reply.status, reply.charged()), (200, 1));
    }
    assert_eq!(b.hits("/signals"), 10);
    let attempts = async |outcome: &str| {
        let line = format!("tollgate_upstream_attempts_total{{outcome=\"{outcome}\",upstream=\"api\"}}");
        world.metric(&line).await.expect("a metric")
    };
    assert_eq!((attempts("answered").await, attempts("unconnected").await > 0), (10, true));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_upon_which_another_server_is_asked_is_neither_seen_nor_charged() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.on("/signals", Behaviour::Status(503));
    let config = upstreams(&[&a, &b], "retry_on = [503]");
    let routes = "routes = [{ path = \"/signals\", cost = 1, charge_on = [\"2xx\", 503] }]";
    let world = World::builder().config(&config).config(routes).start().await;
    let customer = world.customer("acme");
    for request in 0..8 {
        let reply = get(&customer, "/signals", request % 2 == 0).await;
        assert_eq!((reply.status, reply.charged()), (200, 1));
    }
    assert_eq!(b.hits("/signals"), 8);
    b.on("/signals", Behaviour::Status(503));
    let asked = hits(&[&a, &b], "/signals").iter().sum::<u64>();
    for plain in [true, false] {
        let reply = get(&customer, "/signals", plain).await;
        assert_eq!((reply.status, reply.charged()), (503, 1), "the last of them is the answer");
    }
    assert_eq!(hits(&[&a, &b], "/signals").iter().sum::<u64>(), asked + 4);
    customer.until_used(10).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_kept_is_not_sent_again() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    for server in [&a, &b] {
        server.on("/export/csv", Behaviour::HangUp);
    }
    let config = upstreams(&[&a, &b], "retries = 5") + "[server]\nmax_body = \"1MiB\"\n";
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("acme");
    let put = customer.ask(Method::PUT, "/export/csv", |request| request.body(vec![b'x'; 200_000]));
    let reply = put.await;
    assert_eq!((reply.status, reply.charged()), (502, 0));
    assert_eq!(hits(&[&a, &b], "/export/csv").iter().sum::<u64>(), 1);
    world.finish().await;
}
