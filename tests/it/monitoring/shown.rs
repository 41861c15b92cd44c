//! What alerts, dashboards and scrapes rely on is what a gateway shows.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use super::names::{OF_PROMETHEUS, Shown, grouped, named};
use super::rules::{alerts, lacking_labels, read};
use crate::harness::{Authority, Listener, PATIENCE, WEBHOOK_SECRET, World, signature, unix_now, until};
use crate::tls::Secure;

const DASHBOARD: &str = "deploy/grafana/dashboards/tollgate.json";

/// The metrics of a gateway that has everything with labels of its own: TLS, and somebody to tell.
async fn shown() -> Shown {
    let listener = Listener::start().await;
    let told = listener.wants("crm", &["*"]);
    let secure = Secure::start_with(Authority::new("ours"), "", &told).await;
    let world = secure.world;
    // Subscriptions are counted by work that begins beside the port.
    let subscriptions = "tollgate_subscriptions{status=\"active\",tier=\"pro\"}";
    until("subscriptions are counted", PATIENCE, async || world.metric(subscriptions).await).await;
    let text = world.admin(Method::GET, "/metrics", None).await.text();
    world.finish().await;
    Shown::read(&text)
}

/// Title and queries of each panel.
fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries = |panel: &Value| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect()
    };
    panels
        .iter()
        .map(|panel| (panel["title"].as_str().expect("a title").to_owned(), queries(panel)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboards_name_only_metrics_labels_and_values_that_a_gateway_shows() {
    let shown = shown().await;
    let mut lacking = Vec::new();
    let rules = read("deploy/prometheus/alerts.yml");
    lacking.extend(named(&rules).iter().flat_map(|named| shown.lacks(named)));
    lacking.extend(alerts().iter().flat_map(|alert| lacking_labels(alert, &shown)));
    let tests = read("deploy/prometheus/alerts_test.yml");
    for named in named(&tests) {
        // Values are the tests' own.
        let labels: Vec<_> = shown.labels(&named.metric).chain(OF_PROMETHEUS).collect();
        let unknown = named.matchers.iter().filter(|(label, ..)| !labels.contains(&&**label));
        lacking.extend(unknown.map(|(label, ..)| format!("the tests' {} has no {label}", named.metric)));
    }
    for (title, queries) in panels() {
        for query in queries {
            let metrics = named(&query);
            lacking.extend(
                metrics.iter().flat_map(|named| shown.lacks(named)).map(|lack| format!("{title}: {lack}")),
            );
            let labels = metrics.iter().flat_map(|named| shown.labels(&named.metric));
            let labels: Vec<_> = labels.chain(OF_PROMETHEUS).chain(["le"]).collect();
            let unknown = grouped(&query).into_iter().filter(|label| !labels.contains(&&**label));
            lacking.extend(unknown.map(|label| format!("{title}: its metrics have no label {label}")));
        }
    }
    assert!(lacking.is_empty(), "no gateway shows:\n  {}", lacking.join("\n  "));
}

#[test]
fn the_dashboard_has_a_row_for_each_thing_that_is_watched() {
    let rows: Vec<_> =
        panels().into_iter().filter(|(_, queries)| queries.is_empty()).map(|(title, _)| title).collect();
    for word in
        ["traffic", "refusals", "latency", "units", "ledger", "outbox", "webhooks", "fleet", "certificates"]
    {
        assert!(rows.iter().any(|row| row.to_lowercase().contains(word)), "no row for {word}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_are_not_taken_are_counted_by_why() {
    let world = World::builder().without_webhooks().config("[billing]\nwebhook_rate = \"1/h\"").start().await;
    let body = json!({ "id": "evt_1", "type": "product.created", "created": unix_now() }).to_string();
    let signed = async |secret: &str| {
        let signature = signature(secret, unix_now(), body.as_bytes());
        world.deliver_signed(body.clone(), &signature).await.status
    };
    // Twenty bad ones a minute are answered, those beyond are slowed down: all of them are bad.
    for _ in 0..25 {
        signed("whsec_forged").await;
    }
    assert_eq!((signed("whsec_forged").await, signed(WEBHOOK_SECRET).await), (429, 200));
    assert_eq!(signed(WEBHOOK_SECRET).await, 429);
    for (outcome, count) in [("invalid", 26), ("stored", 1), ("slowed", 1), ("failed", 0)] {
        assert_eq!(others(&world, outcome).await, Some(count), "{outcome}");
    }
    world.finish().await;
}

/// Webhooks that mean nothing here, or were not taken.
async fn others(world: &World, outcome: &str) -> Option<u64> {
    world.metric(&format!("tollgate_webhooks_total{{outcome=\"{outcome}\",type=\"other\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_could_not_be_stored_is_counted_as_failed() {
    let world = World::builder().without_webhooks().start().await;
    let limit = |size: &str| {
        let gateway = world.gateway.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &gateway, &format!("--fsize={size}")]).status();
        assert!(set.is_ok_and(|status| status.success()), "prlimit sets the limit of a process of ours");
    };
    let event = json!({ "id": "evt_1", "type": "invoice.paid", "created": unix_now() });
    limit("0:unlimited");
    assert!(world.deliver(&event).await.status >= 500, "Stripe sends it again");
    limit("unlimited:unlimited");
    assert_eq!((others(&world, "failed").await, world.deliver(&event).await.status), (Some(1), 200));
    world.finish().await;
}
