//! Who shows nothing is a customer by the network that they call from, where a route allows it.

use http::Method;
use serde_json::{Value, json};

use super::{KEYS, refused};
use crate::harness::{Customer, PATIENCE, Reply, World, token, unix_now, until};

const CONFIG: &str = r#"
    routes = [
        { path = "/signals", cost = 1, auth = "optional" },
        { path = "/signals/history/{symbol}", cost = 2, auth = "optional", scopes = ["read"] },
        { path = "/export/csv", cost = 3 },
    ]
    [server]
    trusted_proxies = ["127.0.0.0/8"]
    [auth.anonymous]
    tier = "anonymous"
    [tiers.anonymous]
    included = { api_calls = 3 }
    overage = "deny"
"#;

async fn world() -> World {
    World::builder().config(KEYS).config(CONFIG).start().await
}

/// Asks without a credential, from an address, as the customer that the books know.
async fn from(world: &World, address: &str, customer: &str) -> Reply {
    ask(&world.customer(customer), address, "/signals").await
}

async fn ask(customer: &Customer, address: &str, path: &str) -> Reply {
    let nothing = |request: reqwest::RequestBuilder| request.header("x-forwarded-for", address);
    customer.clone().showing_nothing().ask(Method::GET, path, nothing).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_address_has_the_anonymous_tier_of_its_own() {
    let world = world().await;
    for address in ["203.0.113.7", "203.0.113.8"] {
        let customer = format!("ip {address}");
        for _ in 0..3 {
            let reply = from(&world, address, &customer).await;
            assert_eq!((reply.status, reply.charged()), (200, 1));
            let headers = &reply.json()["headers"];
            assert_eq!(headers["x-tollgate-customer"], json!([customer]));
            assert_eq!(headers["x-tollgate-tier"], json!(["anonymous"]));
            assert_eq!(headers["x-tollgate-member"], Value::Null);
        }
        let over = from(&world, address, &customer).await;
        assert_eq!(over.refusal(), (429, "quota_exceeded".to_owned()));
    }
    let site = "ip 2001:db8:0:1::/64";
    for number in 1..=3 {
        let reply = from(&world, &format!("2001:db8:0:1::{number}"), site).await;
        assert_eq!(reply.json()["headers"]["x-tollgate-customer"], json!([site]));
    }
    assert_eq!(from(&world, "2001:db8:0:1:ffff::", site).await.status, 429, "a site is one customer");
    assert_eq!(from(&world, "2001:db8:0:2::1", "ip 2001:db8:0:2::/64").await.status, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_shown_must_be_good_and_other_routes_want_it() {
    let world = world().await;
    for shown in ["a.b.c", "", "garbage"] {
        let reply = world.ask(Method::GET, "/signals", |request| request.bearer_auth(shown)).await;
        assert_eq!(reply.refusal(), refused("token_invalid"), "{shown:?}");
    }
    let expired = token(&json!({ "sub": "acme", "exp": unix_now() - 3_600 }));
    let reply = world.ask(Method::GET, "/signals", |request| request.bearer_auth(expired)).await;
    assert_eq!(reply.refusal(), refused("token_expired"));
    let key = world.ask(Method::GET, "/signals", |request| request.header("x-api-key", "x")).await;
    assert_eq!(key.refusal(), refused("token_invalid"));
    let required = world.ask(Method::GET, "/export/csv", |request| request).await;
    assert_eq!(required.refusal(), refused("token_missing"));
    let billing = world.ask(Method::GET, "/billing/status", |request| request).await;
    assert_eq!(billing.refusal(), refused("token_missing"));
    let scoped = world.ask(Method::GET, "/signals/history/x", |request| request).await;
    assert_eq!(scoped.refusal(), (403, "scope_missing".to_owned()), "nobody has given them one");
    let acme = world.customer("acme");
    let known = acme.get("/signals").await;
    assert_eq!(
        known.json()["headers"]["x-tollgate-tier"],
        json!(["free"]),
        "who shows a token has their own"
    );
    let forged = token(&json!({ "sub": "ip 203.0.113.7", "exp": unix_now() + 60 }));
    let reply = world.ask(Method::GET, "/signals", |request| request.bearer_auth(forged)).await;
    assert_eq!(reply.refusal(), refused("token_invalid"), "no claim can spell it");
    let spelt = world.operate("/admin/keys", &json!({ "name": "x", "customer": "ip 203.0.113.7" })).await;
    assert_eq!(spelt.status, 422, "nor can an operator");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_use_outlives_a_kill_and_is_billed_to_nobody() {
    let mut world = world().await;
    let (address, customer) = ("203.0.113.7", "ip 203.0.113.7");
    assert_eq!(from(&world, address, customer).await.charged(), 1);
    assert_eq!(from(&world, address, customer).await.charged(), 1);
    assert_eq!(world.customer("acme").get("/signals").await.charged(), 1);
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(from(&world, address, customer).await.charged(), 1);
    assert_eq!(from(&world, address, customer).await.status, 429, "what was used counts on");
    world.flush_all().await;
    let unlinked = "tollgate_unlinked_units{meter=\"api_calls\"}";
    until("the metric follows", PATIENCE, async || (world.metric(unlinked).await? > 0).then_some(())).await;
    assert_eq!(world.metric(unlinked).await, Some(1), "acme's: nobody will ever stand for the others");
    let names = |list: &Value| -> Vec<String> {
        let rows = list["data"].as_array().expect("rows").iter();
        rows.filter_map(|row| row["customer"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(names(&world.shown("/admin/customers").await), ["acme"], "lists are of customers");
    assert_eq!(
        names(&world.shown("/admin/customers?q=ip%20203.0.113.7").await),
        [customer],
        "who is asked for is found"
    );
    let stats = world.shown("/admin/stats").await;
    assert!(!stats["top_customers"].to_string().contains("ip "), "{stats}");
    assert_eq!(world.shown("/admin/customers/ip%20203.0.113.7").await["tier"], "anonymous");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_block_a_network() {
    let world = world().await;
    let (address, customer) = ("203.0.113.7", "ip 203.0.113.7");
    assert_eq!(from(&world, address, customer).await.charged(), 1);
    let blocked = world.operate("/admin/customers/ip%20203.0.113.7/block", &json!({})).await;
    assert_eq!(blocked.status, 200, "{}", blocked.text());
    assert_eq!(from(&world, address, customer).await.refusal(), (403, "customer_blocked".to_owned()));
    assert_eq!(from(&world, "203.0.113.9", "ip 203.0.113.9").await.status, 200);
    world.finish().await;
}
