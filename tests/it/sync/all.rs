//! All subscriptions, by pages.

use http::Method;
use serde_json::json;

use super::{calls, count, progress, subscribe, subscribe_as, sync, until_synced, without_news};
use crate::harness::{ADMIN_TOKEN, PATIENCE, until};

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_subscriptions_take_three_calls_and_bring_their_customers() {
    let world = without_news().await;
    subscribe(&world, 300).await;
    let before = (calls(&world, "subscription_list").await, calls(&world, "subscription_retrieve").await);
    assert_eq!(sync(&world).await, json!({ "synced": 300, "failed": 0 }));
    let after = (calls(&world, "subscription_list").await, calls(&world, "subscription_retrieve").await);
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 0));
    for name in ["customer_0", "customer_150", "customer_299"] {
        assert_eq!(world.customer(name).status().await["tier"], "pro", "{name}");
    }
    let runs = world.metric("tollgate_sync_runs_total{outcome=\"completed\"}").await;
    assert_eq!(runs, Some(2), "one at the start, and this one");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_without_news_is_in_force_when_a_sync_has_been_answered() {
    let world = without_news().await;
    let subscribed = subscribe(&world, 3).await;
    sync(&world).await;
    let (paused, gone) = (world.customer("customer_0"), world.customer("customer_2"));
    assert_eq!(paused.get("/signals").await.status, 200);
    world.stripe.set_status(&subscribed[0], "paused").await;
    world.stripe.delete(&format!("/v1/subscriptions/{}", subscribed[2])).await;
    assert_eq!(paused.get("/signals").await.status, 200, "nobody has told");
    assert_eq!(sync(&world).await, json!({ "synced": 3, "failed": 0 }));
    assert_eq!(paused.get("/signals").await.refusal(), (403, "subscription_paused".to_owned()));
    let status = gone.status().await;
    assert_eq!((&status["tier"], &status["status"]), (&json!("free"), &json!("canceled")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_can_be_read_alone_and_nobody_is_made_by_asking() {
    let world = without_news().await;
    for prefix in ["org/7", "other"] {
        subscribe_as(&world, prefix, 1).await;
    }
    sync(&world).await;
    let unlinked = world.customer("unlinked");
    assert_eq!(unlinked.status().await["tier"], "free");
    world.stripe.subscribe("starter", None);
    let (lists, retrieves) =
        (calls(&world, "subscription_list").await, calls(&world, "subscription_retrieve").await);
    let one = world.operate("/admin/customers/org%2F7_0/sync", &json!({})).await;
    assert_eq!((one.status, one.json()), (200, json!({ "synced": 1, "failed": 0 })));
    assert_eq!(calls(&world, "subscription_list").await - lists, 1);
    assert_eq!(calls(&world, "subscription_retrieve").await - retrieves, 0);
    let customers = count(&world, "SELECT count(*) FROM customers");
    let nobody = world.operate("/admin/customers/nobody/sync", &json!({})).await;
    assert_eq!(nobody.refusal(), (404, "not_found".to_owned()));
    assert_eq!(count(&world, "SELECT count(*) FROM customers"), customers);
    let refused = world.operate("/admin/customers/unlinked/sync", &json!({})).await;
    assert_eq!(refused.refusal(), (409, "conflict".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_while_a_sync_runs_joins_it() {
    let world = without_news().await;
    subscribe(&world, 2).await;
    // The first thing that a run asks for, and it is answered at once.
    let before = calls(&world, "event_list").await;
    let slow = json!({ "operation": "subscriptions.list", "times": 2, "delay_ms": 2_000 });
    world.stripe.hook("faults", slow).await;
    let both = async {
        tokio::join!(sync(&world), async {
            until("the first one runs", PATIENCE, async || {
                (progress(&world).await["running"] == true).then_some(())
            })
            .await;
            sync(&world).await
        })
    };
    let (first, second) = both.await;
    assert_eq!(first, json!({ "synced": 2, "failed": 0 }));
    assert_eq!(second, first);
    assert_eq!(calls(&world, "event_list").await - before, 1, "there was one run");
    let after = progress(&world).await;
    assert_eq!((&after["running"], &after["error"]), (&json!(false), &json!(null)), "{after}");
    world.stripe.forget_faults().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_stripe_does_not_answer_fails_and_operators_are_told_once() {
    let mut world = without_news().await;
    subscribe(&world, 1).await;
    let away = json!({ "operation": "subscriptions.list", "percent": 100, "status": 400 });
    world.stripe.hook("faults", away).await;
    let refused = world.operate("/admin/sync", &json!({})).await;
    assert_eq!(refused.refusal(), (502, "upstream_failed".to_owned()));
    let told = "SELECT count(*) FROM notices WHERE kind = 'sync.failed'";
    assert_eq!(count(&world, told), 0, "whoever asked has heard of it");
    world.gateway.stop().await;
    world.gateway.restart().await;
    let after = until_synced(&world).await;
    assert!(after["error"].as_str().is_some_and(|error| error.contains("400")), "{after}");
    until("it is told", PATIENCE, async || (count(&world, told) == 1).then_some(())).await;
    let failed = world.metric("tollgate_sync_runs_total{outcome=\"failed\"}").await;
    assert_eq!(failed, Some(1));
    world.stripe.forget_faults().await;
    assert_eq!(sync(&world).await, json!({ "synced": 1, "failed": 0 }));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_that_is_away_is_503_and_comes_with_a_time_to_come_back() {
    let world = without_news().await;
    let away = json!({ "operation": "subscriptions.list", "percent": 100, "status": 500 });
    world.stripe.hook("faults", away).await;
    let refused = world.operate("/admin/sync", &json!({})).await;
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.refusal(), (503, "stripe_unavailable".to_owned()));
    world.stripe.forget_faults().await;
    until("Stripe is asked again", PATIENCE, async || {
        (world.operate("/admin/sync", &json!({})).await.status == 200).then_some(())
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_as_alive_and_is_in_no_list_is_asked_for_by_itself() {
    let world = without_news().await;
    subscribe(&world, 1).await;
    sync(&world).await;
    // As if it belonged to another account: Stripe has no subscription of that name.
    let other = "INSERT INTO subscriptions (id, stripe_customer, facts, version, reread_at, status)
                 SELECT 'sub_elsewhere', 'cus_elsewhere', facts, 0, 9999999999, status FROM subscriptions";
    store_execute(&world, other);
    let missing = "tollgate_stripe_requests_total{operation=\"subscription_retrieve\",outcome=\"refused\"}";
    let before = world.metric(missing).await.expect("there from the start");
    assert_eq!(sync(&world).await, json!({ "synced": 1, "failed": 0 }));
    assert_eq!(world.metric(missing).await, Some(before + 1));
    assert_eq!(
        count(&world, "SELECT count(*) FROM subscriptions WHERE id = 'sub_elsewhere' AND reread_at"),
        0
    );
    world.finish().await;
}

fn store_execute(world: &crate::harness::World, sql: &str) {
    super::store(world).execute(sql, []).expect("rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_are_for_operators_alone() {
    let world = without_news().await;
    for (method, path) in [
        (Method::POST, "/admin/sync"),
        (Method::GET, "/admin/sync"),
        (Method::POST, "/admin/customers/acme/sync"),
    ] {
        let refused = world.admin(method.clone(), path, None).await;
        assert_eq!(refused.refusal(), (401, "token_missing".to_owned()), "{method} {path}");
        let wrong = world.admin(Method::DELETE, path, Some(ADMIN_TOKEN)).await;
        assert_eq!(wrong.refusal(), (405, "method_not_allowed".to_owned()), "{path}");
    }
    world.finish().await;
}
