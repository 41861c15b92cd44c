//! Stripe's portal.

use http::Method;
use serde_json::json;

use super::{done, post, shop, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_is_for_those_whom_stripe_knows() {
    let world = shop().await;
    let stranger = world.customer("stranger");
    assert_eq!(
        post(&stranger, "/billing/portal", &json!({})).await.refusal(),
        (400, "bad_request".to_owned())
    );
    let (customer, _) = world.subscriber("known", "pro").await;
    let posted = done(&post(&customer, "/billing/portal", &json!({})).await);
    assert_eq!(posted["url"], "https://app.example/", "the sandbox leads straight back");
    let chosen = json!({ "return_url": "https://app.example/account?tab=1" });
    let posted = done(&post(&customer, "/billing/portal", &chosen).await);
    assert_eq!(text(&posted["url"]), "https://app.example/account?tab=1");
    let linked = done(&customer.get("/billing/portal?return_url=https://app.example/back").await);
    assert_eq!(text(&linked["url"]), "https://app.example/back");
    for elsewhere in ["https://evil.example/", "https://app.example.evil.example/", "//app.example/"] {
        let body = json!({ "return_url": elsewhere });
        let reply = post(&customer, "/billing/portal", &body).await;
        assert_eq!(reply.refusal(), (422, "unprocessable".to_owned()), "{elsewhere}");
    }
    let put = customer.ask(Method::PUT, "/billing/portal", |request| request).await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, POST")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_not_set_up_is_said_so() {
    let world = shop().await;
    let (customer, _) = world.subscriber("known", "pro").await;
    world.stripe.hook("portal", json!({ "configured": false })).await;
    let reply = post(&customer, "/billing/portal", &json!({})).await;
    assert_eq!(reply.refusal(), (409, "conflict".to_owned()));
    assert!(text(&reply.json()["detail"]).contains("portal is not set up"));
    world.finish().await;
}
