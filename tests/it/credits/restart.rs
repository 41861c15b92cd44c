//! Credits over restarts, and changes that are asked for twice or wrongly.

use http::Method;
use serde_json::json;

use super::{ON_CREDITS, change, credits, grant, history, until_balance};
use crate::harness::{ADMIN_TOKEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_left_after_a_kill_and_after_a_stop() {
    let mut world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("lasting");
    grant(&world, &customer, 20).await;
    for _ in 0..2 {
        assert_eq!(customer.get("/export/csv").await.charged(), 3);
        world.gateway.kill9();
        world.gateway.restart().await;
        assert_eq!(customer.get("/export/csv").await.charged(), 3);
        world.gateway.stop().await;
        world.gateway.restart().await;
    }
    assert_eq!((credits(&customer).await, customer.used().await), (8, 12));
    until_balance(&world, "lasting", 8).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_asked_for_again_is_done_once_whatever_lies_between() {
    let mut world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("careful");
    customer.status().await;
    let give = json!({ "amount": 10, "reason": "sorry" });
    let first = change(&world, "careful", Some("k-1"), &give).await;
    assert_eq!(first.json()["balance"], 10, "{}", first.text());
    assert_eq!(change(&world, "careful", Some("k-1"), &give).await.json(), first.json());
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(change(&world, "careful", Some("k-1"), &give).await.json(), first.json());
    let other = change(&world, "careful", Some("k-1"), &json!({ "amount": 11, "reason": "sorry" })).await;
    assert_eq!((other.status, other.code()), (409, "conflict".to_owned()));
    let take = json!({ "amount": -4, "reason": "too much" });
    for _ in 0..2 {
        assert_eq!(change(&world, "careful", Some("k-2"), &take).await.json()["balance"], 6);
    }
    let more = change(&world, "careful", Some("k-3"), &json!({ "amount": -7, "reason": "too much" })).await;
    assert_eq!((more.status, more.code()), (409, "conflict".to_owned()));
    assert!(more.text().contains("only 6 credits"), "{}", more.text());
    assert_eq!(credits(&customer).await, 6, "nothing was taken");
    let another = world.customer("another");
    another.status().await;
    assert_eq!(
        change(&world, "another", Some("k-1"), &give).await.json()["balance"],
        10,
        "keys are a customer's own"
    );
    let rows = history(&world, "careful").await;
    assert_eq!(rows, [("granted".to_owned(), 10), ("taken".to_owned(), -4)]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_makes_no_sense_is_refused_and_changes_nothing() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("acme");
    customer.status().await;
    for (body, status) in [
        (json!({ "amount": 0, "reason": "r" }), 422),
        (json!({ "amount": 1, "reason": " " }), 422),
        (json!({ "amount": 1, "reason": "r".repeat(501) }), 422),
        (json!({ "amount": 1_000_000_000_001_i64, "reason": "r" }), 422),
        (json!({ "amount": i64::MIN, "reason": "r" }), 422),
        (json!({ "amount": 1, "reason": "r", "expires_at": "soon" }), 422),
        (json!({ "amount": 1, "reason": "r", "expires_at": "2020-01-01T00:00:00Z" }), 422),
        (json!({ "amount": -1, "reason": "r", "expires_at": "2120-01-01T00:00:00Z" }), 422),
        (json!({ "amount": 1.5, "reason": "r" }), 400),
        (json!({ "amount": 1 }), 400),
        (json!({ "amount": 1, "reason": "r", "customer": "other" }), 400),
        (json!([]), 400),
        (json!({ "amount": -1, "reason": "r" }), 409),
    ] {
        let reply = change(&world, "acme", None, &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        reply.code();
    }
    let unknown = change(&world, "nobody", None, &json!({ "amount": 1, "reason": "r" })).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found".to_owned()));
    let long = "k".repeat(256);
    let reply = change(&world, "acme", Some(&long), &json!({ "amount": 1, "reason": "r" })).await;
    assert_eq!((reply.status, reply.code()), (400, "bad_request".to_owned()));
    for (method, token, status) in [
        (Method::POST, None, 401),
        (Method::POST, Some("another"), 401),
        (Method::DELETE, Some(ADMIN_TOKEN), 405),
    ] {
        let reply = world.admin(method, "/admin/customers/acme/credits", token).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    assert_eq!((credits(&customer).await, history(&world, "acme").await), (0, Vec::new()));
    world.finish().await;
}
