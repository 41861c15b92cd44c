//! What metrics tell of a comparison, and alerts with them.

use super::past::{Row, accept, customer, differences, lose, minutes_ago, sums, until_told, used};
use crate::harness::World;

const DIFFERENT: Option<i32> = Some(1);

#[tokio::test(flavor = "multi_thread")]
async fn what_one_customer_misses_is_not_made_good_by_what_another_has_too_much() {
    let world = World::start().await;
    let (acme, beta) = (customer(&world, "acme").await, customer(&world, "beta").await);
    let lost = used(&world, &acme, &[(500, minutes_ago(90))]).await.remove(0);
    lose(&world, &lost).await;
    let foreign = Row { identifier: "not-ours".into(), units: 500, at: minutes_ago(80) };
    accept(&world, &beta, &foreign).await;
    let (code, found) = differences(&world, &[]).await;
    assert_eq!((code, found.len()), (DIFFERENT, 2), "{found:?}");
    until_told(&world, 1_000).await;
    let (code, found) = differences(&world, &["--repair"]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [500, 0, 500, 500])));
    until_told(&world, 500).await;
    lose(&world, &foreign).await;
    assert_eq!(differences(&world, &[]).await, (Some(0), vec![]));
    until_told(&world, 0).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_may_still_be_adding_up_is_shown_and_not_told() {
    let world = World::builder().config("[billing]\nreconcile_settle = \"1h\"").start().await;
    let acme = customer(&world, "acme").await;
    let fresh = used(&world, &acme, &[(5, minutes_ago(50))]).await.remove(0);
    let old = used(&world, &acme, &[(3, minutes_ago(90))]).await.remove(0);
    for row in [&fresh, &old] {
        lose(&world, row).await;
    }
    let (code, found) = differences(&world, &[]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [8, 0, 8, 0])));
    until_told(&world, 3).await;
    accept(&world, &acme, &Row { identifier: "late".into(), ..old }).await;
    let (code, found) = differences(&world, &[]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [8, 3, 5, 0])));
    until_told(&world, 0).await;
    accept(&world, &acme, &Row { identifier: "later".into(), ..fresh }).await;
    world.finish().await;
}
