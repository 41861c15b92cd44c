//! What may have been sent before a restore is told apart from what comes after it.

use super::*;
use crate::store::{Account, Naming, OutboxRow, Outcome, SealPlan, SealScope, Sealed};

const MADE: i64 = 1_800_000_000;
const RESTORED: i64 = MADE + 600;
const NOW: i64 = RESTORED + 60;

/// A customer whom Stripe knows and one whom it does not, in a period of which 60 of 100 units are sealed, and 5 open.
const BEFORE: &str = "
    INSERT INTO customers (number, name, stripe_customer, linked_by, linked_at, first_seen)
    VALUES (1, 'acme', 'cus_1', 'claim', 0, 0), (2, 'late', NULL, NULL, NULL, 0);
    INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage, reportable, sealed,
                        sealable, first_at_micros, last_at_micros, open)
    VALUES (1, 7, 1799000000, 1801000000, 100, 0, 0, 100, 60, 1, 0, 1799999000000000, 5),
           (2, 7, 1799000000, 1801000000, 30, 0, 0, 30, 0, 0, 0, 1799999000000000, 0);
    INSERT INTO estimates VALUES (9, 7, 1, 1799000000, 5);
    INSERT INTO outbox (identifier, customer, meter, period_start, stripe_customer, event_name, value, timestamp, state,
                        sealed_at, next_try_at, first_tried_at, last_tried_at, answer)
    VALUES ('tg-old-1', 1, 7, 1799000000, 'cus_1', 'api_calls', 60, 1799990000, 'pending', 0, 0, NULL, NULL, NULL),
           ('tg-old-2', 1, 8, 1799000000, 'cus_1', 'other', 9, 1799990000, 'dead', 0, 0, 5, 5, '400 no meter'),
           ('tg-old-3', 1, 9, 1799000000, 'cus_1', 'third', 9, 1799990000, 'dead', 0, 0, NULL, NULL, 'rejected');";

async fn change(store: &Store, change: &'static str) {
    store.write(move |db| Ok(db.execute_batch(change)?)).await.expect("changes");
}

async fn ask<T: rusqlite::types::FromSql + Send + 'static>(store: &Store, query: &'static str) -> T {
    store.read(move |db| Ok(db.query_row(query, [], |row| row.get(0))?)).await.expect(query)
}

fn restored() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("opens");
    store.write_blocking(|db| Ok(db.execute_batch(BEFORE)?)).expect("changes");
    store.note_reached().expect("notes");
    let found = store.note_restored(MADE, RESTORED).expect("notes");
    assert_eq!(found, Restored { rows: 1, units: 35 + 30, estimates: 5 });
    (folder, store)
}

async fn seal(store: &Store) -> Sealed {
    let plan = SealPlan {
        identifier_prefix: "tg-new".into(),
        naming: Naming::BySequence,
        event_names: vec![(6, "others".into()), (7, "api_calls".into())],
        scope: SealScope::All,
        now: NOW,
        limit: 9,
        after: None,
    };
    store.seal(plan).await.expect("seals")
}

async fn delivered(store: &Store, row: &OutboxRow) {
    let accepted = Outcome::Delivered { answer: "accepted".into() };
    store.settle_tries(vec![(row.sequence, accepted)], NOW).await.expect("settles");
}

#[tokio::test]
async fn a_row_that_waits_counts_as_tried_since_the_backup_and_a_dead_one_as_not_surely_refused() {
    let (_folder, store) = restored();
    let row = store.claim_due(NOW, 9).await.expect("claims").remove(0);
    assert_eq!((row.first_tried_at, row.restored), (Some(MADE), false));
    assert!(!row.is_unanswered(NOW), "under its name it may be sent");
    assert!(row.is_unanswered(MADE + 24 * 3_600));
    assert_eq!(ask::<Option<String>>(&store, "SELECT answer FROM outbox WHERE state = 'dead'").await, None);
}

#[tokio::test]
async fn a_dead_row_that_was_never_tried_here_may_have_been_tried_again_after_the_backup() {
    let (_folder, store) = restored();
    store.retry_dead(vec!["tg-old-3".into()], NOW).await.expect("retries");
    let due = store.claim_due(NOW, 9).await.expect("claims");
    let row = due.iter().find(|row| row.identifier == "tg-old-3").expect("due");
    assert_eq!(row.first_tried_at, Some(MADE));
    assert!(row.is_unanswered(MADE + 24 * 3_600), "looked for, not sent once more");
}

