//! Each number of `/admin/stats`, computed by hand from rows that are put into the store.

use http::Method;
use rusqlite::Connection;
use serde_json::json;

use crate::harness::{ADMIN_TOKEN, World};

/// Before any customer of this test's own day. The span is June 2020: 30 days.
const MAY: i64 = 1_588_291_200;
const JUNE: i64 = 1_590_969_600;
const JULY: i64 = 1_593_561_600;

fn facts(id: &str, status: &str) -> String {
    json!({
        "id": id, "stripe_customer": format!("cus_{id}"), "status": status, "items": [], "billing_cycle_anchor": 0,
        "cancel_at": null, "cancel_at_period_end": false, "past_due_since": null,
    })
    .to_string()
}

/// Eight customers: 1 pays monthly, 2 yearly, 3 weekly and late, 4 is on trial, 5 left in June, 6 left in May, 7 never
/// paid, 8 has been erased.
fn fill(world: &World) {
    let store = world.store();
    for (number, tier, status, erased) in [
        (1, "pro", "active", None),
        (2, "pro", "active", None),
        (3, "starter", "past_due", None),
        (4, "pro", "trialing", None),
        (5, "free", "canceled", None),
        (6, "free", "canceled", None),
        (7, "", "no_subscription", None),
        (8, "", "no_subscription", Some(JUNE)),
    ] {
        let sql = "INSERT INTO customers (number, name, first_seen, tier, status, erased_at)
                   VALUES (?1, 'user-' || ?1, 0, nullif(?2, ''), ?3, ?4)";
        store.execute(sql, rusqlite::params![number, tier, status, erased]).expect("a customer");
    }
    for (id, status, tier, minor, interval, count, currency) in [
        ("a", "active", Some("pro"), 9_900, "month", 1, "usd"),
        ("b", "active", Some("pro"), 99_000, "year", 1, "usd"),
        ("c", "past_due", Some("starter"), 700, "week", 1, "usd"),
        ("d", "trialing", Some("pro"), 9_900, "month", 1, "usd"),
        ("e", "canceled", Some("pro"), 9_900, "month", 1, "usd"),
        ("f", "active", None, 5_000, "month", 1, "usd"),
        ("g", "active", Some("pro"), 9_900, "month", 1, "eur"),
        ("h", "active", Some("pro"), 29_700, "month", 3, "usd"),
    ] {
        let sql = "INSERT INTO subscriptions (id, stripe_customer, facts, version, status, tier, amount_minor, interval,
                                              interval_count, currency)
                   VALUES (?1, 'cus_' || ?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)";
        let values = rusqlite::params![id, facts(id, status), status, tier, minor, interval, count, currency];
        store.execute(sql, values).expect("a subscription");
    }
    fill_history(&store);
}

