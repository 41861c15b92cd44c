//! Customers are sent back to the configured origins alone.

use serde_json::json;

use super::{done, order, post, rows, shop};
use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_only_looks_like_an_allowed_one_is_refused() {
    let world = shop().await;
    let customer = world.customer("phished");
    for url in [
        "https://evil.example/",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "https://app.example:8443/",
        "http://app.example/",
        "https:\\\\app.example/",
        "https://evil.example\\@app.example/",
        "//app.example/",
        "/thanks",
        "javascript:alert(1)//https://app.example/",
        "https://app.example\t.evil.example/",
        "",
    ] {
        for field in ["success_url", "cancel_url"] {
            let mut body = order("pro");
            body[field] = json!(url);
            let reply = post(&customer, "/billing/checkout", &body).await;
            assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()), "{field} {url}");
            assert!(reply.text().contains(field), "it names the field: {}", reply.text());
        }
    }
    assert!(rows(&world, "/v1/checkout/sessions").await.is_empty(), "Stripe never heard of it");
    let mut body = order("pro");
    body["success_url"] = json!("https://APP.example:443/thanks#top");
    done(&post(&customer, "/billing/checkout", &body).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_origins_the_gateways_own_is_allowed() {
    let world = World::start().await;
    let own = format!("http://{}/thanks", world.gateway.public);
    let body = json!({ "tier": "pro", "success_url": own });
    done(&post(&world.customer("local"), "/billing/checkout", &body).await);
    let elsewhere = post(&world.customer("local"), "/billing/checkout", &order("pro")).await;
    assert_eq!(elsewhere.refusal(), (422, "unprocessable".to_owned()));
    world.finish().await;
}
