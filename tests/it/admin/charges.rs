//! The latest charges of a customer, from the ledger.

use http::Method;
use serde_json::json;

use super::{each, rows};
use crate::harness::{ADMIN_TOKEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_charges_come_first_under_the_ids_that_clients_were_told() {
    let mut world = World::start().await;
    let (acme, other) = (world.customer("acme"), world.customer("other"));
    let mut told = Vec::new();
    for path in ["/signals", "/signals/history/X", "/export/pdf"] {
        let reply = acme.get(path).await;
        told.insert(0, reply.header("x-request-id").expect("an id").to_owned());
        assert_eq!(other.get("/signals").await.charged(), 1);
    }
    let all = world.shown("/admin/customers/acme/charges").await;
    assert_eq!(
        (each(&all, "request_id"), &all["has_more"]),
        (told.iter().map(String::as_str).collect::<Vec<_>>(), &json!(false))
    );
    let latest = &rows(&all)[0];
    for (key, value) in [
        ("kind", json!("charge")),
        ("route", json!("/export/pdf")),
        ("method", json!("GET")),
        ("status", json!(200)),
        ("tier", json!("free")),
        ("cost", json!({ "api_calls": 5 })),
        ("drawn", json!({ "api_calls": { "included": 5, "extra": 0, "credits": 0, "overage": 0 } })),
        ("corrected", json!(null)),
        ("member", json!(null)),
    ] {
        assert_eq!(latest[key], value, "{key} of {latest}");
    }
    let two = world.shown("/admin/customers/acme/charges?limit=2").await;
    assert_eq!((rows(&two), &two["has_more"]), (&rows(&all)[..2].to_vec(), &json!(true)));

    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(world.shown("/admin/customers/acme/charges").await, all, "the next run's segment is another");
    let reply = acme.get("/signals").await;
    let newer = world.shown("/admin/customers/acme/charges?limit=1").await;
    assert_eq!(each(&newer, "request_id"), [reply.header("x-request-id").expect("an id")]);
    for wrong in ["limit=0", "limit=1001", "cursor=1", "limits=2"] {
        let path = format!("/admin/customers/acme/charges?{wrong}");
        let reply = world.admin(Method::GET, &path, Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_complete_whatever_was_charged_since() {
    let mut world = World::start().await;
    let acme = world.customer("acme");
    let mut told = Vec::new();
    for (path, before, after) in [("/signals", 0, 1), ("/export/pdf", 1, 6), ("/export/csv", 6, 9)] {
        let reply = acme.get(path).await;
        told.push((reply.header("x-request-id").expect("an id").to_owned(), before, after));
        world.flush().await;
        // The next run's segment is another.
        world.gateway.kill9();
        world.gateway.restart().await;
    }
    for (id, before, after) in told {
        let receipt = world.shown(&format!("/admin/receipts/{id}")).await;
        let totals = json!({ "api_calls": { "before": before, "after": after, "complete": true } });
        assert_eq!(receipt["totals"], totals, "{receipt}");
    }
    world.finish().await;
}
