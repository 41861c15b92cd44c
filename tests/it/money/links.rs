//! Whose usage goes to which customer at Stripe.

use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn usage_without_a_link_is_counted_and_not_sent_and_leaves_once_a_token_brings_the_link() {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let customer = world.customer("newcomer");
    for _ in 0..3 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    assert_eq!(customer.used().await, 15);
    assert_eq!(world.flush().await, 0, "nothing to send, and nothing that waits");
    assert_eq!(world.metric("tollgate_unlinked_units{meter=\"api_calls\"}").await, Some(15));
    assert_eq!(world.metric("tollgate_unsealed_units{meter=\"api_calls\"}").await, Some(0));
    assert!(world.stripe.metered().await.is_empty());

    let at_stripe = world.stripe.post("/v1/customers", &[("name", "Newcomer")]).await;
    let at_stripe = at_stripe["id"].as_str().expect("an id");
    let linked = world.claiming("newcomer", Some(at_stripe));
    assert_eq!(linked.get("/signals").await.charged(), 1);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(at_stripe).await, 16);
    assert_eq!(world.metric("tollgate_unlinked_units{meter=\"api_calls\"}").await, Some(0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_with_a_stripe_id_and_no_subscription_has_the_default_tier_and_is_reported() {
    let world = World::start().await;
    let at_stripe = world.stripe.post("/v1/customers", &[("name", "Visitor")]).await;
    let at_stripe = at_stripe["id"].as_str().expect("an id");
    let customer = world.claiming("visitor", Some(at_stripe));
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    let status = customer.status().await;
    assert_eq!((&status["tier"], &status["status"]), (&"free".into(), &"no_subscription".into()));
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(at_stripe).await, 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_customers_of_one_stripe_customer_have_quotas_of_their_own_and_one_bill() {
    let world = World::start().await;
    let (berlin, subscribed) = world.subscriber("berlin", "starter").await;
    let paris = world.claiming("paris", Some(&subscribed.customer));
    paris.until_status("tier", "starter").await;
    assert_eq!(berlin.get("/export/pdf").await.charged(), 5);
    assert_eq!(paris.get("/export/csv").await.charged(), 3);
    assert_eq!((berlin.used().await, paris.used().await), (5, 3));
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 8);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokens_claim_beats_a_stored_link_from_then_on() {
    let world = World::builder().config("[billing]\nflush_interval = \"1h\"").start().await;
    let (customer, before) = world.subscriber("mover", "pro").await;
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    let after = world.stripe.subscribe("starter", None);
    let moved = world.claiming("mover", Some(&after.customer));
    moved.until_status("tier", "starter").await;
    assert_eq!(moved.get("/export/csv").await.charged(), 3);
    world.flush_all().await;
    assert_eq!(world.stripe.units_of(&before.customer).await, 5);
    assert_eq!(world.stripe.units_of(&after.customer).await, 3);
    world.finish().await;
}
