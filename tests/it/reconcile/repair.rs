//! What is missing is sent, once, and nothing else.

use futures_util::{StreamExt, stream};
use serde_json::json;

use super::past::{
    accept, ask, customer, customers, differences, lose, minutes_ago, note, reconcile, reconcile_with, seal,
    sums, told, until_told, used,
};
use crate::harness::World;

const OK: Option<i32> = Some(0);
const DIFFERENT: Option<i32> = Some(1);

/// A world in which nothing waits for Stripe to add up, and calls need not wait for their turn.
async fn world() -> World {
    let quick = "[billing]\nreconcile_settle = \"0s\"\n[stripe]\nmax_requests_per_second = 5000";
    World::builder().without_webhooks().config(quick).start().await
}

/// 500, or as many as `TOLLGATE_TEST_CUSTOMERS` says.
fn how_many() -> usize {
    let asked = std::env::var("TOLLGATE_TEST_CUSTOMERS").ok();
    asked.map_or(500, |asked| asked.parse().expect("a number of customers"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_missing_unit_among_many_customers_is_found_and_repaired_without_a_gateway() {
    let mut world = world().await;
    world.gateway.stop().await;
    let many = customers(&world, (0..how_many()).map(|n| format!("customer-{n}")).collect()).await;
    let rows = seal(&world, &many, "delivered", &[(3, minutes_ago(300)), (4, minutes_ago(200) + 7)]);
    stream::iter(rows.chunks(2).zip(&many))
        .for_each_concurrent(64, async |(rows, account)| {
            for row in rows {
                accept(&world, account, row).await;
            }
        })
        .await;
    let unlucky = &many[many.len() / 3];
    let lost =
        used(&world, unlucky, &[(1, minutes_ago(250) + 30), (2, minutes_ago(250) + 40)]).await.remove(0);
    assert_eq!(differences(&world, &[]).await, (OK, vec![]));

    lose(&world, &lost).await;
    let (code, found) = differences(&world, &[]).await;
    assert_eq!((code, found.len()), (DIFFERENT, 1), "{found:?}");
    assert_eq!(sums(&found[0]), (unlucky.name.as_str(), [10, 9, 1, 0]));
    assert_eq!(found[0]["stripe_customer"], *unlucky.stripe_customer);

    let (code, repaired) = differences(&world, &["--repair"]).await;
    assert_eq!((code, repaired.len()), (OK, 1), "{repaired:?}");
    assert_eq!(sums(&repaired[0]), (unlucky.name.as_str(), [10, 9, 1, 1]));
    let identifier: String = ask(&world, "SELECT identifier FROM outbox WHERE kind = 'repair'");
    let named = json!([{ "identifier": identifier, "units": 1, "state": "delivered" }]);
    assert_eq!(repaired[0]["repairs"], named);
    for again in [&[][..], &["--repair"]] {
        assert_eq!(differences(&world, again).await, (OK, vec![]), "a second run finds nothing");
    }
    assert_eq!(world.stripe.units_of(&unlucky.stripe_customer).await, 10);
    let at: i64 = ask(&world, "SELECT timestamp FROM outbox WHERE kind = 'repair'");
    assert_eq!(at / 60, lost.at / 60, "in the minute that missed it");
    let narrow = ["--period", &super::past::minutes(lost.at)];
    assert_eq!(told(&reconcile(&world, &[&["--json"][..], &narrow].concat()).await), (OK, vec![]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_runs_sends_the_repair_and_shows_the_difference() {
    let world = world().await;
    let acme = customer(&world, "acme").await;
    let rows = used(&world, &acme, &[(5, minutes_ago(90)), (7, minutes_ago(80)), (9, minutes_ago(70))]).await;
    lose(&world, &rows[0]).await;
    lose(&world, &rows[2]).await;
    assert_eq!(differences(&world, &[]).await.0, DIFFERENT);
    until_told(&world, 14).await;
    let shown = reconcile(&world, &["--repair"]).await;
    assert_eq!(shown.code, OK, "{}{}", shown.stdout, shown.stderr);
    assert!(
        shown.stdout.contains("acme      api_calls      21       7          14        14"),
        "{}",
        shown.stdout
    );
    let lines = shown.stdout.lines().filter(|line| line.contains("-repair-") && line.ends_with("delivered"));
    assert_eq!(lines.count(), 2, "{}", shown.stdout);
    until_told(&world, 0).await;
    assert_eq!(differences(&world, &["--repair"]).await, (OK, vec![]));
    assert_eq!(world.stripe.units_of(&acme.stripe_customer).await, 21);
    let answers: i64 =
        ask(&world, "SELECT count(*) FROM outbox WHERE kind = 'repair' AND answer LIKE '200 accepted%'");
    assert_eq!(answers, 2, "one for each minute");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_of_earlier_without_an_answer_is_named() {
    let world = world().await;
    let acme = customer(&world, "acme").await;
    let lost = used(&world, &acme, &[(5, minutes_ago(90))]).await.remove(0);
    lose(&world, &lost).await;
    super::past::hold_back(&world).await;
    let row = seal(&world, std::slice::from_ref(&acme), "dead", &[(5, lost.at)]).remove(0);
    let on_its_way = "UPDATE outbox SET kind = 'repair', state = 'pending', next_try_at = unixepoch() + 600
                      WHERE state = 'dead'";
    super::past::store(&world).execute(on_its_way, []).expect("a row");
    let (code, found) = differences(&world, &[]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [5, 0, 5, 0])));
    let named = json!([{ "identifier": row.identifier, "units": 5, "state": "pending" }]);
    assert_eq!(found[0]["repairs"], named);
    assert!(note(&found[0]).contains(&row.identifier), "{}", note(&found[0]));
    let shown = reconcile(&world, &[]).await;
    assert!(shown.stdout.contains(&format!("{}  acme", row.identifier)), "{}", shown.stdout);
    world.stripe.forget_faults().await;
    let now = "UPDATE outbox SET next_try_at = 0 WHERE state = 'pending'";
    super::past::store(&world).execute(now, []).expect("a row");
    world.flush_all().await;
    assert_eq!(differences(&world, &[]).await, (OK, vec![]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_repairs_at_once_send_it_once() {
    for gateway_runs in [true, false] {
        let mut world = world().await;
        if !gateway_runs {
            world.gateway.stop().await;
        }
        let all = customers(&world, (0..20).map(|n| format!("customer-{n}")).collect()).await;
        for account in &all {
            let rows = used(&world, account, &[(5, minutes_ago(90)), (3, minutes_ago(60))]).await;
            lose(&world, &rows[0]).await;
        }
        let config = &world.gateway.config;
        let repair = || reconcile_with(config.clone(), &["--repair", "--json"]);
        let (first, second, third) = tokio::join!(repair(), repair(), repair());
        for ended in [first, second, third] {
            assert!(ended.code.is_some_and(|code| code < 2), "{}", ended.stderr);
        }
        if !gateway_runs {
            world.gateway.restart().await;
        }
        world.flush_all().await;
        assert_eq!(differences(&world, &["--repair"]).await, (OK, vec![]));
        for account in &all {
            assert_eq!(world.stripe.units_of(&account.stripe_customer).await, 8, "{}", account.name);
        }
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_at_stripe_is_shown_and_not_touched() {
    let world = world().await;
    let acme = customer(&world, "acme").await;
    let rows = used(&world, &acme, &[(5, minutes_ago(90)), (7, minutes_ago(80))]).await;
    let foreign = super::past::Row { identifier: "not-ours".into(), units: 4, at: minutes_ago(70) };
    accept(&world, &acme, &foreign).await;
    for more in [&[][..], &["--repair"]] {
        let (code, found) = differences(&world, more).await;
        assert_eq!((code, found.len()), (DIFFERENT, 1));
        assert_eq!(sums(&found[0]), ("acme", [12, 16, -4, 0]));
        assert!(note(&found[0]).contains("more than the ledger"), "{}", note(&found[0]));
        assert!(note(&found[0]).contains("/v1/billing/meter_event_adjustments"), "{}", note(&found[0]));
    }
    // Too little in one minute and too much in another: what of it is wrong, a person must say.
    lose(&world, &rows[1]).await;
    let (code, found) = differences(&world, &["--repair"]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [12, 9, 3, 0])));
    lose(&world, &foreign).await;
    assert_eq!(differences(&world, &["--repair"]).await.0, OK);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_rows_are_named_and_not_replaced() {
    let world = world().await;
    let acme = customer(&world, "acme").await;
    let rows = used(&world, &acme, &[(5, minutes_ago(90)), (7, minutes_ago(80))]).await;
    seal(&world, std::slice::from_ref(&acme), "dead", &[(3, minutes_ago(90) + 1), (2, minutes_ago(85))]);
    lose(&world, &rows[0]).await;
    let (code, found) = differences(&world, &["--repair"]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [17, 7, 10, 5])));
    assert_eq!(found[0]["dead_units"], 5);
    assert!(note(&found[0]).contains("outbox retry"), "{}", note(&found[0]));
    assert_eq!(world.stripe.units_of(&acme.stripe_customer).await, 12);
    let (code, found) = differences(&world, &["--repair"]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [17, 12, 5, 0])));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_may_not_have_added_up_yet_is_not_repaired() {
    let world = World::builder().config("[billing]\nreconcile_settle = \"1h\"").start().await;
    let acme = customer(&world, "acme").await;
    let fresh = used(&world, &acme, &[(5, minutes_ago(50))]).await;
    let late = used(&world, &acme, &[(3, minutes_ago(90))]).await;
    let old = used(&world, &acme, &[(2, minutes_ago(120))]).await;
    for row in [&fresh[0], &late[0], &old[0]] {
        lose(&world, row).await;
    }
    // An old minute, but Stripe has heard of it a moment ago.
    let just_now =
        format!("UPDATE outbox SET settled_at = unixepoch() WHERE identifier = '{}'", late[0].identifier);
    super::past::store(&world).execute(&just_now, []).expect("a row");
    let (code, found) = differences(&world, &["--repair"]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [10, 0, 10, 2])));
    assert!(note(&found[0]).contains("reconcile_settle"), "{}", note(&found[0]));
    let (code, found) = differences(&world, &["--repair"]).await;
    assert_eq!((code, sums(&found[0])), (DIFFERENT, ("acme", [10, 2, 8, 0])), "not twice");

    let quick = super::past::with_settle(&world, "0s");
    assert_eq!(told(&reconcile_with(quick, &["--repair", "--json"]).await).0, OK);
    assert_eq!(world.stripe.units_of(&acme.stripe_customer).await, 10);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_port_compares_and_repairs_too() {
    let world = world().await;
    let acme = customer(&world, "acme").await;
    let rows = used(&world, &acme, &[(5, minutes_ago(90)), (7, minutes_ago(80))]).await;
    lose(&world, &rows[0]).await;
    let period = super::past::last_day();
    let found = world.operate("/admin/reconcile", &json!({ "period": period })).await;
    assert_eq!((found.status, sums(&found.json()["differences"][0])), (200, ("acme", [12, 7, 5, 0])));
    let repaired = world.operate("/admin/reconcile", &json!({ "period": period, "repair": true })).await;
    assert_eq!(sums(&repaired.json()["differences"][0]), ("acme", [12, 7, 5, 5]));
    assert_eq!(world.stripe.units_of(&acme.stripe_customer).await, 12);
    let wrong = [json!({ "period": "yesterday" }), json!({ "fix": true }), json!({ "repair": "yes" })];
    for wrong in wrong.into_iter().chain([json!([]), json!(["current", true]), json!(null)]) {
        let refused = world.operate("/admin/reconcile", &wrong).await;
        assert_eq!((refused.status, refused.code()), (400, "bad_request".to_owned()), "{wrong}");
    }
    let empty = world.admin(http::Method::POST, "/admin/reconcile", Some(crate::harness::ADMIN_TOKEN)).await;
    assert_eq!((empty.status, &empty.json()["differences"]), (200, &json!([])));
    assert_eq!(world.admin(http::Method::POST, "/admin/reconcile", None).await.status, 401);
    world.finish().await;
}
