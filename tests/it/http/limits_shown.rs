//! What an answer says of the limits: `RateLimit`, `RateLimit-Policy`, `Retry-After`.

use std::collections::BTreeMap;

use crate::harness::{Reply, World};

/// `"name";r=1;t=2, …` by name, in order.
fn parsed(header: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    header
        .split(", ")
        .map(|item| {
            let mut parts = item.split(';');
            let name = parts.next().expect("a name").trim_matches('"').to_owned();
            let pairs = parts.map(|part| part.split_once('=').expect("key=value"));
            (name, pairs.map(|(key, value)| (key.to_owned(), value.parse().expect("an integer"))).collect())
        })
        .collect()
}

fn shown(reply: &Reply, header: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    parsed(reply.header(header).unwrap_or_else(|| panic!("no {header}")))
}

fn names(shown: &[(String, BTreeMap<String, u64>)]) -> Vec<&str> {
    shown.iter().map(|(name, _)| name.as_str()).collect()
}

fn of<'a>(shown: &'a [(String, BTreeMap<String, u64>)], name: &str) -> &'a BTreeMap<String, u64> {
    &shown.iter().find(|(found, _)| found == name).expect("the policy").1
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_is_shown_the_tightest_first() {
    let world = World::builder().config("[tiers.free]\nrate = \"10/m\"\nburst = 20").start().await;
    let customer = world.customer("reader");
    let reply = customer.get("/export/pdf").await;
    let (policy, state) = (shown(&reply, "ratelimit-policy"), shown(&reply, "ratelimit"));
    // 19 of 20 are less tight than 95 of 100 by nothing: both lists name the same policies in the same order.
    assert_eq!(names(&policy), names(&state));
    assert_eq!((of(&policy, "rate")["q"], of(&policy, "rate")["w"]), (20, 120));
    assert_eq!(of(&policy, "quota-api_calls")["q"], 100);
    assert_eq!(of(&state, "quota-api_calls")["r"], 95);
    let (left, window) = (of(&state, "quota-api_calls")["t"], of(&policy, "quota-api_calls")["w"]);
    assert!((28 * 86_400..=31 * 86_400).contains(&window), "a calendar month: {window}");
    assert!(left <= window);
    for _ in 0..10 {
        customer.get("/export/pdf").await;
    }
    let state = shown(&customer.get("/signals").await, "ratelimit");
    assert_eq!(names(&state)[0], "rate", "8 of 20 left are tighter than 44 of 100: {state:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_quota_says_when_it_is_renewed_and_where_to_buy_more() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 3 }").start().await;
    let customer = world.customer("spent");
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    let reply = customer.get("/signals").await;
    assert_eq!(reply.refusal(), (429, "quota_exceeded".to_owned()));
    let problem = reply.json();
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"], serde_json::json!(["quota-api_calls"]));
    assert_eq!(problem["reset_at"], customer.status().await["period"]["end"]);
    assert_eq!(problem["upgrade_url"], format!("http://{}/pricing", world.gateway.public));
    let state = shown(&reply, "ratelimit");
    let quota = of(&state, "quota-api_calls");
    assert_eq!(quota["r"], 0);
    let retry_after: u64 = reply.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!(retry_after >= quota["t"], "never earlier than t");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_as_long_as_a_refused_rate_says_is_served() {
    let world = World::builder().config("[tiers.free]\nrate = \"1/s\"\nburst = 1").start().await;
    let customer = world.customer("eager");
    assert_eq!(customer.get("/signals").await.status, 200);
    let refused = customer.get("/signals").await;
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["rate"]));
    let retry_after: u64 = refused.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!((1..=2).contains(&retry_after));
    // The wait is what is tested here.
    tokio::time::sleep(std::time::Duration::from_secs(retry_after)).await;
    assert_eq!(customer.get("/signals").await.status, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_overage_nothing_remains_and_requests_pass() {
    let world = World::builder().config("[tiers.starter]\nincluded = { api_calls = 2 }").start().await;
    let (customer, _) = world.subscriber("heavy", "starter").await;
    let reply = customer.get("/export/pdf").await;
    assert_eq!((reply.status, reply.charged()), (200, 5));
    let (policy, state) = (shown(&reply, "ratelimit-policy"), shown(&reply, "ratelimit"));
    assert_eq!(of(&policy, "quota-api_calls")["q"], 2);
    assert_eq!(of(&state, "quota-api_calls")["r"], 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_own_rate_is_per_customer_and_route() {
    let routes = r#"routes = [
        { path = "/signals", cost = 1, rate = "1/m", burst = 2 },
        { path = "/export/csv", cost = 3, rate = "1/m", burst = 2 },
    ]"#;
    let world = World::builder().config(routes).start().await;
    let (one, another) = (world.customer("one"), world.customer("another"));
    for _ in 0..2 {
        assert_eq!(one.get("/signals").await.status, 200);
    }
    assert_eq!(one.get("/signals").await.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(one.get("/export/csv").await.status, 200, "another route");
    assert_eq!(another.get("/signals").await.status, 200, "another customer");
    world.finish().await;
}
