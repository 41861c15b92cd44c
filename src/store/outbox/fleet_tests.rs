//! What a node makes of a row that was taken over of it, on a real store.

use hashbrown::HashMap;

use crate::store::{
    ARRIVED_BEFORE, Batch, FencedRow, Naming, NewFence, Outcome, SealPlan, SealScope, Store, TakenAnswer,
    TakenEvent, TakenRow, TotalKey, TotalUnits,
};

const NOW: i64 = 1_800_000_000;
const TOTAL: TotalKey = TotalKey { customer: 1, meter: 1, period_start: NOW - 100 };
const ROW: &str = "tg-x-1-1-1799999900-1";

struct Books {
    _folder: tempfile::TempDir,
    store: Store,
}

impl Books {
    /// A customer with 10 units in one total.
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        store.customer("acme".into(), Some("cus_1".into()), NOW).await.expect("a customer");
        let books = Self { _folder: folder, store };
        books.fold(TOTAL, 10, 0);
        books
    }

    fn fold(&self, total: TotalKey, units: i64, from: u64) {
        let units = TotalUnits { period_end: NOW + 9_000, reportable: units, ..TotalUnits::default() };
        let batch = Batch {
            totals: HashMap::from([(total, units)]),
            from: (u64::from(from > 0), from * 100),
            segment: 1,
            offset: (from + 1) * 100,
            next_record: from + 1,
            ..Batch::default()
        };
        self.store.fold(batch).expect("folds");
    }

    async fn seal(&self) {
        let plan = SealPlan {
            identifier_prefix: "tg-x".into(),
            naming: Naming::ByTotal,
            event_names: vec![(1, "api_calls".into())],
            scope: SealScope::All,
            now: NOW,
            limit: 100,
            after: None,
        };
        self.store.seal(plan).await.expect("seals");
    }

    /// Sealed, and tried once.
    async fn tried(self, outcome: Option<Outcome>) -> Self {
        self.seal().await;
        let due = self.store.claim_due(NOW, 9).await.expect("claims");
        assert_eq!(due[0].identifier, ROW);
        let outcomes = outcome.map(|outcome| (due[0].sequence, outcome)).into_iter().collect();
        self.store.settle_tries(outcomes, NOW).await.expect("settles");
        self
    }

    async fn reckon(&self, value: i64, answer: Option<TakenAnswer>, give_up: bool) -> usize {
        let row = FencedRow {
            identifier: ROW.into(),
            stripe_customer: "cus_1".into(),
            event_name: "api_calls".into(),
            value,
            timestamp: NOW - 50,
            at: NOW - 40,
            answer,
            sealed_there: Some((TOTAL, 1)),
            next_record: 1,
        };
        self.store.reckon(vec![row.clone()], give_up, NOW).await.expect("reckons");
        self.store.reckon(vec![row], give_up, NOW).await.expect("reckons the same again")
    }

    /// State and value of the row, and what is unsealed.
    async fn row(&self) -> (String, i64, u64) {
        let read = |db: &rusqlite::Connection| {
            let row = "SELECT state, value FROM outbox WHERE identifier = ?1";
            Ok(db.query_row(row, [ROW], |row| Ok((row.get(0)?, row.get(1)?)))?)
        };
        let (state, value) = self.store.read(read).await.expect("a row");
        let unsealed = self.store.unsealed_units().await.expect("sums").0;
        (state, value, unsealed.iter().map(|(_, units)| units).sum())
    }
}

fn accepted() -> Outcome {
    Outcome::Delivered { answer: "200 accepted".into() }
}

#[tokio::test]
async fn what_was_never_sent_from_here_takes_the_value_that_it_had_there() {
    let answers = [
        (None, "pending"),
        (Some(TakenAnswer::Dead), "pending"),
        (Some(TakenAnswer::Accepted), "delivered"),
        (Some(TakenAnswer::Unclear), "delivered"),
    ];
    for (answer, state) in answers {
        let books = Books::new().await;
        books.seal().await;
        assert_eq!(books.reckon(4, answer, false).await, 0);
        assert_eq!(books.row().await, (state.into(), 4, 6), "sealed, {answer:?}");
        let books = Books::new().await;
        assert_eq!(books.reckon(4, answer, false).await, 0);
        assert_eq!(books.row().await, (state.into(), 4, 6), "not sealed, {answer:?}");
    }
}