#[tokio::test]
async fn what_was_not_sealed_gets_a_row_of_its_own_that_is_never_sent_unseen() {
    let (_folder, store) = restored();
    let before = store.claim_due(NOW, 9).await.expect("claims").remove(0);
    change(&store, "UPDATE totals SET reportable = reportable + 7 WHERE customer = 1").await;
    assert_eq!(seal(&store).await.rows, 0, "the row before it has no answer yet");
    delivered(&store, &before).await;
    assert_eq!(seal(&store).await.units, 35, "without what was open, and without what came since");
    let row = store.claim_due(NOW, 9).await.expect("claims").remove(0);
    assert_eq!((row.value, &*row.identifier), (35, "tg-new-4"));
    assert!(row.restored);
    assert_eq!((row.first_tried_at, row.last_tried_at), (Some(RESTORED), Some(RESTORED)));
    assert!(row.is_unanswered(NOW));
    delivered(&store, &row).await;
    assert_eq!(seal(&store).await.units, 7);
    assert!(!store.claim_due(NOW, 9).await.expect("claims").remove(0).restored);
}

#[tokio::test]
async fn who_is_linked_after_the_restore_may_have_been_linked_before_it() {
    let (_folder, store) = restored();
    change(
        &store,
        "UPDATE customers SET stripe_customer = 'cus_2', linked_by = 'claim', linked_at = 0 WHERE number = 2",
    )
    .await;
    change(&store, "UPDATE totals SET sealable = 1, reportable = reportable + 4 WHERE customer = 2").await;
    assert_eq!(seal(&store).await.units, 30);
    let rows = store.claim_due(NOW, 9).await.expect("claims");
    let row = rows.iter().find(|row| row.stripe_customer == "cus_2").expect("a row");
    assert!(row.restored);
}

#[tokio::test]
async fn of_a_row_that_has_arrived_in_part_only_the_rest_is_sent() {
    let (_folder, store) = restored();
    let before = store.claim_due(NOW, 9).await.expect("claims").remove(0);
    delivered(&store, &before).await;
    seal(&store).await;
    let row = store.claim_due(NOW, 9).await.expect("claims").remove(0);
    let part = Outcome::PartArrived { units: 20, reason: "20 of 35".into() };
    store.settle_tries(vec![(row.sequence, part)], NOW).await.expect("settles");
    let rest = store.claim_due(NOW, 9).await.expect("claims").remove(0);
    assert_eq!((rest.value, rest.restored, &rest.identifier), (15, false, &row.identifier));
    assert!(!rest.is_unanswered(NOW));
    assert_eq!(ask::<i64>(&store, "SELECT value FROM outbox WHERE identifier = 'tg-new-4-found'").await, 20);
    assert_eq!(
        ask::<i64>(&store, "SELECT sum(value) FROM outbox WHERE customer = 1 AND meter = 7").await,
        95
    );
}

/// Seals what was restored of `acme`, once the row before it has its answer.
async fn sealed(store: &Store) -> OutboxRow {
    let before = store.claim_due(NOW, 9).await.expect("claims").remove(0);
    delivered(store, &before).await;
    seal(store).await;
    store.claim_due(NOW, 9).await.expect("claims").remove(0)
}

async fn sought(store: &Store, row: &OutboxRow) -> (i64, i64) {
    let sought = store.sought_in(row.sequence).await.expect("reads");
    (sought.start, sought.end)
}

#[tokio::test]
async fn it_is_looked_for_from_the_last_of_its_units_to_the_restore_whatever_came_since() {
    let (_folder, store) = restored();
    change(&store, "UPDATE totals SET last_at_micros = 1800000650000000").await;
    let row = sealed(&store).await;
    assert_eq!(sought(&store, &row).await, (1_799_999_000, RESTORED + 1));
    assert_eq!(row.timestamp, RESTORED, "where it can be, and no later");
    change(&store, "UPDATE totals SET period_end = 1800000300").await;
    assert_eq!(sought(&store, &row).await, (1_799_999_000, 1_800_000_300), "not in the next period");
}