/// Their changes, payments and usage.
fn fill_history(store: &Connection) {
    let free = (Some("free"), "canceled");
    for (at, customer, from, to) in [
        // At the beginning of June 1, 2, 3 and 5 pay.
        (MAY, 1, (None, "no_subscription"), (Some("pro"), "active")),
        (MAY, 2, (None, "no_subscription"), (Some("starter"), "active")),
        (MAY, 3, (None, "no_subscription"), (Some("starter"), "active")),
        (MAY, 5, (Some("free"), "no_subscription"), (Some("pro"), "active")),
        (MAY, 6, (None, "no_subscription"), (Some("pro"), "active")),
        (JUNE - 1, 6, (Some("pro"), "active"), free),
        // In June 2 goes up, 3 is late, 4 begins a trial, 5 leaves.
        (JUNE, 2, (Some("starter"), "active"), (Some("pro"), "active")),
        (JUNE + 9, 3, (Some("starter"), "active"), (Some("starter"), "past_due")),
        (JUNE + 10, 4, (None, "no_subscription"), (Some("pro"), "trialing")),
        (JULY - 1, 5, (Some("pro"), "active"), free),
        // And after it 1 leaves.
        (JULY, 1, (Some("pro"), "active"), free),
    ] {
        let sql = "INSERT INTO state_changes (at, customer, from_tier, from_status, to_tier, to_status)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = rusqlite::params![at, customer, from.0, from.1, to.0, to.1];
        store.execute(sql, values).expect("a change");
    }
    for (id, outcome, amount, overage, currency, at) in [
        ("in_1", "succeeded", 9_900, 0, "usd", JUNE),
        ("in_2", "succeeded", 10_150, 250, "usd", JULY - 1),
        ("in_3", "failed", 2_900, 100, "usd", JUNE + 9),
        ("in_4", "succeeded", 9_900, 400, "usd", JULY),
        ("in_5", "succeeded", 9_900, 400, "usd", JUNE - 1),
        ("in_6", "succeeded", 9_900, 400, "eur", JUNE),
        ("pi_1", "succeeded", 1_000, 0, "usd", JUNE),
    ] {
        let sql = "INSERT INTO payments (id, kind, outcome, amount_minor, overage_minor, currency, at)
                   VALUES (?1, iif(?1 LIKE 'pi_%', 'payment', 'invoice'), ?2, ?3, ?4, ?5, ?6)";
        store.execute(sql, rusqlite::params![id, outcome, amount, overage, currency, at]).expect("a payment");
    }
    for (customer, hour, route, units, requests) in [
        (1, JUNE, 1, 10, 10),
        (1, JUNE + 3_600, 1, 10, 5),
        (1, JUNE - 3_600, 1, 500, 500),
        (2, JULY - 3_600, 1, 25, 5),
        (2, JULY, 1, 500, 500),
        (8, JUNE, 2, 3, 3),
    ] {
        let sql = "INSERT INTO hourly VALUES (?1, ?2, ?3, 1, ?4, ?5)";
        store.execute(sql, rusqlite::params![customer, hour, route, units, requests]).expect("an hour");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_number_is_what_a_hand_computes_from_the_rows() {
    let world = World::start().await;
    fill(&world);
    let stats = world.shown("/admin/stats?from=2020-06-01&to=2020-07-01").await;
    for (key, value) in [
        ("from", json!("2020-06-01T00:00:00Z")),
        ("to", json!("2020-07-01T00:00:00Z")),
        ("currency", json!("usd")),
        // 99.00 + 990.00 / 12 + 7.00 × 30.4375 / 7 + 297.00 / 3 = 99.00 + 82.50 + 30.4375 + 99.00
        ("mrr", json!("310.94")),
        // 12 × 310.9375
        ("arr", json!("3731.25")),
        (
            "subscriptions",
            json!([
                { "tier": "pro", "interval": "month", "interval_count": 1, "subscriptions": 1, "mrr": "99.00" },
                { "tier": "pro", "interval": "month", "interval_count": 3, "subscriptions": 1, "mrr": "99.00" },
                { "tier": "pro", "interval": "year", "interval_count": 1, "subscriptions": 1, "mrr": "82.50" },
                { "tier": "starter", "interval": "week", "interval_count": 1, "subscriptions": 1, "mrr": "30.44" },
            ]),
        ),
        // The one in euros; what no tier names is none of ours.
        ("uncounted_subscriptions", json!(1)),
        (
            "customers",
            json!([
                { "tier": "free", "status": "canceled", "customers": 2 },
                { "tier": "free", "status": "no_subscription", "customers": 1 },
                { "tier": "pro", "status": "active", "customers": 2 },
                { "tier": "pro", "status": "trialing", "customers": 1 },
                { "tier": "starter", "status": "past_due", "customers": 1 },
            ]),
        ),
        ("erased_customers", json!(1)),
        // 1, 2, 3 and 5 paid; 5 left.
        ("churn", json!({ "paying_at_start": 4, "lost": 1, "paying_at_end": 3, "rate": "0.25" })),
        // 310.9375 / 3 customers, by 0.25 × 30.4375 / 30 of them a month
        ("lifetime_value", json!("408.62")),
        ("overage_revenue", json!("2.50")),
        (
            "payments",
            json!({
                "succeeded": { "payments": 3, "amount": "210.50" },
                "failed": { "payments": 1, "amount": "29.00" },
                "success_rate": "0.75",
                "uncounted": 1,
            }),
        ),
        (
            "conversions",
            json!([
                { "from": "free", "to": "pro", "times": 1 },
                { "from": "pro", "to": "free", "times": 1 },
                { "from": "starter", "to": "pro", "times": 1 },
            ]),
        ),
        (
            "top_customers",
            json!([
                { "customer": "user-2", "units": 25, "requests": 5 },
                { "customer": "user-1", "units": 20, "requests": 15 },
                { "customer": "user-8", "units": 3, "requests": 3 },
            ]),
        ),
    ] {
        assert_eq!(stats[key], value, "{key}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nobody_there_is_no_rate_and_what_is_asked_wrongly_is_refused() {
    let world = World::start().await;
    let stats = world.shown("/admin/stats").await;
    for (key, value) in [
        ("mrr", json!("0.00")),
        ("arr", json!("0.00")),
        ("churn", json!({ "paying_at_start": 0, "lost": 0, "paying_at_end": 0, "rate": null })),
        ("lifetime_value", json!(null)),
        ("top_customers", json!([])),
    ] {
        assert_eq!(stats[key], value, "{key}");
    }
    assert_eq!(stats["payments"]["success_rate"], json!(null));
    let health = world.admin(Method::GET, "/health/billing", None).await.json();
    assert_eq!(stats["stripe_api_version"], health["stripe_api_version"]);
    assert!(health["stripe_api_version"].as_str().is_some_and(|version| version.starts_with("20")));
    for wrong in ["from=soon", "from=2020-02-01&to=2020-01-01", "form=2020-01-01"] {
        let reply = world.admin(Method::GET, &format!("/admin/stats?{wrong}"), Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_in_the_numbers_once_it_is_in_force() {
    let world = World::start().await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(acme.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    crate::harness::until("it is noted", crate::harness::PATIENCE, async || {
        let stats = world.shown("/admin/stats").await;
        let known = stats["churn"]["paying_at_end"] == 1 && stats["top_customers"][0]["units"] == 5;
        known.then_some(())
    })
    .await;
    let stats = world.shown("/admin/stats").await;
    assert_eq!((&stats["mrr"], &stats["arr"]), (&json!("99.00"), &json!("1188.00")));
    assert_eq!(stats["customers"], json!([{ "tier": "pro", "status": "active", "customers": 1 }]));
    assert_eq!(stats["conversions"], json!([{ "from": "free", "to": "pro", "times": 1 }]));
    world.stripe.set_status(&subscribed.subscription, "canceled").await;
    acme.until_status("status", "canceled").await;
    crate::harness::until("it is noted", crate::harness::PATIENCE, async || {
        (world.shown("/admin/stats").await["churn"]["paying_at_end"] == 0).then_some(())
    })
    .await;
    assert_eq!(world.shown("/admin/stats").await["mrr"], "0.00");
    world.finish().await;
}
