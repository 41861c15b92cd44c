//! What another try may and may not do.

use hashbrown::HashMap;

use crate::store::{Batch, Outcome, Rejection, SealPlan, SealScope, TotalKey, TotalUnits};

use super::*;

const NOW: i64 = 1_800_000_000;
const START: i64 = NOW - 100;
const HOUR: i64 = 3_600;

struct Outbox {
    store: Store,
    folder: tempfile::TempDir,
    folded: u64,
}

impl Outbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        Self { store, folder, folded: 0 }
    }

    /// Uses and seals some units of the one total; answers the row's number and identifier.
    async fn seal(&mut self, units: i64) -> (i64, String) {
        let customer =
            self.store.customer("acme".into(), Some("cus_1".into()), NOW).await.expect("a customer").number;
        let key = TotalKey { customer, meter: 1, period_start: START };
        let units = TotalUnits { period_end: NOW + HOUR, reportable: units, ..TotalUnits::default() };
        let (from, to) = (self.folded, self.folded + 100);
        let batch = Batch {
            totals: HashMap::from([(key, units)]),
            from: (u64::from(from > 0), from),
            segment: 1,
            offset: to,
            next_record: to,
            ..Batch::default()
        };
        self.store.fold(batch).expect("folds");
        self.folded = to;
        let plan = SealPlan {
            naming: crate::store::Naming::BySequence,
            identifier_prefix: "tg-x".into(),
            event_names: vec![(1, "api_calls".into())],
            scope: SealScope::All,
            now: NOW,
            limit: 100,
            after: None,
        };
        assert_eq!(self.store.seal(plan).await.expect("seals").rows, 1);
        let newest = "SELECT sequence, identifier FROM outbox ORDER BY sequence DESC LIMIT 1";
        self.store
            .read_blocking(|db| Ok(db.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?)))?))
            .expect("reads")
    }

    /// Tries what is due at an instant, and notes the outcome.
    async fn tried(&self, at: i64, outcome: Outcome) {
        let due = self.store.claim_due(at, 100).await.expect("claims");
        let outcomes = due.iter().map(|row| (row.sequence, outcome.clone())).collect();
        self.store.settle_tries(outcomes, at).await.expect("settles");
    }

    /// Of a row: state, first tried, answers.
    fn row(&self, sequence: i64) -> (String, Option<i64>, u32) {
        let row = "SELECT state, first_tried_at, answers FROM outbox WHERE sequence = ?1";
        self.store
            .read_blocking(move |db| {
                Ok(db.query_row(row, [sequence], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
            })
            .expect("reads")
    }

    fn retry(&self, identifiers: &[String], at: i64) -> RetryOutcome {
        retry_dead_in(self.folder.path(), identifiers, at).expect("retries")
    }
}

fn refused() -> Outcome {
    Outcome::Dead { reason: "no such meter".into(), refused: true }
}

fn unanswered(at: i64) -> Outcome {
    Outcome::Retry { at, answered: false, never_arrived: None, reason: "timed out".into() }
}

fn retried(identifier: &str, queued: bool, unanswered_since: Option<i64>) -> RetryOutcome {
    RetryOutcome::Retried(vec![Retried { identifier: identifier.to_owned(), queued, unanswered_since }])
}

#[tokio::test]
async fn what_stripe_refused_at_once_goes_again_under_another_key_with_23_new_hours() {
    let mut outbox = Outbox::new();
    let (row, identifier) = outbox.seal(5).await;
    outbox.tried(NOW, refused()).await;
    assert_eq!(outbox.row(row), ("dead".into(), Some(NOW), 1));
    assert_eq!(outbox.retry(&[], NOW + 30 * HOUR), retried(&identifier, false, None));
    assert_eq!(outbox.row(row), ("pending".into(), None, 1));
    let due = outbox.store.claim_due(NOW + 30 * HOUR, 10).await.expect("claims");
    assert_eq!((due[0].identifier.as_str(), due[0].value, due[0].answers), (identifier.as_str(), 5, 1));
}

#[tokio::test]
async fn the_23_hours_of_a_try_without_an_answer_go_on_through_a_refusal_and_a_retry() {
    let mut outbox = Outbox::new();
    let (row, identifier) = outbox.seal(5).await;
    outbox.tried(NOW, unanswered(NOW + 60)).await;
    outbox.tried(NOW + 60, refused()).await;
    let outcome = outbox.retry(std::slice::from_ref(&identifier), NOW + HOUR);
    assert_eq!(outcome, retried(&identifier, false, Some(NOW)), "the first try may have arrived");
    assert_eq!(outbox.row(row), ("pending".into(), Some(NOW), 1));
}

#[tokio::test]
async fn a_try_without_an_answer_is_not_forgotten_for_a_refusal_within_its_second() {
    for then in [NOW, NOW - 2] {
        let mut outbox = Outbox::new();
        let (row, identifier) = outbox.seal(5).await;
        outbox.tried(NOW, unanswered(then)).await;
        // As soon as the first, or by a clock that was set back.
        outbox.tried(then, refused()).await;
        assert_eq!(outbox.retry(&[], NOW), retried(&identifier, false, Some(NOW)));
        assert_eq!(outbox.row(row).1, Some(NOW));
    }
}

#[tokio::test]
async fn what_died_of_an_unclear_sum_is_compared_again_and_not_sent() {
    let mut outbox = Outbox::new();
    let (row, identifier) = outbox.seal(5).await;
    outbox.tried(NOW, Outcome::Dead { reason: "Stripe's sum does not tell".into(), refused: false }).await;
    let outcome = outbox.retry(&[], NOW + 30 * HOUR);
    assert_eq!(outcome, retried(&identifier, false, Some(NOW)), "its only try had no answer");
    assert_eq!(outbox.row(row).1, Some(NOW));
}

#[tokio::test]
async fn what_was_rejected_and_then_died_of_an_unclear_sum_is_compared_again_and_not_sent() {
    let mut outbox = Outbox::new();
    let (row, identifier) = outbox.seal(5).await;
    outbox.tried(NOW, Outcome::Delivered { answer: "200 accepted".into() }).await;
    let rows = vec![(identifier.clone(), "no_meter".to_owned())];
    let report = Rejection { reported_at: NOW, rows, detail: "evt_1".into() };
    assert_eq!(outbox.store.reject(report, NOW).await.expect("applies"), 1);
    assert_eq!(outbox.retry(&[], NOW + HOUR), retried(&identifier, false, None));
    let tried = NOW + HOUR;
    outbox.tried(tried, unanswered(tried + 60)).await;
    let unclear = Outcome::Dead { reason: "Stripe's sum does not tell".into(), refused: false };
    outbox.tried(tried + 24 * HOUR, unclear).await;
    let outcome = outbox.retry(&[], tried + 30 * HOUR);
    assert_eq!(
        outcome,
        retried(&identifier, false, Some(tried)),
        "the try since the rejection may have arrived"
    );
    assert_eq!(outbox.row(row).1, Some(tried));
}

#[tokio::test]
async fn all_dead_rows_are_retried_however_many() {
    let outbox = Outbox::new();
    let rows = i64::from(SLICE) * 2 + 1;
    let dead = format!(
        "INSERT INTO outbox (identifier, customer, meter, period_start, stripe_customer, event_name, value, timestamp,
                             state, sealed_at, next_try_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         SELECT 'tg-' || i, i, 1, 0, 'cus_1', 'api_calls', 1, 0, 'dead', 0, 0 FROM n"
    );
    outbox.store.write(move |db| Ok(db.execute_batch(&dead)?)).await.expect("rows");
    let half = outbox.store.retry_dead(vec!["tg-1".into()], NOW).await.expect("retries");
    assert_eq!(half.into_rows().expect("known").len(), 1);
    let rest = outbox.retry(&[], NOW).into_rows().expect("known");
    assert_eq!(rest.len(), SLICE as usize * 2);
    assert_eq!(outbox.store.outbox_counts().await.expect("counts").dead, 0);
}

#[tokio::test]
async fn a_total_never_has_two_unanswered_rows_and_those_asked_for_follow_one_another() {
    let mut outbox = Outbox::new();
    let (first, _) = outbox.seal(5).await;
    outbox.tried(NOW, refused()).await;
    let (second, _) = outbox.seal(3).await;
    outbox.tried(NOW, refused()).await;
    let (third, _) = outbox.seal(2).await;
    let RetryOutcome::Retried(rows) = outbox.retry(&[], NOW) else { panic!("retried") };
    assert!(rows.iter().all(|row| row.queued), "the third is unanswered: {rows:?}");
    outbox.retry(&[], NOW);
    assert_eq!(outbox.row(first).2, 1, "asked for twice, tried once");
    let states = || [first, second, third].map(|row| outbox.row(row).0);
    assert_eq!(states(), ["dead", "dead", "pending"]);
    let soon = i64::MAX;
    outbox.tried(NOW, Outcome::Delivered { answer: "200 accepted".into() }).await;
    assert_eq!(states(), ["pending", "dead", "delivered"]);
    outbox.tried(soon, refused()).await;
    assert_eq!(states(), ["dead", "pending", "delivered"], "one that is refused again holds up no other");
    outbox.tried(soon, Outcome::Delivered { answer: "200 accepted".into() }).await;
    assert_eq!(states(), ["dead", "delivered", "delivered"], "and is not tried for ever");
}

#[tokio::test]
async fn one_wrong_name_changes_nothing() {
    let mut outbox = Outbox::new();
    let (row, dead) = outbox.seal(5).await;
    outbox.tried(NOW, refused()).await;
    let (_, pending) = outbox.seal(3).await;
    let wrong = outbox.retry(&[dead.clone(), "tg-x-99".into()], NOW);
    assert_eq!(wrong, RetryOutcome::Unknown("tg-x-99".into()));
    let wrong = outbox.retry(&[dead, pending.clone()], NOW);
    assert_eq!(wrong, RetryOutcome::NotDead { identifier: pending, state: "pending".into() });
    assert_eq!(outbox.row(row), ("dead".into(), Some(NOW), 1));
}

#[test]
fn without_a_store_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("nowhere");
    assert!(retry_dead_in(&missing, &[], NOW).is_err());
    assert!(crate::store::StoreReader::open(&missing).is_err());
    assert!(crate::store::StoreReader::open(folder.path()).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn commands_migrate_nothing() {
    let outbox = Outbox::new();
    for (version, word) in [(1, "start the gateway once"), (99, "newer")] {
        let db = Connection::open(outbox.folder.path().join("tollgate.db")).expect("opens");
        db.pragma_update(None, "user_version", version).expect("a version");
        let error = crate::store::StoreReader::open(outbox.folder.path()).err().expect("refused").to_string();
        assert!(error.contains(word), "{error}");
    }
}
