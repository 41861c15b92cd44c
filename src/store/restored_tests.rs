//! What may have been sent before a restore is told apart from what comes after it.

use super::*;
use crate::domain::period::Period;
use crate::store::{Naming, OutboxRow, Outcome, SealPlan, SealScope, Sealed};

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
           ('tg-old-2', 1, 8, 1799000000, 'cus_1', 'other', 9, 1799990000, 'dead', 0, 0, 5, 5, '400 no meter');";

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
    let found = store.note_restored(MADE, RESTORED).expect("notes");
    assert_eq!(found, Restored { rows: 1, units: 35 + 30, estimates: 5 });
    (folder, store)
}

async fn seal(store: &Store) -> Sealed {
    let plan = SealPlan {
        identifier_prefix: "tg-new".into(),
        naming: Naming::BySequence,
        event_names: vec![(7, "api_calls".into())],
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
    assert_eq!((row.first_tried_at, row.restored), (Some(MADE), None));
    assert!(!row.is_unanswered(NOW), "under its name it may be sent");
    assert!(row.is_unanswered(MADE + 24 * 3_600));
    assert_eq!(ask::<Option<String>>(&store, "SELECT answer FROM outbox WHERE state = 'dead'").await, None);
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
    assert_eq!((row.value, &*row.identifier), (35, "tg-new-3"));
    assert_eq!(row.restored, Some(Period { start: 1_799_000_000, end: 1_801_000_000 }));
    assert_eq!((row.first_tried_at, row.last_tried_at), (Some(RESTORED), Some(RESTORED)));
    assert!(row.is_unanswered(NOW));
    delivered(&store, &row).await;
    assert_eq!(seal(&store).await.units, 7);
    assert_eq!(store.claim_due(NOW, 9).await.expect("claims").remove(0).restored, None);
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
    assert!(row.restored.is_some());
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
    assert_eq!((rest.value, rest.restored, &rest.identifier), (15, None, &row.identifier));
    assert!(!rest.is_unanswered(NOW));
    assert_eq!(ask::<i64>(&store, "SELECT value FROM outbox WHERE identifier = 'tg-new-3-found'").await, 20);
    assert_eq!(
        ask::<i64>(&store, "SELECT sum(value) FROM outbox WHERE customer = 1 AND meter = 7").await,
        95
    );
}
