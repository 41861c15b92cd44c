//! What a node makes of a row that was taken over of it, on a real store.

use hashbrown::HashMap;

use crate::store::{
    ARRIVED_BEFORE, Batch, Cutoffs, Erased, FencedRow, Naming, NewFence, Outcome, SealPlan, SealScope, Store,
    TakenAnswer, TakenEvent, TakenRow, TotalKey, TotalUnits,
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

fn taken_row(identifier: &str, body: &str) -> TakenRow {
    let event = TakenEvent {
        identifier: identifier.into(),
        customer: "acme".into(),
        meter: 1,
        stripe_customer: "cus_1".into(),
        event_name: "api_calls".into(),
        period_start: NOW - 100,
        value: 4,
        timestamp: NOW - 50,
        at: NOW - 40,
    };
    TakenRow { field: format!("r{identifier}"), body: body.into(), event: Some(event) }
}

async fn fence(store: &Store, ledger: &str, at_millis: i64) -> i64 {
    let new = NewFence { slot: 7, ledger: ledger.into(), at_millis, inherited: false };
    store.keep_fence(new, NOW).await.expect("keeps").id
}

#[tokio::test]
async fn what_a_lost_taker_had_taken_over_goes_with_the_fence_of_the_node_that_it_is_of() {
    for taker_first in [true, false] {
        let books = Books::new().await;
        let (first, taker) = (fence(&books.store, "aaa", 1).await, fence(&books.store, "bbb", 2).await);
        let order = if taker_first { [taker, first] } else { [first, taker] };
        for fence in order {
            let rows = vec![taken_row("tg-aaa-1-1-5-1", "{}")];
            books.store.take_rows(fence, rows, NOW).await.expect("takes");
        }
        books.store.drop_fence(taker).await.expect("the taker is back");
        let counts = books.store.outbox_counts().await.expect("counts");
        assert_eq!(counts.pending, 1, "the first is not; taker's fence first: {taker_first}");
        books.store.drop_fence(first).await.expect("drops");
        assert_eq!(books.store.outbox_counts().await.expect("counts").pending, 0);
    }
}

#[tokio::test]
async fn what_stripe_answered_for_a_lost_node_is_kept_until_that_is_back() {
    let books = Books::new().await;
    let id = fence(&books.store, "aaa", 1).await;
    books.store.take_rows(id, vec![taken_row("tg-aaa-1-1-5-1", "{}")], NOW).await.expect("takes");
    let due = books.store.claim_due(NOW, 9).await.expect("claims");
    books.store.settle_tries(vec![(due[0].sequence, accepted())], NOW).await.expect("settles");
    let late = NOW + 1_000_000;
    let cutoffs = Cutoffs { receipts: late, webhooks: late, financial: late, logs: late };
    books.store.prune_settled(cutoffs).await.expect("prunes");
    let fence = books.store.fences().await.expect("reads").remove(0);
    let (answers, _) = books.store.taken_answers(&fence).await.expect("reads");
    assert_eq!(answers, [("tg-aaa-1-1-5-1".into(), TakenAnswer::Accepted)]);
}

#[tokio::test]
async fn who_is_erased_is_named_by_no_fence_and_by_none_that_comes_later() {
    let books = Books::new().await;
    let store = &books.store;
    store.share_facts().await.expect("shares");
    let text = |name: &str| format!(r#"{{"c":"{name}","s":"cus_1"}}"#);
    let id = fence(store, "aaa", 1).await;
    let rows = vec![taken_row("tg-aaa-1-1-5-1", &text("acme")), taken_row("tg-aaa-1-1-5-2", &text("other"))];
    store.take_rows(id, rows, NOW).await.expect("takes");
    let refused = erase(store).await;
    assert!(matches!(refused, Erased::Refused(_)), "what was taken over is still to be sent: {refused:?}");
    for change in ["UPDATE outbox SET state = 'delivered'", "UPDATE totals SET sealed = reportable"] {
        store.write(move |db| Ok(db.execute(change, [])?)).await.expect("all is sent");
    }
    let left = erase(store).await;
    let names = fenced_names(store).await;
    assert_eq!((left, names), (Erased::As("erased 1".into()), vec!["erased 1".into(), "other".into()]));
    let later = fence(store, "bbb", 2).await;
    store.take_rows(later, vec![taken_row("tg-bbb-1-1-5-1", &text("acme"))], NOW + 9).await.expect("takes");
    assert_eq!(store.outbox_counts().await.expect("counts").pending, 1, "it is billed all the same");
    assert_eq!(store.find_customer("acme".into()).await.expect("reads"), None);
    assert!(!fenced_names(store).await.contains(&"acme".to_owned()));
}

async fn erase(store: &Store) -> Erased {
    let events = store.events_of_customer("acme".into(), NOW).await.expect("looks");
    store.erase_customer("acme".into(), events, NOW).await.expect("asks")
}

async fn fenced_names(store: &Store) -> Vec<String> {
    let read = |db: &rusqlite::Connection| {
        let mut query = db.prepare("SELECT body ->> '$.c' FROM fenced ORDER BY 1")?;
        Ok(query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    };
    store.read(read).await.expect("names")
}

#[tokio::test]
async fn what_a_copy_has_no_room_for_is_counted() {
    let books = Books::new().await;
    for (at, start) in (1..).zip([NOW - 40, NOW - 30, NOW - 20]) {
        books.fold(TotalKey { period_start: start, ..TOTAL }, 5, at);
    }
    let left_out = async |limit| {
        let unsent = books.store.unsent(limit).await.expect("reads");
        (unsent.rows.len() + unsent.totals.len(), unsent.left_out)
    };
    assert_eq!(left_out(4).await, (4, 0));
    assert_eq!(left_out(3).await, (3, 1));
    books.seal().await;
    assert_eq!(left_out(1).await, (1, 3), "rows as well");
}

#[tokio::test]
async fn what_a_taker_hears_is_certain_only_where_nobody_tried_before_it() {
    for (inherited, answer) in [(false, TakenAnswer::Known), (true, TakenAnswer::Unclear)] {
        let books = Books::new().await;
        let new = NewFence { slot: 7, ledger: "l".into(), at_millis: 1, inherited };
        let fence = books.store.keep_fence(new, NOW).await.expect("keeps");
        let row = taken_row("tg-l-1", "{}");
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
