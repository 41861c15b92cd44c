//! Several meters, and what of their units Stripe hears.

use serde_json::json;

use crate::harness::World;

const TWO_METERS: &str = r#"
    routes = [
        { path = "/signals", cost = { api_calls = 1, bytes = 40 } },
        { path = "/export/csv", cost = { bytes = 25 } },
    ]
    [meters.bytes]
    [tiers.free]
    included = { api_calls = 10, bytes = 100 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_meter_has_its_own_quota_and_a_refusal_by_one_spends_none_of_the_other() {
    let world = World::builder().config(TWO_METERS).config(PRICED).start().await;
    let meter = [("display_name", "bytes"), ("event_name", "bytes"), ("default_aggregation[formula]", "sum")];
    world.stripe.post("/v1/billing/meters", &meter).await;
    let at_stripe = world.stripe.post("/v1/customers", &[("name", "Acme")]).await;
    let at_stripe = at_stripe["id"].as_str().expect("an id");
    let customer = world.claiming("acme", Some(at_stripe));
    for _ in 0..2 {
        let reply = customer.get("/signals").await;
        assert_eq!(reply.header("x-usage-cost"), Some("api_calls=1, bytes=40"));
    }
    let refused = customer.get("/signals").await;
    assert_eq!(refused.refusal(), (429, "quota_exceeded".to_owned()));
    assert_eq!(refused.json()["violated-policies"], json!(["quota-bytes"]));
    let usage = customer.status().await["usage"].clone();
    assert_eq!((&usage["api_calls"]["current"], &usage["bytes"]["current"]), (&json!(2), &json!(80)));
    assert_eq!(customer.get("/export/csv").await.refusal(), (429, "quota_exceeded".to_owned()));
    world.flush_all().await;
    let metered = world.stripe.metered().await;
    let units = |meter: &str| metered.get(&(at_stripe.to_owned(), meter.to_owned())).copied();
    assert_eq!((units("api_calls"), units("bytes")), (Some(2), Some(80)));
    world.finish().await;
}

/// Every priced overage names a price for every meter.
const PRICED: &str = r#"
    [tiers.starter]
    overage = { unit_amount = { api_calls = "0.03", bytes = "0.0001" } }
    [tiers.pro]
    overage = { unit_amount = { api_calls = "0.02", bytes = "0.0001" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn with_report_overage_stripe_hears_of_the_overage_alone() {
    let overage = "[billing]\nreport = \"overage\"\n[tiers.starter]\nincluded = { api_calls = 10 }";
    let world = World::builder().config(overage).start().await;
    let (customer, subscribed) = world.subscriber("acme", "starter").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0, "all of it is included");
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    assert_eq!(customer.get("/export/pdf").await.charged(), 5, "2 of these are included, 3 are not");
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_stripe_refuses_for_good_is_kept_and_shown() {
    let world =
        World::builder().config("[meters.api_calls]\nstripe_event_name = \"nobody_knows\"").start().await;
    let (customer, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    assert_eq!(world.metric("tollgate_outbox_dead").await, Some(1));
    let health = world.admin(http::Method::GET, "/health/billing", None).await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    let kept = world.kept("acme");
    assert_eq!((kept.units, kept.outbox), (5, 5), "the units are in the books");
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 0);
    assert_eq!(customer.get("/signals").await.status, 200, "and requests flow");
    world.finish().await;
}
