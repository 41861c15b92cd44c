//! What customers see, buy, change and cancel by themselves.

mod browsers;
mod cancel;
mod checkout;
mod foreign;
mod idempotency;
mod lists;
mod outage;
mod path;
mod portal;
mod rates;
mod return_urls;
mod subscribe;
mod upgrade;
mod usage;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Customer, Reply, World};

/// Sold beside the usual tiers, from a page at `https://app.example`.
const SELLING: &str = r#"
    credit_packs = [{ name = "small", units = 1000, price = "10.00" }]

    [billing]
    return_origins = ["https://app.example"]
    cors_origins = ["https://app.example"]
"#;

async fn shop() -> World {
    World::builder().config(SELLING).start().await
}

async fn post(customer: &Customer, path: &str, body: &Value) -> Reply {
    customer.ask(Method::POST, path, |request| request.json(body)).await
}

async fn post_under(key: &str, customer: &Customer, path: &str, body: &Value) -> Reply {
    customer.ask(Method::POST, path, |request| request.json(body).header("idempotency-key", key)).await
}

/// The body of an answer that must be a success.
fn done(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn order(tier: &str) -> Value {
    json!({
        "tier": tier,
        "cycle": "monthly",
        "success_url": "https://app.example/thanks?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://app.example/shop",
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A list of Stripe's.
async fn rows(world: &World, path: &str) -> Vec<Value> {
    world.stripe.get(path).await["data"].as_array().expect("a list").clone()
}

/// The customers at Stripe that were made for one of ours.
async fn made_for(world: &World, name: &str) -> Vec<String> {
    let customers = rows(world, "/v1/customers?limit=100").await;
    let of = customers.iter().filter(|customer| customer["metadata"]["tollgate_customer"] == name);
    of.map(|customer| text(&customer["id"]).to_owned()).collect()
}
