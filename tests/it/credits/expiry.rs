//! What expires first is spent first, and what has expired is not spent.

use rusqlite::Connection;
use serde_json::json;
use tollgate::domain::period::rfc3339;

use super::{ON_CREDITS, change, credits, grant, history, until_balance};
use crate::harness::{PATIENCE, World, unix_now, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_spent_first_and_what_is_left_of_it_is_gone_at_its_second() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("hurried");
    grant(&world, &customer, 5).await;
    let soon = json!({ "amount": 10, "reason": "a test", "expires_at": rfc3339(unix_now() + 4) });
    let granted = change(&world, "hurried", None, &soon).await;
    assert_eq!(granted.json()["balance"], 15, "{}", granted.text());
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    assert_eq!(credits(&customer).await, 12);
    until("the grant expires", PATIENCE, async || (credits(&customer).await == 5).then_some(())).await;
    assert_eq!(customer.get("/export/csv").await.charged(), 3, "of the one that does not");
    assert_eq!(customer.get("/export/csv").await.refusal(), (402, "credits_exhausted".to_owned()));
    until_balance(&world, "hurried", 9).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_for_long_is_booked_out_once() {
    let mut world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("forgetful");
    grant(&world, &customer, 5).await;
    let later = json!({ "amount": 10, "reason": "a test", "expires_at": rfc3339(unix_now() + 9_000) });
    assert_eq!(change(&world, "forgetful", None, &later).await.status, 200);
    assert_eq!(customer.get("/export/csv").await.charged(), 3);
    until_balance(&world, "forgetful", 12).await;
    for _ in 0..2 {
        world.gateway.stop().await;
        // As if hours had passed.
        let store = Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
        let past = "UPDATE credit_lots SET expires_at = 1000 WHERE expires_at IS NOT NULL";
        store.execute(past, []).expect("a store");
        drop(store);
        world.gateway.restart().await;
        until_balance(&world, "forgetful", 5).await;
        assert_eq!(credits(&customer).await, 5);
    }
    let rows = history(&world, "forgetful").await;
    assert_eq!(rows.last(), Some(&("expired".to_owned(), -7)));
    assert_eq!(rows.iter().filter(|row| row.0 == "expired").count(), 1);
    world.finish().await;
}
