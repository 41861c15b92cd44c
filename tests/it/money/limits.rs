//! No limit is overrun, and a refusal costs nothing.

use crate::harness::{Customer, World};

const CONNECTIONS: usize = 64;
const LIMIT: u64 = 100;

/// Asks for a path on many connections until each has been refused; answers the units charged.
async fn race(customer: &Customer, path: &'static str) -> u64 {
    let racers = (0..CONNECTIONS).map(|_| {
        let customer = customer.clone();
        tokio::spawn(async move {
            let mut charged = 0;
            loop {
                let reply = customer.get(path).await;
                if reply.status != 200 {
                    assert_eq!(reply.refusal(), (429, "quota_exceeded".to_owned()));
                    return charged;
                }
                charged += reply.charged();
            }
        })
    });
    let mut charged = 0;
    for racer in racers.collect::<Vec<_>>() {
        charged += racer.await.expect("nothing but answers and refusals");
    }
    charged
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_connections_get_exactly_the_limit_at_cost_1_and_never_more_at_any_cost() {
    let world = World::start().await;
    for (path, cost) in [("/signals", 1), ("/signals/history/ACME", 2), ("/export/pdf", 5)] {
        let customer = world.customer(&format!("racer-{cost}"));
        let charged = race(&customer, path).await;
        eprintln!("64 connections, cost {cost}: {charged} units of {LIMIT}");
        assert!(charged <= LIMIT, "{charged} units of {LIMIT} at cost {cost}");
        // What is held while others are refused is then charged: in the end the whole limit is used.
        assert_eq!(charged, LIMIT, "at cost {cost}");
        assert_eq!(customer.used().await, charged);
        assert_eq!(world.upstream.hits(path) * cost, charged, "what was refused was not forwarded");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_rest_of_the_quota_does_not_cover_is_refused_and_a_cheaper_one_is_not() {
    let world = World::start().await;
    let customer = world.customer("nearly-there");
    for _ in 0..19 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    assert_eq!(customer.get("/export/csv").await.refusal(), (429, "quota_exceeded".to_owned()));
    assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_quota_refuses_spends_no_rate() {
    let limits = "[tiers.free]\nincluded = { api_calls = 1 }\nrate = \"1/m\"\nburst = 3";
    let world = World::builder().config(limits).start().await;
    let customer = world.customer("rated");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    for _ in 0..5 {
        assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    }
    // Of the burst of three, one is spent: two free requests pass, the third does not.
    assert_eq!(customer.get("/free").await.status, 200);
    assert_eq!(customer.get("/free").await.status, 200);
    assert_eq!(customer.get("/free").await.refusal(), (429, "rate_limited".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_rate_refuses_spends_no_quota() {
    let world = World::builder().config("[tiers.free]\nrate = \"1/m\"\nburst = 2").start().await;
    let customer = world.customer("hasty");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    assert_eq!(customer.get("/signals").await.charged(), 1);
    for _ in 0..5 {
        assert_eq!(customer.get("/signals").await.refusal(), (429, "rate_limited".to_owned()));
    }
    assert_eq!(customer.used().await, 2);
    assert_eq!(world.upstream.hits("/signals"), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overage_is_sold_until_the_spend_cap_and_not_a_unit_beyond() {
    let capped = r#"
        [tiers.starter]
        included = { api_calls = 10 }
        overage = { unit_amount = { api_calls = "0.50" }, cap = "10.00" }
    "#;
    let world = World::builder().config(capped).start().await;
    let (customer, subscribed) = world.subscriber("spender", "starter").await;
    // 10 included and 20 at half a dollar each.
    for _ in 0..30 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    let refused = customer.get("/signals").await;
    assert_eq!(refused.refusal(), (402, "spend_cap_reached".to_owned()));
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["cap"]));
    assert!(refused.header("retry-after").is_some(), "waiting cures it");
    let usage = customer.status().await["usage"]["api_calls"].clone();
    assert_eq!(usage["overage"], 20);
    assert_eq!(usage["overage_amount"], "10.00");
    assert_eq!(usage["usage_percentage"], 300.0);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 30);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_connections_never_pass_the_spend_cap() {
    let capped = r#"
        [tiers.starter]
        included = { api_calls = 0 }
        overage = { unit_amount = { api_calls = "0.10" }, cap = "5.00" }
    "#;
    let world = World::builder().config(capped).start().await;
    let (customer, _) = world.subscriber("rusher", "starter").await;
    let racers = (0..CONNECTIONS).map(|_| {
        let customer = customer.clone();
        tokio::spawn(async move { customer.get("/signals/history/ACME").await.charged() })
    });
    let mut charged = 0;
    for racer in racers.collect::<Vec<_>>() {
        charged += racer.await.expect("an answer");
    }
    assert_eq!(charged, 50, "5.00 buy 50 units at 0.10");
    world.finish().await;
}
