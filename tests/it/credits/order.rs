//! Included units, then credits, then overage; and what is told of each.

use serde_json::json;

use super::{ON_CREDITS, credits, grant, until_balance};
use crate::harness::World;

const SMALL: &str = r"
    [tiers.starter]
    included = { api_calls = 10 }
";

#[tokio::test(flavor = "multi_thread")]
async fn credits_come_behind_what_is_included_and_before_overage_and_stripe_hears_nothing_of_them() {
    let world = World::builder().config(SMALL).start().await;
    let (customer, subscribed) = world.subscriber("buyer", "starter").await;
    assert_eq!(grant(&world, &customer, 5).await, 5);
    for _ in 0..8 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    assert_eq!(credits(&customer).await, 5, "8 of 10 are included");
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    assert_eq!(credits(&customer).await, 2, "2 were included");
    for _ in 0..5 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    let status = customer.status().await;
    assert_eq!(status["credits"], 0);
    let usage = &status["usage"]["api_calls"];
    assert_eq!((&usage["current"], &usage["overage"]), (&json!(18), &json!(3)));
    assert_eq!((&usage["overage_amount"], &usage["usage_percentage"]), (&json!("0.09"), &json!(130.0)));
    let drawn = json!({ "included": 10, "overage": 3, "beside": 5 });
    assert_eq!(world.shown("/admin/customers/buyer").await["drawn"]["api_calls"], drawn);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 13, "10 included and 3 of overage");
    until_balance(&world, "buyer", 0).await;
    for (drawn, units) in [("included", 10), ("credits", 5), ("overage", 3)] {
        let line = format!(r#"tollgate_units_total{{drawn="{drawn}",meter="api_calls",tier="starter"}}"#);
        assert_eq!(world.metric(&line).await, Some(units), "{drawn}");
    }
    for (kind, units) in [("granted", 5), ("spent", 5), ("returned", 0)] {
        assert_eq!(
            world.metric(&format!(r#"tollgate_credits_total{{kind="{kind}"}}"#)).await,
            Some(units),
            "{kind}"
        );
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_with_included_units_names_the_quota_and_one_that_lives_on_credits_those() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 2 }").start().await;
    let customer = world.customer("mixed");
    grant(&world, &customer, 3).await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3, "two included and a credit");
    let refused = customer.get("/export/csv").await;
    assert_eq!(refused.refusal(), (429, "quota_exceeded".to_owned()));
    assert_eq!(credits(&customer).await, 2, "a refusal spends nothing");
    assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    world.finish().await;

    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("prepaid");
    grant(&world, &customer, 3).await;
    let refused = customer.get("/export/pdf").await;
    assert_eq!(refused.refusal(), (402, "credits_exhausted".to_owned()));
    assert_eq!(refused.json()["violated-policies"], json!(["credits"]));
    assert_eq!(refused.header("retry-after"), None, "waiting does not cure it");
    assert_eq!(credits(&customer).await, 3);
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_show_credits_to_those_who_have_some() {
    let world = World::start().await;
    let customer = world.customer("watcher");
    let policies = |reply: &crate::harness::Reply| reply.header("ratelimit-policy").unwrap_or("").to_owned();
    assert!(!policies(&customer.get("/signals").await).contains("credits"));
    grant(&world, &customer, 40).await;
    let reply = customer.get("/signals").await;
    assert!(policies(&reply).contains(r#""credits";q=40;w="#), "{}", policies(&reply));
    assert!(reply.header("ratelimit").unwrap_or("").contains(r#""credits";r=40;t="#));
    world.finish().await;
}
