//! What `tollgate reconcile` shows.

use serde_json::json;

use super::past::{customer, differences, lose, minutes_ago, note, reconcile, seal, sums, used};
use crate::harness::{World, tollgate};

#[tokio::test(flavor = "multi_thread")]
async fn the_unfinished_minute_waits_and_what_is_under_way_is_unsettled() {
    let world = World::start().await;
    let (customer_of_now, _) = world.subscriber("now", "pro").await;
    assert_eq!(customer_of_now.get("/signals").await.charged(), 1);
    world.flush_all().await;
    let acme = customer(&world, "acme").await;
    used(&world, &acme, &[(5, minutes_ago(90))]).await;
    assert_eq!(differences(&world, &[]).await, (Some(0), vec![]));
    // Tried, taken by Stripe, and nobody knows.
    let row = seal(&world, std::slice::from_ref(&acme), "dead", &[(3, minutes_ago(80))]).remove(0);
    super::past::accept(&world, &acme, &row).await;
    super::past::hold_back(&world).await;
    let tried = "UPDATE outbox SET state = 'pending' WHERE state = 'dead'";
    super::past::store(&world).execute(tried, []).expect("a row");
    let (code, found) = differences(&world, &["--repair"]).await;
    assert_eq!((code, sums(&found[0])), (Some(1), ("acme", [5, 8, -3, 0])));
    assert!(note(&found[0]).contains("unsettled: 3 units"), "{}", note(&found[0]));
    assert_eq!(found[0]["pending_units"], 3);
    world.stripe.forget_faults().await;
    world.flush_all().await;
    assert_eq!(differences(&world, &[]).await, (Some(0), vec![]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_who_share_one_at_stripe_are_compared_together() {
    let world = World::start().await;
    let (one, shared) = world.subscriber("one", "pro").await;
    let two = world.claiming("two", Some(&shared.customer));
    for customer in [&one, &two] {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    world.flush_all().await;
    // Both have used it two hours ago.
    let of_both = format!(
        "INSERT INTO outbox (identifier, customer, meter, period_start, stripe_customer, event_name, value, timestamp,
                             state, sealed_at, next_try_at, settled_at)
         SELECT 'tg-' || number, number, (SELECT number FROM names WHERE kind = 'meter'), 0, stripe_customer,
                'api_calls', 2, {}, 'dead', 0, 0, 0
         FROM customers WHERE stripe_customer = '{}'",
        minutes_ago(120),
        shared.customer
    );
    super::past::store(&world).execute(&of_both, []).expect("rows");
    let (code, found) = differences(&world, &[]).await;
    assert_eq!((code, found.len()), (Some(1), 1), "{found:?}");
    assert_eq!(sums(&found[0]), ("one, two", [4, 0, 4, 0]));
    super::past::store(&world).execute("DELETE FROM outbox WHERE state = 'dead'", []).expect("rows");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_being_away_is_an_error_and_not_a_difference() {
    let world = World::start().await;
    let acme = customer(&world, "acme").await;
    used(&world, &acme, &[(5, minutes_ago(90))]).await;
    let away = json!({ "operation": "meters.*", "status": 500, "times": 1_000 });
    world.stripe.hook("faults", away).await;
    let ended = reconcile(&world, &["--json", "--repair"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("reading Stripe's sums: stripe answered 500"), "{}", ended.stderr);
    assert!(ended.stderr.contains("run it again"), "{}", ended.stderr);
    world.stripe.forget_faults().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_of_which_nothing_is_kept_or_that_has_not_begun_is_an_error() {
    let world = World::start().await;
    for (period, why) in [("1999-01", "ledger.retention"), ("2999-01", "has not begun")] {
        let ended = reconcile(&world, &["--period", period]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{period}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{period}: {}", ended.stderr);
        let refused = world.operate("/admin/reconcile", &json!({ "period": period })).await;
        assert_eq!((refused.status, refused.code()), (400, "bad_request".to_owned()), "{period}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_begins_before_what_is_kept_says_that_it_is_cut() {
    let world = World::start().await;
    customer(&world, "acme").await;
    let since = |days: i64| {
        let start = tollgate::domain::period::rfc3339(minutes_ago(days * 1_440));
        format!("{start}..{}", tollgate::domain::period::rfc3339(minutes_ago(0)))
    };
    let ended = reconcile(&world, &["--period", &since(60)]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("1 customer compared"), "{}", ended.stdout);
    assert!(ended.stderr.contains("only a part of the period is compared"), "{}", ended.stderr);
    let report = async |days| {
        let ended = reconcile(&world, &["--json", "--period", &since(days)]).await;
        serde_json::from_str::<serde_json::Value>(&ended.stdout).expect("JSON")
    };
    let cut = report(60).await;
    assert!(cut["kept_since"].is_string() && cut["kept_since"] == cut["start"], "{cut}");
    assert!(cut["note"].as_str().is_some_and(|note| note.contains("ledger.retention")), "{cut}");
    let whole = report(30).await;
    assert_eq!((&whole["kept_since"], &whole["note"]), (&json!(null), &json!("")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_stripes_delay_and_what_can_be_repaired_are_told_apart() {
    let world = World::builder().config("[billing]\nreconcile_settle = \"1h\"").start().await;
    let acme = customer(&world, "acme").await;
    let only_note = async || {
        let (code, found) = differences(&world, &[]).await;
        assert_eq!((code, found.len()), (Some(1), 1), "{found:?}");
        note(&found[0]).to_owned()
    };
    let fresh = used(&world, &acme, &[(5, minutes_ago(50))]).await.remove(0);
    lose(&world, &fresh).await;
    let again = tollgate::domain::period::rfc3339(fresh.at + 60 + 3_600);
    let delay =
        format!("Stripe may still be adding these up: look again after {again} (billing.reconcile_settle)");
    assert_eq!(only_note().await, delay);
    // An old minute that Stripe has accepted a moment ago.
    let late = used(&world, &acme, &[(3, minutes_ago(90))]).await.remove(0);
    let settled_at = |at: &str| {
        let change = format!("UPDATE outbox SET settled_at = {at} WHERE identifier = '{}'", late.identifier);
        super::past::store(&world).execute(&change, []).expect("a row");
    };
    settled_at("unixepoch()");
    lose(&world, &late).await;
    let note = only_note().await;
    assert!(note.contains("adding these up") && !note.contains("--repair"), "{note}");
    settled_at("0");
    assert_eq!(only_note().await, format!("{delay}; run with --repair"));
    super::past::accept(&world, &acme, &super::past::Row { identifier: "made-good".into(), ..fresh }).await;
    assert_eq!(only_note().await, "run with --repair");
    assert_eq!(reconcile(&world, &["--repair"]).await.code, Some(0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_what_to_do() {
    let mut world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = world.gateway.config.display().to_string();
    let ended = tollgate(folder.path(), &["reconcile", "--config", &config, "--period", "yesterday"], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("START..END"), "{}", ended.stderr);
    let ended = tollgate(folder.path(), &["reconcile", "--config", &config, "--period", "previous"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("no difference"), "{}", ended.stdout);
    world.gateway.stop().await;
    let elsewhere = super::past::with_data_dir(&world, folder.path());
    let ended = super::past::reconcile_with(elsewhere, &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no gateway has run there"), "{}", ended.stderr);
    world.finish().await;
}
