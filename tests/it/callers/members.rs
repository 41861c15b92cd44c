//! What each member of a customer may use, where the tier caps that.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{KEYS, caller};
use crate::harness::{
    ADMIN_TOKEN, Behaviour, Customer, Dice, PATIENCE, Reply, World, token, unix_now, until,
};

const CAP: u64 = 10;
const CONFIG: &str = r#"
    [tiers.free]
    included = { api_calls = 1000 }
    rate = "1000/s"
    member = { included = { api_calls = 10 } }
    [tiers.starter]
    included = { api_calls = 1000 }
    member = { included = { api_calls = 10 } }
"#;

async fn world() -> World {
    World::builder().config(CONFIG).start().await
}

/// Somebody who calls for a customer.
fn member(customer: &Customer, name: &str) -> Customer {
    let claims = json!({ "sub": customer.name, "member": name, "exp": unix_now() + 3_600 });
    customer.clone().showing(&token(&claims))
}

fn over() -> (u16, String) {
    (429, "quota_exceeded".to_owned())
}

/// What the operator's view shows of each member's use.
async fn used_by(world: &World, customer: &str) -> BTreeMap<String, Value> {
    let shown = world.shown(&format!("/admin/customers/{customer}")).await;
    let rows = shown["members"].as_array().unwrap_or_else(|| panic!("{shown}")).iter();
    rows.map(|row| (row["member"].as_str().expect("a name").to_owned(), row["usage"].clone())).collect()
}

