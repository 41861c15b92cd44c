//! What fails costs no credits.

use super::{ON_CREDITS, credits, grant, history, until_balance, until_sum};
use crate::harness::{Behaviour, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_gives_the_credits_back() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("unlucky");
    grant(&world, &customer, 5).await;
    world.upstream.in_turn("/export/pdf", [Behaviour::Status(500), Behaviour::Status(503)]);
    for expected in [500, 503] {
        let reply = customer.get("/export/pdf").await;
        assert_eq!((reply.status, reply.charged()), (expected, 0));
        assert_eq!(credits(&customer).await, 5);
    }
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    until_balance(&world, "unlucky", 0).await;
    let rows = history(&world, "unlucky").await;
    assert_eq!(rows, [("granted".to_owned(), 5), ("spent".to_owned(), -5)], "what failed was never spent");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_gives_back_what_it_was_charged() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("cut-off");
    grant(&world, &customer, 5).await;
    world.upstream.in_turn("/export/pdf", [Behaviour::CutMidBody]);
    assert!(customer.try_get("/export/pdf").await.is_err());
    customer.until_used(0).await;
    assert_eq!(credits(&customer).await, 5);
    assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    assert_eq!(customer.get("/signals").await.refusal(), (402, "credits_exhausted".to_owned()));
    until_sum(&world, "cut-off", "spent", -10).await;
    until_sum(&world, "cut-off", "returned", 5).await;
    until_balance(&world, "cut-off", 0).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_holds_its_credits() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("patient");
    grant(&world, &customer, 5).await;
    world.upstream.on("/export/csv", Behaviour::Held);
    let held = tokio::spawn({
        let customer = customer.clone();
        async move { customer.get("/export/csv").await.charged() }
    });
    world.upstream.arrived("/export/csv", 1).await;
    assert_eq!(customer.get("/export/pdf").await.refusal(), (402, "credits_exhausted".to_owned()));
    let take = |units: i64| serde_json::json!({ "amount": -units, "reason": "a test" });
    let refused = super::change(&world, "patient", None, &take(3)).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict".to_owned()));
    assert!(refused.text().contains("only 2 credits"), "{}", refused.text());
    assert_eq!(super::change(&world, "patient", None, &take(2)).await.json()["balance"], 3);
    world.upstream.release();
    assert_eq!(held.await.expect("the task ran"), 3);
    until_balance(&world, "patient", 0).await;
    world.finish().await;
}
