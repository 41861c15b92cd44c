//! Upstreams and their servers that come, go and stay.

use http::Method;

use super::rejected;
use crate::harness::{Authority, Behaviour, Customer, Load, Nginx, PATIENCE, Reply, Upstream, World, until};

/// An nginx that closes no connection by itself.
const KEEPS: &str = "keepalive_requests 1000;";

/// `[upstreams.api]` with these servers, and what else stands there.
fn api(servers: &[&Upstream], more: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
    format!("[upstreams.api]\nservers = {servers:?}\n{more}\n")
}

/// Asks by the short way, or by pingora's.
async fn get(customer: &Customer, path: &str, plain: bool) -> Reply {
    let short = |request| request;
    let long = |request: reqwest::RequestBuilder| request.header("te", "trailers");
    if plain {
        customer.ask(Method::GET, path, short).await
    } else {
        customer.ask(Method::GET, path, long).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_under_load_and_no_request_fails() {
    let servers = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
    let [a, b, c] = &servers;
    let world = World::builder().config(&api(&[a], "")).start().await;
    let (busy, _) = world.subscriber("busy", "pro").await;
    let (busier, _) = world.subscriber("busier", "pro").await;
    let load = Load::start(&[busy, busier], 8);
    let sets: [&[&Upstream]; 6] = [&[a, b], &[b], &[c, b], &[a, b, c], &[c], &[a]];
    for turn in 0..30 {
        let set = sets[turn % sets.len()];
        let balance = ["round_robin", "least_connections", "customer"][turn % 3];
        let before: Vec<u64> = set.iter().map(|server| server.hits("/signals")).collect();
        world
            .reconfigure(&api(set, &format!("balance = \"{balance}\"\nread_timeout = \"{}s\"", 20 + turn)))
            .await;
        load.answers(30).await;
        let after: u64 = set.iter().map(|server| server.hits("/signals")).sum();
        assert!(after > before.iter().sum(), "turn {turn}: nobody of those there now was asked");
    }
    assert_eq!((load.lost(), load.refused()), (0, 0), "a request failed");
    // Only the first is left: the others may go.
    let others = || [b, c].map(|server| server.hits("/signals"));
    let gone = others();
    load.answers(50).await;
    assert_eq!(others(), gone, "a server that is gone was asked");
    load.end().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_server_outlives_reloads() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let eject = "eject = { failures = 3, for = \"1h\" }";
    let world = World::builder().config(&api(&[&a, &b], eject)).start().await;
    let customer = world.customer("acme");
    a.on("/signals", Behaviour::Status(503));
    for _ in 0..6 {
        customer.get("/signals").await;
    }
    assert_eq!([a.hits("/signals"), b.hits("/signals")], [3, 3]);
    let c = Upstream::start().await;
    for (turn, servers) in [[&a, &b].as_slice(), &[&b, &a, &c], &[&a, &b]].into_iter().enumerate() {
        world.reconfigure(&api(servers, &format!("{eject}\nread_timeout = \"{}s\"", 20 + turn))).await;
        for request in 0..10 {
            assert_eq!(get(&customer, "/signals", request % 2 == 0).await.status, 200, "turn {turn}");
        }
    }
    assert_eq!(a.hits("/signals"), 3, "it was to be left alone");
    let up = world.metric("tollgate_upstream_up{upstream=\"api\"}").await;
    assert_eq!(up, Some(1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_looks_after_what_is_gone_though_a_request_is_still_there() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let check = "health_check = { path = \"/up\", interval = \"20ms\" }";
    let other = format!("[upstreams.other]\nservers = [\"{}\"]\n{check}\n", a.address);
    let routes = r#"routes = [
        { path = "/signals", cost = 1, upstream = "api" },
        { path = "/held", cost = 7, upstream = "other" },
    ]
    "#;
    let world = World::builder().config(&format!("{routes}{}{other}", api(&[&b], check))).start().await;
    a.on("/held", Behaviour::Held);
    let waiting = world.customer("waiting");
    let held = tokio::spawn(async move { waiting.get("/held").await });
    a.arrived("/held", 1).await;
    a.arrived("/up", 2).await;
    let mut file = world.configuration();
    file["upstreams"].as_table_mut().expect("a table").remove("other");
    world.configure_from(file, &super::routes(""));
    world.reloaded().await;
    assert_eq!(world.metric("tollgate_upstream_up{upstream=\"other\"}").await, None);
    // What was on its way then arrives before what is asked later.
    b.arrived("/up", b.hits("/up") + 2).await;
    let checked = a.hits("/up");
    b.arrived("/up", b.hits("/up") + 5).await;
    assert_eq!(a.hits("/up"), checked, "it is checked for nobody");
    a.release();
    let held = held.await.expect("no panic");
    assert_eq!((held.status, held.charged()), (200, 7), "it ends as it began");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_resolved_is_refused_and_those_there_go_on() {
    let world = World::start().await;
    let customer = world.customer("acme");
    world.configure("[upstreams.api]\nservers = [\"no-such-host.invalid:80\"]");
    let reply = world.reload().await;
    assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()));
    assert!(reply.text().contains("no-such-host.invalid:80 cannot be resolved"), "{}", reply.text());
    assert_eq!((customer.get("/signals").await.charged(), rejected(&world).await), (1, 1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_used_that_was_made_under_another_trust() {
    let (right, wrong) = (Authority::new("ours"), Authority::new("another"));
    let nginx = Nginx::start_with_tls(&right.sign(&["localhost"]), KEEPS).await;
    nginx.put("/signals", b"it");
    let trusting = |authority: &Authority| {
        let port = nginx.address.port();
        format!(
            "[upstreams.api]\nservers = [\"https://localhost:{port}\"]\ntls = {{ ca = \"\"\"{}\"\"\" }}",
            authority.pem()
        )
    };
    let world = World::builder().config(&trusting(&wrong)).start().await;
    let customer = world.customer("acme");
    for turn in 0..3 {
        for plain in [true, false] {
            let reply = get(&customer, "/signals", plain).await;
            assert_eq!((reply.status, reply.charged()), (502, 0), "turn {turn}, plain: {plain}");
        }
        world.reconfigure(&trusting(&right)).await;
        for plain in [true, false, true] {
            let reply = get(&customer, "/signals", plain).await;
            assert_eq!((reply.status, reply.charged()), (200, 1), "turn {turn}, plain: {plain}");
        }
        world.reconfigure(&trusting(&wrong)).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_server_that_is_gone_are_closed_and_those_to_one_that_stays_are_not() {
    let (stays, goes) = (Nginx::start(KEEPS).await, Nginx::start(KEEPS).await);
    for nginx in [&stays, &goes] {
        nginx.put("/signals", b"it");
    }
    let servers = |servers: &[&Nginx], seconds: u32| {
        let servers: Vec<_> = servers.iter().map(|nginx| nginx.address.to_string()).collect();
        format!("[upstreams.api]\nservers = {servers:?}\nread_timeout = \"{seconds}s\"")
    };
    let world = World::builder().config(&servers(&[&stays, &goes], 20)).start().await;
    let customer = world.customer("acme");
    for _ in 0..4 {
        assert_eq!(customer.get("/signals").await.status, 200);
    }
    let kept = connections_to(&stays);
    assert!(!kept.is_empty() && !connections_to(&goes).is_empty(), "connections are kept");
    world.reconfigure(&servers(&[&stays], 21)).await;
    until("its connections are closed", PATIENCE, async || connections_to(&goes).is_empty().then_some(()))
        .await;
    assert_eq!(customer.get("/signals").await.status, 200);
    assert_eq!(connections_to(&stays), kept, "the kept one was used");
    world.finish().await;
}

/// The open connections to an nginx, by their own ports, as the kernel lists them.
fn connections_to(nginx: &Nginx) -> Vec<String> {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let port = format!(":{:04X}", nginx.address.port());
    let own_port = |line: &str| {
        let [_, own, other, state, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        (other.ends_with(&port) && state == ESTABLISHED).then(|| own.to_owned())
    };
    let mut found: Vec<_> = table.lines().filter_map(own_port).collect();
    found.sort_unstable();
    found
}