#[tokio::test]
async fn what_the_ledger_alone_held_may_have_been_sent_piece_by_piece() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("opens");
    change(&store, BEFORE).await;
    store.note_reached().expect("notes");
    change(
        &store,
        "UPDATE totals SET reportable = reportable + 7, last_at_micros = 1800000500000000 WHERE customer = 1;
         INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage, reportable,
                             sealable, first_at_micros, last_at_micros)
         VALUES (1, 6, 1799000000, 1801000000, 9, 0, 0, 9, 1, 1800000100000000, 1800000500000000)",
    )
    .await;
    store.note_restored(MADE, RESTORED).expect("notes");
    sealed(&store).await;
    let rows = store.claim_due(NOW, 9).await.expect("claims");
    for (units, from) in [(42, 1_799_999_000), (9, 1_800_000_100)] {
        let row = rows.iter().find(|row| row.value == units).expect("a row");
        assert_eq!(sought(&store, row).await.0, from, "since the last that the store had counted");
    }
}

#[tokio::test]
async fn where_another_period_began_inside_of_it_all_of_it_is_looked_into() {
    for (edge, start) in [(1_799_500_000, 1_799_000_000), (1_799_999_001, 1_799_999_000)] {
        let (_folder, store) = restored();
        let row = sealed(&store).await;
        // News that came after it was sealed.
        let news = "INSERT INTO subscriptions (id, stripe_customer, facts, version, window_start, window_end,
                                               window_rank)
                    VALUES ('sub_1', 'cus_1', '', 1, ?1, ?1 + 9000000, 1)";
        store.write(move |db| Ok(db.execute(news, [edge])?)).await.expect("a subscription");
        change(&store, "UPDATE totals SET period_end = 1800000300, last_at_micros = 1800000650000000").await;
        assert_eq!(sought(&store, &row).await.0, start, "{edge}");
        let end = if start == 1_799_000_000 { RESTORED + 1 } else { 1_800_000_300 };
        assert_eq!(sought(&store, &row).await.1, end, "{edge}");
    }
}

#[tokio::test]
async fn two_customers_whom_one_at_stripe_stands_for_do_not_find_the_same_units() {
    let (_folder, store) = restored();
    change(
        &store,
        "UPDATE customers SET stripe_customer = 'cus_1' WHERE number = 2;
         UPDATE totals SET sealable = 1, restored_from = 1799999700, last_at_micros = 1799999700000000
         WHERE customer = 2;",
    )
    .await;
    sealed(&store).await;
    let rows = store.claim_due(NOW, 9).await.expect("claims");
    let of = |units| rows.iter().find(|row| row.value == units).expect("a row");
    let (early, late) = (of(35), of(30));
    assert_eq!(sought(&store, late).await.0, 1_799_999_700);
    let account = Account { stripe_customer: "cus_1".into(), event_name: "api_calls".into() };
    let waits = async || {
        let span = store.sought_in(late.sequence).await.expect("reads");
        store.waits_before(account.clone(), span, late.sequence).await.expect("reads")
    };
    assert!(waits().await, "one after the other");
    delivered(&store, early).await;
    assert!(!waits().await);
    assert_eq!(sought(&store, late).await.0, 1_799_999_000, "what was found may be in all of this");
}

#[tokio::test]
async fn restored_once_more_it_is_looked_for_from_where_it_was_before() {
    let (_folder, store) = restored();
    change(&store, "UPDATE totals SET reportable = reportable + 1, last_at_micros = 1800000650000000").await;
    store.note_reached().expect("notes");
    store.note_restored(NOW, NOW + 600).expect("notes");
    change(&store, "UPDATE outbox SET next_try_at = 0").await;
    let row = sealed(&store).await;
    assert_eq!(row.value, 36);
    assert_eq!(sought(&store, &row).await, (1_799_999_000, NOW + 601));
}

#[tokio::test]
async fn a_number_that_the_ledger_knows_alone_becomes_nobody_elses() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("opens");
    change(
        &store,
        "INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage, reportable,
                             sealable, first_at_micros, last_at_micros)
         VALUES (7, 2, 0, 9, 5, 0, 0, 5, 0, 0, 0);
         INSERT INTO hourly VALUES (9, 0, 3, 2, 1, 1);
         INSERT INTO member_totals VALUES (7, 0, 8, 2, 9, 5);",
    )
    .await;
    store.note_restored(MADE, RESTORED).expect("notes");
    assert_eq!(store.customer("new".into(), None, NOW).await.expect("registers").number, 10);
    assert_eq!(store.customer_name(7).await.expect("reads").expect("somebody"), "unknown 7");
    assert_eq!(store.number_member(10, "somebody".into()).await.expect("registers"), 9);
    assert_eq!(store.member_names(vec![8]).await.expect("reads"), [(8, "unknown 8".to_owned())]);
}