fn policies(reply: &Reply) -> &str {
    reply.header("ratelimit").expect("limits")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_reaches_the_cap_and_another_goes_on() {
    let world = world().await;
    let acme = world.customer("acme");
    let (ann, ben) = (member(&acme, "ann"), member(&acme, "ben"));
    for left in [7, 4, 1] {
        let reply = ann.get("/export/csv").await;
        assert_eq!(reply.charged(), 3);
        let shown = policies(&reply);
        assert!(shown.starts_with(&format!("\"member-api_calls\";r={left};")), "{shown}");
        assert!(shown.contains("\"quota-api_calls\";r="), "and the customer's: {shown}");
    }
    let refused = ann.get("/export/csv").await;
    assert_eq!(refused.refusal(), over());
    assert_eq!(refused.json()["violated-policies"], json!(["member-api_calls"]), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ann.get("/signals").await.charged(), 1, "a refusal has taken nothing");
    assert_eq!(ann.get("/signals").await.refusal(), over());
    for _ in 0..2 {
        assert_eq!(ben.get("/export/pdf").await.charged(), 5, "another's are another's");
    }
    assert_eq!(ben.get("/signals").await.refusal(), over());
    for _ in 0..4 {
        let reply = acme.get("/export/pdf").await;
        assert_eq!(reply.charged(), 5, "who does not say who calls has the customer's limits alone");
        assert!(!policies(&reply).contains("member"), "{}", policies(&reply));
    }
    let other = member(&world.customer("other"), "ann");
    assert_eq!(other.get("/signals").await.charged(), 1, "of another customer: somebody else");
    let expected = ["ann", "ben"].map(|name| (name.to_owned(), json!({ "api_calls": CAP })));
    assert_eq!(used_by(&world, "acme").await, BTreeMap::from(expected));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_charged_comes_back_to_its_member() {
    let world = world().await;
    let ann = member(&world.customer("acme"), "ann");
    world.upstream.on("/export/csv", Behaviour::Status(500));
    for _ in 0..5 {
        let failed = ann.get("/export/csv").await;
        assert_eq!((failed.status, failed.charged()), (500, 0));
    }
    let post = async |key: &str| {
        let post = |request: reqwest::RequestBuilder| request.header("idempotency-key", key.to_owned());
        ann.ask(Method::POST, "/export/pdf", post).await
    };
    assert_eq!(post("a").await.charged(), 5);
    for _ in 0..3 {
        assert_eq!(post("a").await.charged(), 0, "a repeat");
    }
    assert_eq!(post("b").await.charged(), 5);
    assert_eq!(post("c").await.refusal(), over());
    assert_eq!(post("a").await.status, 200, "a repeat needs nothing");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_outlives_a_restart_and_a_kill_amid_requests() {
    let mut world = world().await;
    let mut dice = Dice::new("a_cap_outlives_a_restart_and_a_kill_amid_requests");
    let acme = world.customer("acme");
    let members = ["ann", "ben", "cleo"].map(|name| member(&acme, name));
    for round in 0..3 {
        let mut asking = JoinSet::new();
        for member in &members {
            for _ in 0..2 {
                let member = member.clone();
                // Whether it is answered or lost: what counts is what the ledger has.
                asking.spawn(async move { member.try_get("/signals").await.is_ok() });
            }
        }
        for _ in 0..dice.below(6) {
            asking.join_next().await;
        }
        if round == 1 {
            while asking.join_next().await.is_some() {}
            world.gateway.stop().await;
        } else {
            world.gateway.kill9();
        }
        while asking.join_next().await.is_some() {}
        world.gateway.restart().await;
    }
    for member in &members {
        loop {
            let reply = member.get("/signals").await;
            if reply.status != 200 {
                assert_eq!(reply.refusal(), over());
                break;
            }
        }
    }
    let full = ["ann", "ben", "cleo"].map(|name| (name.to_owned(), json!({ "api_calls": CAP })));
    assert_eq!(used_by(&world, "acme").await, BTreeMap::from(full), "all of the cap and no more");
    acme.until_used(3 * CAP).await;
    world.gateway.kill9();
    world.gateway.restart().await;
    for member in &members {
        assert_eq!(member.get("/signals").await.refusal(), over());
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_has_a_rate_of_its_own() {
    let config = "[tiers.free]\nmember = { rate = \"1/h\", burst = 2 }";
    let world = World::builder().config(config).start().await;
    let acme = world.customer("acme");
    for name in ["ann", "ben"] {
        let member = member(&acme, name);
        for left in [1, 0] {
            let reply = member.get("/signals").await;
            assert_eq!(reply.status, 200);
            assert!(policies(&reply).contains(&format!("\"rate-member\";r={left};")), "{}", policies(&reply));
        }
        let refused = member.get("/signals").await;
        assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
        assert_eq!(refused.json()["violated-policies"], json!(["rate-member"]));
        let free = member.get("/free").await;
        assert_eq!(free.refusal(), (429, "rate_limited".to_owned()), "what costs nothing is a request too");
    }
    assert_eq!(acme.get("/signals").await.status, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_period_begins_with_nothing_used() {
    let world = world().await;
    let (acme, subscribed) = world.subscriber("acme", "starter").await;
    let claims = json!({
        "sub": "acme", "member": "ann", "exp": unix_now() + 3_600, "stripe_customer_id": subscribed.customer,
    });
    let ann = acme.clone().showing(&token(&claims));
    for _ in 0..2 {
        assert_eq!(ann.get("/export/pdf").await.charged(), 5);
    }
    assert_eq!(ann.get("/signals").await.refusal(), over());
    world.flush_all().await;
    let used_at = unix_now();
    until("a second begins", PATIENCE, async || (unix_now() > used_at).then_some(())).await;
    let period = json!({ "start": unix_now(), "end": unix_now() + 30 * 86_400 });
    world.stripe.hook(&format!("subscriptions/{}/period", subscribed.subscription), period).await;
    until("the new period is known", PATIENCE, async || (acme.used().await == 0).then_some(())).await;
    assert_eq!(ann.get("/export/pdf").await.charged(), 5);
    assert_eq!(used_by(&world, "acme").await["ann"], json!({ "api_calls": 5 }));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_api_key_of_a_customer_is_a_member() {
    let world = World::builder().config(CONFIG).config(KEYS).start().await;
    let (_, shop) = caller(&world, "acme").await;
    let (_, report) = caller(&world, "acme").await;
    for _ in 0..2 {
        assert_eq!(shop.get("/export/pdf").await.charged(), 5);
    }
    assert_eq!(shop.get("/signals").await.refusal(), over());
    assert_eq!(report.get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_use_is_exported_and_goes_with_the_customer() {
    let world = world().await;
    let ann = member(&world.customer("acme"), "ann");
    assert_eq!(ann.get("/export/csv").await.charged(), 3);
    until("it is folded", PATIENCE, async || {
        let exported = world.shown("/admin/customers/acme/export").await;
        let row = &exported["usage_by_member"][0];
        (row["member"] == "ann" && row["meter"] == "api_calls" && row["units"] == 3).then_some(())
    })
    .await;
    let erased = until("acme is erased", PATIENCE, async || {
        let reply = world.admin(Method::DELETE, "/admin/customers/acme", Some(ADMIN_TOKEN)).await;
        (reply.status != 409).then_some(reply)
    })
    .await;
    assert_eq!(erased.status, 200, "{}", erased.text());
    let left: i64 =
        world.store().query_row("SELECT count(*) FROM member_totals", [], |row| row.get(0)).expect("a table");
    assert_eq!(left, 0);
    world.erased("acme", erased.json()["customer"].as_str().expect("a name"));
    world.finish().await;
}
