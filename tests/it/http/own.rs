//! Our own endpoints: billing, pricing, health, metrics, admin.

use http::Method;
use serde_json::json;

use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_settled_units_the_moment_an_answer_has_been_read() {
    let world = World::start().await;
    let (customer, _) = world.subscriber("acme", "starter").await;
    let mut used = 0;
    for path in ["/signals", "/signals/history/X", "/export/csv", "/export/pdf"] {
        used += customer.get(path).await.charged();
        assert_eq!(customer.used().await, used, "after {path}");
    }
    let mut status = customer.status().await;
    let usage = status["usage"]["api_calls"].as_object_mut().expect("an object");
    // What the period's end will bring depends on how much of it has passed.
    usage.retain(|name, _| !name.starts_with("projected"));
    assert_eq!(
        json!(usage),
        json!({
            "current": 11, "included": 1_000, "remaining": 989, "usage_percentage": 1.1,
            "overage": 0, "overage_amount": "0.00",
        })
    );
    assert_eq!(status["expires_at"], status["period"]["end"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn billing_is_for_the_customer_of_the_token_alone() {
    let world = World::start().await;
    let missing = world.ask(Method::GET, "/billing/status", |request| request).await;
    assert_eq!(missing.refusal(), (401, "token_missing".to_owned()));
    assert!(missing.header("www-authenticate").is_some());
    let customer = world.customer("me");
    for path in ["/billing/status?customer=other", "//billing/./status", "/billing/status/"] {
        let reply = customer.get(path).await;
        assert_eq!(reply.json()["customer"], "me", "{path}: {}", reply.text());
    }
    for path in ["/billing", "/billing/", "/billing/nothing", "/billing/status/other"] {
        assert_eq!(customer.get(path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    let posted = customer.ask(Method::POST, "/billing/status", |request| request).await;
    assert_eq!(posted.refusal(), (405, "method_not_allowed".to_owned()));
    assert_eq!(posted.header("allow"), Some("GET, HEAD"));
    assert_eq!(world.upstream.hits("/billing/status"), 0, "the API never hears of it");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_list_needs_no_token_and_says_everything_that_is_sold() {
    let packs = "credit_packs = [{ name = \"small\", units = 1000, price = \"10.00\", expire = \"1d\" }]";
    let world = World::builder().config(packs).start().await;
    let reply = world.ask(Method::GET, "/pricing", |request| request).await;
    assert_eq!(reply.status, 200);
    let pricing = reply.json();
    assert_eq!(pricing["currency"], "usd");
    assert_eq!(
        pricing["credit_packs"],
        json!([{ "name": "small", "units": 1_000, "price": "10.00", "expires_after_seconds": 86_400 }])
    );
    let tier = |name: &str| {
        let tiers = pricing["tiers"].as_array().expect("tiers");
        tiers.iter().find(|tier| tier["name"] == name).expect("the tier").clone()
    };
    assert_eq!(
        tier("pro"),
        json!({
            "name": "pro",
            "price": { "monthly": "99.00", "yearly": "990.00" },
            "included": { "api_calls": 10_000 },
            "overage": { "unit_amount": { "api_calls": "0.02" }, "cap": null },
            "features": ["premium"],
            "limits": { "positions": 50, "seats": "unlimited" },
            "trial": null,
        })
    );
    assert_eq!(tier("free")["overage"], "deny");
    let routes = pricing["routes"].as_array().expect("routes");
    let cost_of = |path: &str| {
        let route = routes.iter().find(|route| route["path"] == path).expect("the route");
        route["cost"]["api_calls"].clone()
    };
    for (path, cost) in
        [("/signals", 1), ("/signals/history/{symbol}", 2), ("/export/csv", 3), ("/export/pdf", 5)]
    {
        assert_eq!(cost_of(path), cost, "{path}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_on_the_operators_port_and_needs_no_token() {
    let world = World::start().await;
    for path in ["/healthz", "/readyz", "/health/billing", "/metrics"] {
        assert_eq!(world.admin(Method::GET, path, None).await.status, 200, "{path}");
        let public = world.ask(Method::GET, path, |request| request).await;
        assert_eq!(public.refusal(), (404, "route_not_found".to_owned()), "{path} on the public port");
    }
    assert_eq!(world.admin(Method::GET, "/health/billing", None).await.json()["status"], "ok");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_asks_for_its_token_before_anything_else() {
    let world = World::start().await;
    let cases = [
        (Method::POST, "/admin/outbox/flush"),
        (Method::GET, "/admin/outbox/flush"),
        (Method::GET, "/admin/nothing"),
    ];
    for (method, path) in cases {
        let missing = world.admin(method.clone(), path, None).await;
        assert_eq!(missing.refusal(), (401, "token_missing".to_owned()), "{path}");
        let wrong = world.admin(method.clone(), path, Some("not-the-admin-token")).await;
        assert_eq!(wrong.refusal(), (401, "token_invalid".to_owned()), "{path}");
    }
    let customer = world.customer("curious");
    let foreign = world.admin(Method::POST, "/admin/outbox/flush", Some(&customer.token)).await;
    assert_eq!(foreign.status, 401, "a customer's token opens nothing");
    assert_eq!(world.admin(Method::GET, "/admin/outbox/flush", Some(ADMIN_TOKEN)).await.status, 405);
    assert_eq!(world.admin(Method::GET, "/admin/nothing", Some(ADMIN_TOKEN)).await.status, 404);
    assert_eq!(world.admin(Method::POST, "/admin/outbox/flush", Some(ADMIN_TOKEN)).await.status, 200);
    world.finish().await;
}

/// Every name that the contract lists, without `tollgate_`, with a label that must be there from the start.
const METRICS: &str = r#"
    requests_total{route="/signals",status_class="2xx"} requests_total{route="none",status_class="4xx"}
    refusals_total{code="quota_exceeded"} refusals_total{code="token_missing"}
    connections connections_refused_total{why="all"} connections_refused_total{why="handshake"}
    request_seconds_count{route="/export/pdf"} gateway_seconds_count
    units_total{drawn="included",meter="api_calls",tier="free"}
    units_total{drawn="overage",meter="api_calls",tier="pro"}
    auth_total{result="ok"} auth_total{result="token_expired"} token_cache_hits_total token_cache_misses_total
    customers_loaded ledger_appends_total ledger_sync_seconds_count ledger_bytes ledger_errors_total
    outbox_pending outbox_oldest_seconds outbox_dead
    unsealed_units{meter="api_calls"} unlinked_units{meter="api_calls"}
    stripe_requests_total{operation="meter_event",outcome="ok"}
    stripe_request_seconds_count{operation="meter_event"}
    stripe_circuit_open meter_events_total{outcome="delivered"} meter_events_total{outcome="dead"}
    webhooks_total{outcome="stored",type="other"} webhook_duplicates_total webhook_seconds_count
    webhook_lag_seconds
    subscriptions{status="active",tier="pro"} tier_changes_total{from="free",to="pro"}
    payments_total{outcome="succeeded"} checkouts_total{outcome="completed"} credits_total{kind="granted"}
    notices_total{outcome="delivered",type="tier.changed"} notices_pending
    inbox_pending inbox_oldest_seconds inbox_failed webhooks_total{outcome="stored",type="invoice.paid"}
    webhooks_total{outcome="slowed",type="other"} webhooks_total{outcome="failed",type="other"}
    fleet_member fleet_redis_up fleet_lease_calls_total fleet_lag_seconds fleet_uncopied
    reconcile_difference_units{meter="api_calls"}
    config_reload_total{outcome="applied"} config_reload_total{outcome="rejected"} config_rejected build_info
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_there_before_anything_has_happened() {
    let world = World::start().await;
    // Subscriptions are counted by work that begins beside the port.
    let subscriptions = "tollgate_subscriptions{status=\"active\",tier=\"pro\"}";
    until("subscriptions are counted", PATIENCE, async || world.metric(subscriptions).await).await;
    let metrics = world.admin(Method::GET, "/metrics", None).await.text();
    let missing: Vec<&str> = METRICS
        .split_whitespace()
        .filter(|name| {
            let line = format!("tollgate_{name}");
            !metrics
                .lines()
                .any(|found| found.strip_prefix(&line).is_some_and(|rest| rest.starts_with([' ', '{'])))
        })
        .collect();
    assert!(missing.is_empty(), "not there: {missing:#?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_units_and_refusals_are_counted() {
    let world = World::start().await;
    let customer = world.customer("counted");
    customer.get("/export/csv").await;
    customer.get("/export/csv").await;
    customer.get("/premium").await;
    customer.get("/nowhere").await;
    for (line, value) in [
        (r#"tollgate_requests_total{route="/export/csv",status_class="2xx"}"#, 2),
        (r#"tollgate_requests_total{route="/premium",status_class="4xx"}"#, 1),
        (r#"tollgate_requests_total{route="none",status_class="4xx"}"#, 1),
        (r#"tollgate_refusals_total{code="feature_not_included"}"#, 1),
        (r#"tollgate_refusals_total{code="route_not_found"}"#, 1),
        (r#"tollgate_units_total{drawn="included",meter="api_calls",tier="free"}"#, 6),
        ("tollgate_ledger_appends_total", 2),
        ("tollgate_token_cache_misses_total", 1),
        ("tollgate_token_cache_hits_total", 2),
    ] {
        crate::harness::until(line, crate::harness::PATIENCE, async || {
            (world.metric(line).await == Some(value)).then_some(())
        })
        .await;
    }
    world.finish().await;
}
