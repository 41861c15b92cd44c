//! A copy of all that is kept of somebody, and erasing them.

use http::Method;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use super::{delete, each, rows};
use crate::harness::{ADMIN_TOKEN, Customer, PATIENCE, World, token, unix_now, until};

/// Erases a customer as soon as that can be; answers the name that is left.
async fn erase(world: &World, name: &str) -> String {
    let path = format!("/admin/customers/{name}");
    let reply = until("somebody is erased", PATIENCE, async || {
        world.let_pauses_pass();
        world.flush().await;
        let reply = delete(world, &path).await;
        (reply.status != 409).then_some(reply)
    })
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let left = reply.json()["customer"].as_str().expect("a name").to_owned();
    world.erased(name, &left);
    left
}

/// Tables and columns of the store where a text stands, as a whole or in part.
fn found_in(store: &Connection, text: &str) -> Vec<String> {
    let mut tables = store.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").expect("tables");
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("tables");
    let tables: Vec<String> = tables.collect::<rusqlite::Result<_>>().expect("tables");
    let mut found = Vec::new();
    for table in tables {
        let mut query = store.prepare(&format!("SELECT * FROM {table}")).expect("a table");
        let columns: Vec<String> = query.column_names().map(str::to_owned).collect();
        let mut all = query.query([]).expect("rows");
        while let Some(row) = all.next().expect("a row") {
            for (at, column) in columns.iter().enumerate() {
                if let ValueRef::Text(value) = row.get_ref(at).expect("a value")
                    && String::from_utf8_lossy(value).contains(text)
                {
                    found.push(format!("{table}.{column}"));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_all_that_is_kept_of_a_customer_and_of_nobody_else() {
    let world = World::start().await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    let (other, _) = world.subscriber("other", "starter").await;
    assert_eq!((acme.get("/export/pdf").await.charged(), other.get("/export/csv").await.charged()), (5, 3));
    assert_eq!(world.operate("/admin/customers/acme/block", &json!({ "reason": "late" })).await.status, 200);
    world.flush_all().await;
    let exported = world.shown("/admin/customers/acme/export").await;
    let first = |table: &str, key: &str| exported[table][0][key].clone();
    for (table, key, value) in [
        ("customer", "name", json!("acme")),
        ("customer", "stripe_customer", json!(subscribed.customer)),
        ("subscriptions", "id", json!(subscribed.subscription)),
        ("changes", "to_tier", json!("pro")),
        ("block", "reason", json!("late")),
        ("usage", "included", json!(5)),
        ("usage_by_day", "units", json!(5)),
        ("usage_by_day", "route", json!("/export/pdf")),
        ("meter_events", "value", json!(5)),
        ("meter_events", "state", json!("delivered")),
    ] {
        assert_eq!(first(table, key), value, "{table}.{key} of {exported}");
    }
    assert!(!exported["webhooks"].as_array().expect("events").is_empty());
    assert!(exported["customer"][0]["first_seen"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert!(!exported.to_string().contains("other"), "{exported}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_erased_while_something_is_owed_or_to_be_reported() {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(acme.get("/export/pdf").await.charged(), 5);
    let refused = async || {
        let reply = delete(&world, "/admin/customers/acme").await;
        assert_eq!(reply.refusal(), (409, "conflict".to_owned()));
        reply.json()["detail"].as_str().expect("a detail").to_owned()
    };
    let of_subscription = until("it is folded", PATIENCE, async || {
        let detail = refused().await;
        (!detail.contains("under way")).then_some(detail)
    })
    .await;
    assert!(of_subscription.contains(&subscribed.subscription), "{of_subscription}");
    assert_eq!(acme.used().await, 5, "nothing was changed");
    world.stripe.set_status(&subscribed.subscription, "canceled").await;
    acme.until_status("status", "canceled").await;
    world.flush_all().await;
    world.stripe.break_meter_events(json!({ "status": 500, "times": 1_000 })).await;
    assert_eq!(acme.get("/signals").await.charged(), 1);
    let of_usage = until("it is folded", PATIENCE, async || {
        let detail = refused().await;
        (!detail.contains("under way")).then_some(detail)
    })
    .await;
    assert!(of_usage.contains("to be reported") || of_usage.contains("wait for Stripe"), "{of_usage}");
    world.stripe.forget_faults().await;
    erase(&world, "acme").await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 6, "nothing was lost");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_nothing_leads_from_the_name_to_the_books_and_the_books_still_balance() {
    let world = World::start().await;
    let (person, subscribed) = world.subscriber("jane-doe", "pro").await;
    assert_eq!(person.get("/export/pdf").await.charged(), 5);
    let keyed = person.ask(Method::GET, "/signals", |request| request.header("idempotency-key", "k1")).await;
    assert_eq!(keyed.charged(), 1);
    let wanted = json!({ "tier": "pro", "reason": "jane-doe asked" });
    assert_eq!(world.put("/admin/customers/jane-doe/override", &wanted).await.status, 200);
    world.stripe.set_status(&subscribed.subscription, "canceled").await;
    person.until_status("status", "canceled").await;
    // A late one would name them again.
    until("all events are applied", PATIENCE, async || {
        let all = world.stripe.events().await.len() as u64;
        (world.received_events() == all && world.waiting_events() == 0).then_some(())
    })
    .await;
    assert!(found_in(&world.store(), "jane-doe").len() > 1);

    let left = erase(&world, "jane-doe").await;
    assert_eq!(found_in(&world.store(), "jane-doe"), [""; 0]);
    let path = "/admin/customers/jane-doe";
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(world.admin(method, path, Some(ADMIN_TOKEN)).await.status, 404);
    }
    let kept = format!("/admin/customers/{}", left.replace(' ', "%20"));
    let shown = world.shown(&kept).await;
    assert_eq!(
        (&shown["stripe_customer"], &shown["override"], &shown["tier"]),
        (&Value::Null, &Value::Null, &json!("free"))
    );
    assert!(shown["erased_at"].is_string());
    let exported = world.shown(&format!("{kept}/export")).await;
    assert_eq!(exported["usage"][0]["included"], 6, "the books keep what was used, under a number");
    let trail = world.shown(&format!("/admin/audit?customer={}", left.replace(' ', "%20"))).await;
    assert!(each(&trail, "action").contains(&"customer_erased"));
    assert!(each(&trail, "detail").iter().all(|detail| detail.is_empty()), "{trail}");
    let grant = json!({ "amount": 5, "reason": "too late" });
    for (path, body) in [("block", json!({})), ("cache/clear", json!({})), ("credits", grant)] {
        let reply = world.operate(&format!("{kept}/{path}"), &body).await;
        assert_eq!(reply.refusal(), (409, "conflict".to_owned()), "{path}");
    }
    assert_eq!(delete(&world, &kept).await.refusal(), (409, "conflict".to_owned()));

    let somebody_new = world.customer("jane-doe");
    assert_eq!(somebody_new.used().await, 0);
    let again =
        somebody_new.ask(Method::GET, "/signals", |request| request.header("idempotency-key", "k1")).await;
    assert_eq!(again.charged(), 1, "the key was somebody else's");
    let names = world.shown("/admin/customers").await;
    assert_eq!(each(&names, "customer"), [left.as_str(), "jane-doe"]);
    assert_eq!(rows(&names).len(), 2);
    world.finish().await;
}

/// A customer for whom somebody calls.
fn calling(world: &World, customer: &str, member: &str) -> Customer {
    let claims = json!({ "sub": customer, "member": member, "exp": unix_now() + 3_600 });
    let mut customer = world.customer(customer);
    customer.token = token(&claims);
    customer
}

/// Who called, of the latest charges.
async fn members(world: &World, customer: &str) -> Vec<String> {
    let charges = world.shown(&format!("/admin/customers/{}/charges", customer.replace(' ', "%20"))).await;
    each(&charges, "member").into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_called_for_an_erased_customer_is_known_to_others_alone() {
    let world = World::start().await;
    let (acme, other) = (calling(&world, "acme", "jane-doe"), calling(&world, "other", "jane-doe"));
    for _ in 0..2 {
        assert_eq!((acme.get("/signals").await.charged(), other.get("/signals").await.charged()), (1, 1));
    }
    assert_eq!(members(&world, "acme").await, ["jane-doe", "jane-doe"]);
    let exported = world.shown("/admin/customers/acme/export").await;
    assert_eq!(each(&json!({ "data": exported["members"] }), "name"), ["jane-doe"]);
    let left = erase(&world, "acme").await;
    let erased = members(&world, &left).await;
    assert!(erased.iter().all(|name| name.starts_with("erased ")), "{erased:?}");
    assert_eq!(members(&world, "other").await, ["jane-doe", "jane-doe"]);
    // The same token, which has not been forgotten.
    assert_eq!(acme.get("/signals").await.charged(), 1);
    assert_eq!(members(&world, "acme").await, ["jane-doe"]);
    assert_eq!(members(&world, &left).await, erased);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_still_has_brings_nobody_back_who_was_erased() {
    let world = World::builder().without_webhooks().start().await;
    let (person, subscribed) = world.subscriber("jane-doe", "pro").await;
    let path = format!("/v1/subscriptions/{}", subscribed.subscription);
    world.stripe.delete(&path).await;
    world.operate("/admin/customers/jane-doe/sync", &json!({})).await;
    person.until_status("status", "canceled").await;
    let sync = async || {
        assert_eq!(world.operate("/admin/sync", &json!({})).await.status, 200);
        until("its events are applied", PATIENCE, async || (world.waiting_events() == 0).then_some(())).await;
    };
    sync().await;
    erase(&world, "jane-doe").await;
    sync().await;
    assert_eq!(found_in(&world.store(), "jane-doe"), [""; 0], "after a sync");
    // News that comes late: an invoice, the end, and that the customer was deleted at Stripe as well.
    world.stripe.delete(&format!("/v1/customers/{}", subscribed.customer)).await;
    let late = world.stripe.events().await.into_iter().filter(|event| {
        let kind = event["type"].as_str().expect("a type");
        kind == "invoice.paid" || kind.ends_with(".deleted")
    });
    let late: Vec<_> = late.collect();
    assert_eq!(late.len(), 3, "{late:?}");
    for (at, mut event) in late.into_iter().enumerate() {
        event["id"] = json!(format!("evt_late_{at}"));
        assert!(event.to_string().contains("jane-doe"), "{event}");
        assert_eq!(world.deliver(&event).await.status, 200, "{event}");
    }
    sync().await;
    assert_eq!(found_in(&world.store(), "jane-doe"), [""; 0], "after late news");
    world.finish().await;
}
