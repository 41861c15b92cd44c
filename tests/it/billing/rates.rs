//! How often a customer may ask.

use http::Method;
use serde_json::json;

use super::{SELLING, post};
use crate::harness::World;

const SLOW: &str = "[billing]\nread_rate = \"3/h\"\nwrite_rate = \"2/h\"";

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_has_a_rate_for_each_customer() {
    let world = World::builder().config(SELLING).config(SLOW).start().await;
    let customer = world.customer("busy");
    for _ in 0..3 {
        assert_eq!(customer.get("/billing/status").await.status, 200);
    }
    let refused = customer.get("/billing/status").await;
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    let wait: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
    assert!((1..=1_200).contains(&wait), "{wait}");
    assert_eq!(customer.get("/billing/usage").await.status, 200, "another endpoint");
    assert_eq!(world.customer("other").get("/billing/status").await.status, 200, "another customer");
    // Changes are fewer; a link to the portal is one of them, and counts with those by POST.
    assert_eq!(post(&customer, "/billing/portal", &json!({})).await.status, 400);
    assert_eq!(customer.get("/billing/portal").await.status, 400);
    assert_eq!(customer.get("/billing/portal").await.refusal(), (429, "rate_limited".to_owned()));
    // Before the body is read; and not by who has no token.
    for _ in 0..2 {
        assert_eq!(post(&customer, "/billing/cancel", &json!([])).await.status, 400);
    }
    assert_eq!(post(&customer, "/billing/cancel", &json!([])).await.status, 429);
    for _ in 0..5 {
        assert_eq!(world.ask(Method::GET, "/billing/credits", |request| request).await.status, 401);
    }
    assert_eq!(customer.get("/billing/credits").await.status, 200);
    world.finish().await;
}
