//! What cannot be applied is kept, told, shown, and applied again when an operator says so.

use http::Method;
use serde_json::json;

use super::{applied, books, deliver_all, event, of_kind, shown};
use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_fails_after_three_tries_while_others_pass_and_can_be_replayed() {
    let world = World::builder().without_webhooks().start().await;
    let customer = world.customer("unlucky");
    customer.status().await;
    world.stripe.subscribe("pro", Some("unlucky"));
    // No waiting cures a 400.
    let poison = json!({ "operation": "invoices.retrieve", "status": 400, "times": 3 });
    world.stripe.hook("faults", poison).await;
    let paid = of_kind(&world, "invoice.paid").await;
    let id = paid[0]["id"].as_str().expect("an id");
    assert_eq!(world.deliver(&paid[0]).await.status, 200);
    let others =
        [of_kind(&world, "customer.subscription.created").await, of_kind(&world, "customer.created").await];
    for other in others.iter().flatten() {
        assert_eq!(world.deliver(other).await.status, 200);
    }
    customer.until_status("tier", "pro").await;
    until("it has failed", PATIENCE, async || (shown(&world, id).await["status"] == "failed").then_some(()))
        .await;
    let failed = shown(&world, id).await;
    assert_eq!(failed["tries"], 3);
    assert!(failed["reason"].as_str().expect("a reason").contains("400"), "{failed}");
    assert_eq!((books::payments(&world).len(), books::told(&world, "webhook.failed")), (0, 1));
    until("it is counted", PATIENCE, async || {
        (world.metric("tollgate_inbox_failed").await == Some(1)).then_some(())
    })
    .await;

    let path = format!("/admin/webhooks/{id}/replay");
    let replayed = world.admin(Method::POST, &path, Some(ADMIN_TOKEN)).await;
    assert_eq!(replayed.status, 200, "{}", replayed.text());
    applied(&world).await;
    let done = shown(&world, id).await;
    assert_eq!((&done["status"], books::payments(&world).len()), (&json!("done"), 1));
    assert!(
        done["effects"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|words| { words.as_str().is_some_and(|words| words.starts_with("payment in_")) })
    );
    // Once more: it changes nothing twice.
    assert_eq!(world.admin(Method::POST, &path, Some(ADMIN_TOKEN)).await.status, 200);
    applied(&world).await;
    assert_eq!((&shown(&world, id).await["effects"], books::payments(&world).len()), (&json!([]), 1));
    let audited = books::count(&world, "SELECT count(*) FROM audit WHERE action = 'webhook_replayed'");
    assert_eq!(audited, 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_by_status_and_type_a_page_at_a_time() {
    let world = World::builder().without_webhooks().start().await;
    let object = json!({ "object": "customer" });
    for at in 0..5 {
        let kind = if at % 2 == 0 { "customer.updated" } else { "something.else" };
        assert_eq!(world.deliver(&event(&format!("evt_{at}"), kind, &object)).await.status, 200);
    }
    applied(&world).await;
    let list = async |query: &str| {
        let reply = world.admin(Method::GET, &format!("/admin/webhooks{query}"), Some(ADMIN_TOKEN)).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        reply.json()
    };
    let ids = |list: &serde_json::Value| {
        let rows = list["data"].as_array().expect("a list").iter();
        let mut ids: Vec<String> = rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids.join(" ")
    };
    assert_eq!(ids(&list("").await), "evt_0 evt_1 evt_2 evt_3 evt_4");
    assert_eq!(ids(&list("?status=ignored").await), "evt_1 evt_3");
    assert_eq!(ids(&list("?status=done&type=customer.updated").await), "evt_0 evt_2 evt_4");
    let first = list("?limit=3").await;
    assert_eq!((&first["has_more"], first["data"].as_array().map(Vec::len)), (&json!(true), Some(3)));
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = list(&format!("?limit=3&cursor={cursor}")).await;
    assert_eq!((&second["has_more"], &second["next_cursor"]), (&json!(false), &json!(null)));
    let mut all =
        format!("{} {}", ids(&first), ids(&second)).split(' ').map(str::to_owned).collect::<Vec<_>>();
    all.sort();
    assert_eq!(all.join(" "), "evt_0 evt_1 evt_2 evt_3 evt_4");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_says_why() {
    let world = World::builder().without_webhooks().start().await;
    deliver_all(&world, &[event("evt_1", "something.else", &json!({}))]).await;
    let ask = async |method, path: &str| {
        world.admin(method, &format!("/admin/webhooks{path}"), Some(ADMIN_TOKEN)).await.refusal()
    };
    assert_eq!(ask(Method::POST, "/evt_1/replay").await, (409, "conflict".to_owned()));
    assert_eq!(ask(Method::POST, "/evt_2/replay").await, (404, "not_found".to_owned()));
    assert_eq!(ask(Method::GET, "/evt_2").await, (404, "not_found".to_owned()));
    assert_eq!(ask(Method::GET, "/evt_1/replay").await, (405, "method_not_allowed".to_owned()));
    for query in ["?status=lost", "?limit=0", "?limit=1001", "?cursor=x", "?unknown=1"] {
        assert_eq!(ask(Method::GET, query).await, (400, "bad_request".to_owned()), "{query}");
    }
    let closed = world.admin(Method::GET, "/admin/webhooks", None).await;
    assert_eq!(closed.refusal(), (401, "token_missing".to_owned()));
    world.finish().await;
}
