//! Overrides and blocks are in force when they have been answered.

use http::Method;
use serde_json::{Value, json};

use super::delete;
use crate::harness::{ADMIN_TOKEN, World, unix_now};

#[tokio::test(flavor = "multi_thread")]
async fn a_block_and_its_end_are_in_force_when_they_have_been_answered() {
    let world = World::start().await;
    let customer = world.customer("acme");
    for turn in 0..5 {
        assert_eq!(customer.get("/signals").await.status, 200, "turn {turn}");
        let blocked = world.operate("/admin/customers/acme/block", &json!({ "reason": "fraud" })).await;
        assert_eq!((blocked.status, &blocked.json()["blocked"]), (200, &json!({ "reason": "fraud" })));
        assert_eq!(customer.get("/signals").await.refusal(), (403, "customer_blocked".to_owned()));
        let status = customer.status().await;
        assert_eq!((&status["permissions"]["can_use"], &status["tier"]), (&json!(false), &json!("free")));
        let unblocked = world.admin(Method::POST, "/admin/customers/acme/unblock", Some(ADMIN_TOKEN)).await;
        assert_eq!((unblocked.status, &unblocked.json()["blocked"]), (200, &Value::Null));
    }
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_holds_for_who_is_not_in_memory_and_over_a_restart() {
    let mut world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.status, 200);
    assert_eq!(world.operate("/admin/cache/clear", &json!({})).await.status, 200);
    assert_eq!(world.operate("/admin/customers/acme/block", &json!({})).await.status, 200);
    assert_eq!(customer.get("/signals").await.refusal(), (403, "customer_blocked".to_owned()));
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.get("/signals").await.refusal(), (403, "customer_blocked".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_gives_a_tier_until_it_is_taken_back() {
    let world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/premium").await.refusal(), (403, "feature_not_included".to_owned()));
    let wanted = json!({ "tier": "pro", "until": "2099-01-01", "reason": "a friend" });
    let set = world.put("/admin/customers/acme/override", &wanted).await;
    assert_eq!(set.status, 200, "{}", set.text());
    let shown = set.json();
    assert_eq!(
        shown["override"],
        json!({ "tier": "pro", "included": {}, "until": "2099-01-01T00:00:00Z", "reason": "a friend" })
    );
    assert_eq!((&shown["tier"], &shown["billed_tier"]), (&json!("pro"), &json!("free")));
    assert_eq!(customer.get("/premium").await.charged(), 1);
    let status = customer.status().await;
    assert_eq!((&status["tier"], &status["status"]), (&json!("pro"), &json!("no_subscription")));
    assert_eq!(status["usage"]["api_calls"]["included"], 10_000);
    let listed = world.shown("/admin/customers?tier=pro").await;
    assert_eq!(super::each(&listed, "customer"), ["acme"], "lists know it");
    let taken_back = delete(&world, "/admin/customers/acme/override").await;
    assert_eq!((taken_back.status, &taken_back.json()["override"]), (200, &Value::Null));
    assert_eq!(customer.get("/premium").await.refusal(), (403, "feature_not_included".to_owned()));
    assert_eq!(customer.status().await["tier"], "free");
    assert!(super::rows(&world.shown("/admin/customers?tier=pro").await).is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_of_an_override_are_used_and_never_reported() {
    let world = World::start().await;
    let (customer, subscribed) = world.subscriber("acme", "starter").await;
    let wanted = json!({ "included": { "api_calls": 1_010 }, "reason": "an outage of ours" });
    assert_eq!(world.put("/admin/customers/acme/override", &wanted).await.status, 200);
    for _ in 0..204 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    let usage = customer.status().await["usage"]["api_calls"].clone();
    assert_eq!((&usage["current"], &usage["included"]), (&json!(1_020), &json!(1_010)));
    assert_eq!((&usage["overage"], &usage["overage_amount"]), (&json!(10), &json!("0.30")));
    let drawn = json!({ "included": 1_000, "overage": 10, "beside": 10 });
    assert_eq!(world.shown("/admin/customers/acme").await["drawn"]["api_calls"], drawn);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 1_010, "1000 included, 10 of overage");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_ends_by_itself() {
    let world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.status, 200);
    let until = jiff::Timestamp::from_second(unix_now() + 2).expect("an instant").to_string();
    let wanted = json!({ "tier": "pro", "until": until, "reason": "a look" });
    assert_eq!(world.put("/admin/customers/acme/override", &wanted).await.json()["tier"], "pro");
    customer.until_status("tier", "free").await;
    assert_eq!(customer.get("/premium").await.refusal(), (403, "feature_not_included".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_that_is_nothing_or_gives_less_than_what_is_billed_is_refused() {
    let world = World::start().await;
    let (_, _) = world.subscriber("acme", "pro").await;
    let refused = [
        json!({ "reason": "nothing" }),
        json!({ "tier": "platinum", "reason": "unknown" }),
        json!({ "tier": "starter", "reason": "less" }),
        json!({ "tier": "starter", "included": { "api_calls": 20_000 }, "reason": "fewer features" }),
        json!({ "included": { "api_calls": 9_999 }, "reason": "less" }),
        json!({ "included": { "api_calls": "plenty" }, "reason": "no number" }),
        json!({ "included": { "api_cells": 20_000 }, "reason": "unknown" }),
        json!({ "included": { "api_calls": 20_000 }, "until": "2001-01-01", "reason": "too late" }),
        json!({ "included": { "api_calls": 20_000 }, "until": "soon", "reason": "no instant" }),
        json!({ "included": { "api_calls": 20_000 } }),
        json!({ "included": { "api_calls": 20_000 }, "reason": " " }),
        json!({ "included": { "api_calls": 20_000 }, "reason": "x".repeat(501) }),
    ];
    for wanted in refused {
        let reply = world.put("/admin/customers/acme/override", &wanted).await;
        assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()), "{wanted}: {}", reply.text());
    }
    for wanted in
        [json!({ "tier": "pro", "reason": "x", "customer": "other" }), json!([]), json!({ "tier": 1 })]
    {
        let reply = world.put("/admin/customers/acme/override", &wanted).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wanted}");
    }
    let shown = world.shown("/admin/customers/acme").await;
    assert_eq!((&shown["override"], &shown["tier"]), (&Value::Null, &json!("pro")));
    let unlimited = json!({ "included": { "api_calls": "unlimited" }, "reason": "as it is" });
    let set = world.put("/admin/customers/acme/override", &unlimited).await.json();
    assert_eq!(set["override"]["included"], json!({ "api_calls": "unlimited" }));
    assert_eq!(set["usage"]["api_calls"]["included"], "unlimited");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_what_is_in_memory_changes_nothing_that_counts() {
    let world = World::start().await;
    let customers = ["a", "b", "c"].map(|name| world.customer(name));
    for turn in 1..=10 {
        for customer in &customers {
            assert_eq!(customer.get("/signals").await.charged(), 1);
        }
        assert_eq!(world.operate("/admin/customers/a/cache/clear", &json!({})).await.status, 200);
        assert_eq!(world.operate("/admin/cache/clear", &json!({})).await.status, 200);
        for customer in &customers {
            assert_eq!(customer.used().await, turn, "{}", customer.name);
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_made_by_being_asked_for() {
    let world = World::start().await;
    let known = world.customer("known");
    assert_eq!(known.get("/signals").await.status, 200);
    let paths = [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::POST, "/block"),
        (Method::POST, "/unblock"),
        (Method::POST, "/cache/clear"),
        (Method::GET, "/charges"),
        (Method::GET, "/export"),
        (Method::PUT, "/override"),
        (Method::DELETE, "/override"),
        (Method::GET, "/usage"),
    ];
    for (method, path) in paths {
        for id in ["nobody", "cus_1", "known%2F", "1", "%00"] {
            let path = format!("/admin/customers/{id}{path}");
            let reply = world.admin(method.clone(), &path, Some(ADMIN_TOKEN)).await;
            assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{method} {path}");
            let closed = world.admin(method.clone(), &path, None).await;
            assert_eq!(closed.refusal(), (401, "token_missing".to_owned()), "{method} {path}");
        }
    }
    assert_eq!(super::each(&world.shown("/admin/customers").await, "customer"), ["known"]);
    let wrong = world.admin(Method::PUT, "/admin/customers/known/block", Some(ADMIN_TOKEN)).await;
    assert_eq!(
        (wrong.refusal(), wrong.header("allow")),
        ((405, "method_not_allowed".to_owned()), Some("POST"))
    );
    world.finish().await;
}