#[tokio::test]
async fn what_was_sent_from_both_counts_as_stripe_says() {
    let known = || Some(Outcome::Delivered { answer: ARRIVED_BEFORE.into() });
    let cases = [
        (None, Some(TakenAnswer::Accepted), ("delivered", 4, 6), 0),
        (None, Some(TakenAnswer::Known), ("delivered", 10, 0), 0),
        (None, Some(TakenAnswer::Unclear), ("pending", 10, 0), 1),
        (None, None, ("pending", 10, 0), 1),
        (known(), Some(TakenAnswer::Accepted), ("delivered", 4, 6), 0),
        (Some(accepted()), Some(TakenAnswer::Unclear), ("delivered", 10, 0), 0),
        (Some(accepted()), None, ("delivered", 10, 0), 0),
    ];
    for (own, answer, (state, value, unsealed), held) in cases {
        let books = Books::new().await.tried(own.clone()).await;
        assert_eq!(books.reckon(4, answer, false).await, held, "{own:?} {answer:?}");
        assert_eq!(books.row().await, (state.into(), value, unsealed), "{own:?} {answer:?}");
    }
    let books = Books::new().await.tried(None).await;
    assert_eq!(books.reckon(4, None, true).await, 0);
    assert_eq!(books.row().await, ("dead".into(), 10, 0), "a person decides");
}

#[tokio::test]
async fn a_row_that_was_settled_and_forgotten_is_not_sealed_again() {
    let books = Books::new().await.tried(Some(accepted())).await;
    books.store.write(|db| Ok(db.execute("DELETE FROM outbox", [])?)).await.expect("forgets");
    assert_eq!(books.reckon(10, None, false).await, 0);
    assert_eq!(books.store.outbox_counts().await.expect("counts").pending, 0);
}

#[tokio::test]
async fn a_copy_leaves_out_what_was_taken_back_after_it_had_been_sealed() {
    let books = Books::new().await.tried(Some(accepted())).await;
    books.fold(TOTAL, -3, 1);
    books.fold(TotalKey { period_start: NOW, ..TOTAL }, 5, 2);
    let unsent = books.store.unsent(9).await.expect("reads");
    assert_eq!(unsent.rows, []);
    let totals: Vec<_> = unsent.totals.iter().map(|total| (total.value, total.number)).collect();
    assert_eq!(totals, [(2, 1)], "as sealing does");
}

#[tokio::test]
async fn what_a_taker_hears_is_certain_only_where_nobody_tried_before_it() {
    for (inherited, answer) in [(false, TakenAnswer::Known), (true, TakenAnswer::Unclear)] {
        let books = Books::new().await;
        let new = NewFence { slot: 7, ledger: "l".into(), at_millis: 1, inherited };
        let fence = books.store.keep_fence(new, NOW).await.expect("keeps");
        let event = TakenEvent {
            identifier: "tg-l-1".into(),
            customer: "acme".into(),
            meter: 1,
            stripe_customer: "cus_1".into(),
            event_name: "api_calls".into(),
            period_start: NOW - 100,
            value: 4,
            timestamp: NOW - 50,
            at: NOW - 40,
        };
        let row = TakenRow { field: "t1.1.1".into(), body: "{}".into(), event: Some(event) };
        books.store.take_rows(fence.id, vec![row.clone()], NOW).await.expect("takes");
        books.store.take_rows(fence.id, vec![row], NOW).await.expect("takes no more");
        assert_eq!(books.store.taken_answers(&fence).await.expect("reads"), (vec![], false));
        let due = books.store.claim_due(NOW, 9).await.expect("claims");
        let known = Outcome::Delivered { answer: ARRIVED_BEFORE.into() };
        assert_eq!((due.len(), due[0].first_tried_at), (1, Some(NOW - 40)));
        books.store.settle_tries(vec![(due[0].sequence, known)], NOW).await.expect("settles");
        let answers = books.store.taken_answers(&fence).await.expect("reads");
        assert_eq!(answers, (vec![("tg-l-1".into(), answer)], true));
        books.store.drop_fence(fence.id).await.expect("drops");
        assert_eq!(books.store.fences().await.expect("reads"), []);
        assert_eq!(books.store.outbox_counts().await.expect("counts").pending, 0);
    }
}
