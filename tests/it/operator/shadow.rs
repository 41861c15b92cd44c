//! Limits in shadow: what they would refuse is served, noted, and billed to nobody.

use serde_json::json;

use crate::harness::{PATIENCE, Reply, World, unix_now, until};

const SHADOW: &str = r#"
    [tiers.free]
    mode = "shadow"
    included = { api_calls = 3 }
    rate = "6/d"
"#;

fn assert_served(reply: &Reply, charged: u64) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.charged(), charged);
    assert_eq!(reply.header("retry-after"), None);
}

async fn in_shadow(world: &World, code: &str) -> Option<u64> {
    world.metric(&format!("tollgate_shadow_refusals_total{{code=\"{code}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tier_in_shadow_would_refuse_is_served_noted_and_billed_to_nobody() {
    let world = World::builder().config(SHADOW).start().await;
    let customer = world.customer("acme");
    assert_eq!(in_shadow(&world, "quota_exceeded").await, Some(0), "it is there from the start");
    for charged in [1, 1, 1, 0, 0, 0] {
        let reply = customer.get("/signals").await;
        assert_served(&reply, charged);
        let left = reply.header("ratelimit").expect("limits, as they stand");
        assert!(charged == 1 || left.contains("\"quota-api_calls\";r=0"), "{left}");
    }
    assert_eq!(in_shadow(&world, "quota_exceeded").await, Some(3));
    assert_eq!(in_shadow(&world, "rate_limited").await, Some(0), "what was not admitted spends no rate");
    assert_eq!(world.metric("tollgate_refusals_total{code=\"quota_exceeded\"}").await, Some(0));
    assert_eq!(customer.used().await, 3);
    world.flush().await;
    assert_eq!(world.kept("acme").units, 3, "no total holds it");
    let usage = customer.get("/billing/usage").await.json();
    assert_eq!(usage["data"][0]["units"], 6, "and yet it is usage: {usage}");
    let log = world.gateway.log();
    let lines = log.lines().filter(|line| line.contains("served in shadow")).count();
    assert_eq!(lines, 1, "one line for a customer and a code: {log}");
    world.reconfigure("[tiers.free]\nmode = \"enforce\"").await;
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.reconfigure("[tiers.free]\nmode = \"shadow\"").await;
    assert_served(&customer.get("/signals").await, 0);
    assert_eq!(customer.used().await, 3, "every counter stays through both reloads");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_in_shadow_lets_pass_what_the_tier_lacks_and_no_operators_block() {
    let world = World::builder()
        .config(
            r#"
            routes = [
                { path = "/signals", cost = 1 },
                { path = "/export/pdf", cost = 5, requires = ["premium"], mode = "shadow" },
            ]
            [tiers.free]
            included = { api_calls = 1 }
            "#,
        )
        .start()
        .await;
    let customer = world.customer("acme");
    assert_served(&customer.get("/export/pdf").await, 0);
    assert_eq!(in_shadow(&world, "feature_not_included").await, Some(1));
    assert_eq!(customer.get("/signals").await.charged(), 1, "it has drawn on nothing");
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.operate("/admin/customers/acme/block", &json!({ "reason": "abuse" })).await;
    assert_eq!(customer.get("/export/pdf").await.refusal(), (403, "customer_blocked".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_served_in_shadow_is_no_usage_after_a_restart_either() {
    let mut world = World::builder().config(SHADOW).start().await;
    let customer = world.customer("acme");
    for _ in 0..5 {
        customer.get("/signals").await;
    }
    world.flush().await;
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(world.customer("acme").used().await, 3);
    let verified = super::json(&world, &["ledger", "verify"]);
    assert_eq!(verified["totals"]["equal"], true, "{verified}");
    let report = super::json(&world, &["whatif"]);
    assert_eq!(report["customers"][0]["requests"], 5, "those too that would be refused: {report}");
    assert_eq!(report["customers"][0]["refused"]["new"]["quota_exceeded"], 2, "{report}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_say_that_nothing_was_used_by_what_was_served_in_shadow() {
    let world = World::builder().config(SHADOW).start().await;
    let customer = world.customer("acme");
    for _ in 0..3 {
        assert_served(&customer.get("/signals").await, 1);
    }
    let served = customer.get("/signals").await;
    assert_served(&served, 0);
    world.reconfigure("[tiers.free]\nincluded = { api_calls = 10 }").await;
    let charged = customer.get("/signals").await;
    assert_served(&charged, 1);
    world.flush().await;
    for (reply, is_shadow, totals) in [(served, true, [3, 3]), (charged, false, [3, 4])] {
        let id = reply.header("x-request-id").expect("a request id");
        let receipt = super::json(&world, &["explain", id]);
        let [before, after] = totals;
        assert_eq!(receipt["in_shadow"], is_shadow, "{receipt}");
        assert_eq!(
            receipt["totals"]["api_calls"],
            json!({ "before": before, "after": after, "complete": true })
        );
    }
    world.finish().await;
}

/// What the customer had when the replay begins is what is counted now without what is replayed.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_takes_nothing_off_for_what_no_total_holds() {
    let world = World::builder().config(SHADOW).start().await;
    let customer = world.customer("acme");
    for _ in 0..3 {
        customer.get("/signals").await;
    }
    let since = unix_now() + 1;
    until("another second begins", PATIENCE, async || (unix_now() >= since).then_some(())).await;
    for _ in 0..2 {
        assert_served(&customer.get("/signals").await, 0);
    }
    world.flush().await;
    let since = jiff::Timestamp::from_second(since).expect("an instant").to_string();
    let report = super::json(&world, &["whatif", "--since", &since]);
    assert_eq!(report["customers"][0]["requests"], 2, "{report}");
    assert_eq!(report["customers"][0]["refused"]["new"]["quota_exceeded"], 2, "{report}");
    world.finish().await;
}
