//! What customers may do, and what it costs, follows the file.

use http::Method;

use super::routes;
use crate::harness::{Behaviour, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn other_limits_of_a_tier_hold_for_those_who_are_there_and_what_they_used_stays() {
    let world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    world.reconfigure("[tiers.free]\nincluded = { api_calls = 4 }").await;
    assert_eq!(customer.get("/export/csv").await.refusal(), (429, "quota_exceeded".to_owned()));
    assert_eq!(customer.get("/signals").await.charged(), 1);
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.reconfigure("[tiers.free]\nincluded = { api_calls = 6 }").await;
    assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.reconfigure("[tiers.free]\nincluded = { api_calls = 100 }\nrate = \"1/h\"\nburst = 1").await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    assert_eq!(customer.get("/signals").await.refusal(), (429, "rate_limited".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_default_tier_is_that_of_all_who_have_no_other() {
    let world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    // It stands before the others, and is the default of nobody who pays.
    let over = r#"
        [tiers.free]
        default = false
        [tiers.basic]
        default = true
        included = { api_calls = 2 }
        features = ["premium"]
        limits = { seats = 3 }
    "#;
    let (pro, _) = world.subscriber("paying", "pro").await;
    world.reconfigure(over).await;
    let reply = customer.get("/premium").await;
    assert_eq!(reply.charged(), 1, "the new tier has what the old one had not");
    let told = &reply.json()["headers"];
    assert_eq!(
        (&told["x-tollgate-tier"][0], &told["x-tollgate-limits"][0]),
        (&"basic".into(), &"seats=3".into())
    );
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    assert_eq!(pro.status().await["tier"], "pro");
    assert_eq!(pro.get("/premium").await.json()["headers"]["x-tollgate-tier"][0], "pro");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_bought_what_the_file_calls_otherwise_has_the_tier_that_it_names() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("acme", "starter").await;
    assert_eq!(customer.get("/premium").await.status, 403);
    // The price that they pay stands for another tier now.
    let over = r#"
        [tiers.starter]
        stripe_prices = ["price_elsewhere"]
        [tiers.first]
        stripe_prices = ["price_it_starter_monthly", "price_it_starter_api_calls"]
        included = { api_calls = 50 }
        overage = { unit_amount = { api_calls = "0.03" } }
        features = ["premium"]
    "#;
    world.reconfigure(over).await;
    assert_eq!(customer.status().await["tier"], "first");
    assert_eq!(customer.get("/premium").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_counted_by_the_tiers_in_force_and_once() {
    let world = World::start().await;
    world.subscriber("acme", "starter").await;
    until_counted(&world, [1, 0, 0]).await;
    let mut renamed = world.configuration();
    let tiers = renamed["tiers"].as_table_mut().expect("tiers");
    let starter = tiers.remove("starter").expect("a tier");
    let without = tiers.clone();
    tiers.insert("first".to_owned(), starter);
    world.configure_from(renamed.clone(), "");
    world.reloaded().await;
    until_counted(&world, [0, 1, 0]).await;
    renamed["tiers"] = without.into();
    world.configure_from(renamed, "");
    world.reloaded().await;
    until_counted(&world, [0, 0, 1]).await;
    world.finish().await;
}

/// Waits until so many active subscriptions are shown of the tiers `starter`, `first` and none.
async fn until_counted(world: &World, counts: [u64; 3]) {
    until(&format!("{counts:?} are counted"), PATIENCE, async || {
        let text = world.admin(Method::GET, "/metrics", None).await.text();
        let count = |tier: &str| {
            let line = format!("tollgate_subscriptions{{status=\"active\",tier=\"{tier}\"}} ");
            text.lines()
                .find_map(|found| found.strip_prefix(&line))
                .unwrap_or("0")
                .parse::<u64>()
                .expect("a count")
        };
        (["starter", "first", "none"].map(count) == counts).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_has_set_for_one_customer_stays() {
    let world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let set = world
        .put("/admin/customers/acme/override", &serde_json::json!({ "tier": "pro", "reason": "a test" }))
        .await;
    assert_eq!(set.status, 200, "{}", set.text());
    let blocked = world.customer("blocked");
    assert_eq!(blocked.get("/signals").await.charged(), 1);
    let reply =
        world.operate("/admin/customers/blocked/block", &serde_json::json!({ "reason": "spam" })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    world.reconfigure("[tiers.pro]\nfeatures = [\"premium\", \"more\"]\nlimits = { positions = 51 }").await;
    let reply = customer.get("/premium").await;
    assert_eq!(reply.charged(), 1);
    assert_eq!(reply.json()["headers"]["x-tollgate-features"][0], "premium,more");
    assert_eq!(blocked.get("/signals").await.status, 403);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_left_out_ends_what_it_has_begun_and_costs_what_it_did() {
    let world = World::start().await;
    world.upstream.on("/export/csv", Behaviour::Held);
    let customer = world.customer("acme");
    let asking = customer.clone();
    let held = tokio::spawn(async move { asking.get("/export/csv").await });
    world.upstream.arrived("/export/csv", 1).await;
    world
        .reconfigure(r#"routes = [{ path = "/export/pdf", cost = 50 }, { path = "/signals", cost = 0 }]"#)
        .await;
    assert_eq!(customer.get("/export/csv").await.status, 404);
    assert_eq!(customer.get("/export/pdf").await.charged(), 50, "it costs what the new file says");
    assert_eq!(
        customer.get("/export/pdf").await.refusal(),
        (429, "quota_exceeded".to_owned()),
        "3 are in flight"
    );
    world.upstream.release();
    assert_eq!(held.await.expect("no panic").charged(), 3);
    assert_eq!(customer.used().await, 53);
    // What comes again is the same as before.
    world.reconfigure(&routes("")).await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_the_servers_that_the_file_names_now() {
    let world = World::start().await;
    let other = crate::harness::Upstream::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.reconfigure(&format!("[upstreams.api]\nservers = [\"{}\"]", other.address)).await;
    assert_eq!(customer.get("/signals").await.charged(), 1);
    assert_eq!(customer.ask(Method::POST, "/signals", |request| request.body("x")).await.charged(), 1);
    assert_eq!((world.upstream.hits("/signals"), other.hits("/signals")), (1, 2));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_began_before_a_tier_came_is_served_under_it() {
    let world = World::start().await;
    let customer = world.customer("acme");
    let mut wire = world.wire().await;
    let head = "POST /signals HTTP/1.1\r\nidempotency-key: k\r\nexpect: 100-continue\r\ncontent-length: 5";
    assert_eq!(
        wire.ask_for_head(&customer, head).await.status,
        100,
        "its route is known, and nothing is decided"
    );
    world
        .reconfigure(
            "[tiers.free]\ndefault = false\n[tiers.latest]\ndefault = true\nincluded = { api_calls = 1 }\n\
             limits = { seats = 3 }",
        )
        .await;
    let reply = wire.go_on(&customer, "hello").await;
    assert_eq!((reply.status, reply.charged()), (200, 1));
    let told = &reply.json()["headers"];
    assert_eq!(
        (&told["x-tollgate-tier"][0], &told["x-tollgate-limits"][0]),
        (&"latest".into(), &"seats=3".into())
    );
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    let units =
        world.metric(r#"tollgate_units_total{drawn="included",meter="api_calls",tier="latest"}"#).await;
    assert_eq!(units, Some(1));
    world.finish().await;
}
