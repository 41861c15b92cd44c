//! Truths against limits.

use serde_json::json;

use super::{ROUTES, ask, held};
use crate::harness::{Behaviour, World};

const TEN: &str = "[tiers.starter]\nincluded = { api_calls = 10 }\noverage = \"deny\"";

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_a_denied_quota_is_counted_and_never_billed() {
    let mut world = World::builder().config(ROUTES).config(TEN).start().await;
    let (customer, subscribed) = world.subscriber("acme", "starter").await;
    world.upstream.on("/sized", Behaviour::Large(30 << 10));
    let reply = customer.get("/sized").await;
    assert_eq!(held(&reply), Some(5));
    customer.owes("api_calls=30");
    customer.until_used(30).await;
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 10, "20 are billed to nobody");
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 30);
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_does_not_fit_is_refused_and_what_it_leaves_over_is_there_again() {
    let world = World::builder().config(ROUTES).config(TEN).start().await;
    let (customer, _) = world.subscriber("acme", "starter").await;
    world.upstream.on("/sized", Behaviour::Large(1_000));
    let mut used = 0;
    for _ in 0..6 {
        ask(&customer, "/sized", 1).await;
        used += 1;
        customer.until_used(used).await;
    }
    assert_eq!(
        customer.get("/sized").await.refusal(),
        (429, "quota_exceeded".to_owned()),
        "4 are left of 10"
    );
    for _ in 0..4 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    assert_eq!(customer.get("/signals").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.finish().await;
}

/// Where only overage is reported, what others drew beyond while a hold was open is no overage when most of it comes
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_makes_nobody_pay_overage_that_was_none() {
    let config = "[billing]\nreport = \"overage\"\nflush_interval = \"1h\"
        [tiers.starter]\nincluded = { api_calls = 10 }";
    let routes = r#"routes = [
        { path = "/sized", cost = { api_calls = { response_bytes = "1KiB", hold = 9 } } },
        { path = "/signals", cost = 1 },
    ]"#;
    let world = World::builder().config(config).config(routes).start().await;
    let (customer, subscribed) = world.subscriber("acme", "starter").await;
    world.upstream.on("/sized", Behaviour::Paused(1_000, 1_000));
    let open = tokio::spawn({
        let customer = customer.clone();
        async move { customer.get("/sized").await }
    });
    customer.until_used(9).await;
    for _ in 0..6 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    world.upstream.release();
    assert_eq!(held(&open.await.expect("it ran")), Some(9));
    customer.owes("api_calls=2");
    customer.until_used(8).await;
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0, "all eight are included");
    for _ in 0..3 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 1, "the eleventh");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_stop_at_nothing_and_come_back_to_their_grant() {
    let config = "[tiers.starter]\nincluded = { api_calls = 0 }\noverage = \"deny\"";
    let world = World::builder().config(ROUTES).config(config).start().await;
    let (customer, subscribed) = world.subscriber("acme", "starter").await;
    let granted =
        world.operate("/admin/customers/acme/credits", &json!({ "amount": 12, "reason": "a gift" })).await;
    assert_eq!(granted.status, 200, "{}", granted.text());
    let left = async || customer.status().await["credits"].as_u64();
    for (bytes, truth, credits) in [(2_000, 2, 10), (7 << 10, 7, 3)] {
        world.upstream.on("/sized", Behaviour::Large(bytes));
        ask(&customer, "/sized", truth).await;
        crate::harness::until("the truth is settled", crate::harness::PATIENCE, async || {
            (left().await == Some(credits)).then_some(())
        })
        .await;
    }
    world.upstream.on("/told", Behaviour::Tells(&[("x-cost", "5")]));
    assert_eq!(
        customer.get("/told").await.refusal(),
        (402, "credits_exhausted".to_owned()),
        "5 are to be held"
    );
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0);
    world.finish().await;
}
