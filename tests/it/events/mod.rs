//! What each event changes, once, whatever order and number it comes in.

mod any_order;
mod at_rest;
mod books;
mod credits;
mod forward;
mod grouping;
mod life;
mod old_handler;
mod payments;
mod replay;
mod shadow;
mod types;

use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

/// Delivers events and waits until all are applied.
async fn deliver_all(world: &World, events: &[Value]) {
    for event in events {
        assert_eq!(world.deliver(event).await.status, 200, "{event}");
    }
    applied(world).await;
}

async fn applied(world: &World) {
    until("the inbox is done", PATIENCE, async || (world.waiting_events() == 0).then_some(())).await;
}

/// An event as Stripe would make it now, about an object that says no more than its ids.
fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({
        "id": id,
        "object": "event",
        "type": kind,
        "created": crate::harness::unix_now(),
        "livemode": false,
        "data": { "object": object },
    })
}

/// Every event so far of a type.
async fn of_kind(world: &World, kind: &str) -> Vec<Value> {
    world.stripe.events().await.into_iter().filter(|event| event["type"] == kind).collect()
}

/// An event as the operator sees it.
async fn shown(world: &World, event: &str) -> Value {
    let path = format!("/admin/webhooks/{event}");
    let reply = world.admin(http::Method::GET, &path, Some(ADMIN_TOKEN)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// A price that is paid once.
async fn one_time_price(world: &World, cents: &str) -> String {
    let product = world.stripe.post("/v1/products", &[("name", "Credits")]).await;
    let product = product["id"].as_str().expect("an id");
    let price = [("currency", "usd"), ("product", product), ("unit_amount", cents)];
    world.stripe.post("/v1/prices", &price).await["id"].as_str().expect("an id").to_owned()
}

/// A checkout session for a credit pack as our checkout makes it, open.
async fn pack_session(world: &World, customer: &str, units: &str) -> String {
    let price = one_time_price(world, "1000").await;
    let form = [
        ("mode", "payment"),
        ("client_reference_id", customer),
        ("success_url", "http://127.0.0.1/thanks"),
        ("line_items[0][price]", &price),
        ("line_items[0][quantity]", "1"),
        ("customer_creation", "always"),
        ("metadata[tollgate_customer]", customer),
        ("metadata[tollgate_pack]", "small"),
        ("metadata[tollgate_units]", units),
        ("payment_intent_data[metadata][tollgate_customer]", customer),
        ("payment_intent_data[metadata][tollgate_pack]", "small"),
        ("payment_intent_data[metadata][tollgate_units]", units),
    ];
    world.stripe.post("/v1/checkout/sessions", &form).await["id"].as_str().expect("an id").to_owned()
}

async fn pay(world: &World, session: &str, how: Value) {
    world.stripe.hook(&format!("checkout/{session}/pay"), how).await;
}
