//! The store against a real file.

use super::*;
use crate::domain::subscription::{Facts, Status};

mod sealing;

pub(super) const NOW: i64 = 1_800_000_000;
const START: i64 = NOW - 100;

pub(super) struct Temporary {
    store: Option<Store>,
    folder: tempfile::TempDir,
}

impl Temporary {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Some(Store::open(folder.path()).expect("opens"));
        Self { store, folder }
    }

    pub fn reopened(mut self) -> Self {
        self.store = None;
        self.store = Some(Store::open(self.folder.path()).expect("opens again"));
        self
    }
}

impl std::ops::Deref for Temporary {
    type Target = Store;
    fn deref(&self) -> &Store {
        self.store.as_ref().expect("open")
    }
}

pub(super) fn batch(customer: u32, units: i64, next_record: u64) -> Batch {
    let from = if next_record == 6 { (0, 0) } else { (1, (next_record - 1) * 100) };
    let mut batch = Batch { from, segment: 1, offset: next_record * 100, next_record, ..Batch::default() };
    let key = TotalKey { customer, meter: 1, period_start: START };
    let units = TotalUnits {
        period_end: NOW + 100,
        included: units,
        reportable: units,
        first_at_micros: (NOW - 50) * 1_000_000,
        last_at_micros: (NOW - 40) * 1_000_000 + i64::try_from(next_record).expect("small"),
        ..TotalUnits::default()
    };
    batch.totals.insert(key, units);
    batch
}

pub(super) fn plan() -> SealPlan {
    SealPlan {
        identifier_prefix: "tg-x".into(),
        naming: Naming::BySequence,
        event_names: vec![(1, "api_calls".into())],
        scope: SealScope::All,
        now: NOW,
        limit: 100,
        after: None,
    }
}

pub(super) fn delivered() -> Outcome {
    Outcome::Delivered { answer: "200 accepted".into() }
}

pub(super) async fn linked(store: &Store) -> u32 {
    store.customer("acme".into(), Some("cus_1".into()), NOW).await.expect("a customer").number
}

#[tokio::test]
async fn sums_and_their_position_move_together_and_survive_a_restart() {
    let store = Temporary::new();
    assert_eq!(store.folded().expect("reads"), (0, 0, 0));
    store.fold(batch(1, 5, 6)).expect("folds");
    store.fold(batch(1, -2, 7)).expect("folds");
    let store = store.reopened();
    assert_eq!(store.folded().expect("reads"), (1, 700, 7));
    assert_eq!(
        store.totals(1, START).await.expect("reads"),
        [Total { meter: 1, used: 3, extra: 0, credits: 0, uncovered: 0 }]
    );
}

#[tokio::test]
async fn every_unit_is_sealed_once_and_waits_while_a_row_is_unanswered() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    store.fold(batch(customer, 5, 6)).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed { rows: 1, units: 5, ..Sealed::default() });
    store.fold(batch(customer, 3, 7)).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed::default());

    let store = store.reopened();
    let due = store.claim_due(NOW, 10).await.expect("claims");
    assert_eq!((due.len(), due[0].value, due[0].timestamp), (1, 5, NOW - 40));
    assert_eq!(due[0].identifier, "tg-x-1");
    assert_eq!(due[0].first_tried_at, None, "not tried before this try");
    let again = store.claim_due(NOW, 10).await.expect("claims");
    assert_eq!((again[0].first_tried_at, again[0].tries), (Some(NOW), 1));

    store.settle_tries(vec![(due[0].sequence, delivered())], NOW).await.expect("settles");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed { rows: 1, units: 3, ..Sealed::default() });
    assert_eq!(store.outbox_counts().await.expect("counts").pending, 1);
}

#[tokio::test]
async fn a_refund_after_the_batch_has_left_is_carried_against_the_next() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    store.fold(batch(customer, 5, 6)).expect("folds");
    deliver(&store).await;
    store.fold(batch(customer, -2, 7)).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed::default());
    store.fold(batch(customer, 3, 8)).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed { rows: 1, units: 1, ..Sealed::default() });
}

#[tokio::test]
async fn a_refund_of_an_ended_period_comes_off_the_next_batch() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    store.fold(batch(customer, 5, 6)).expect("folds");
    deliver(&store).await;
    store.fold(batch(customer, -4, 7)).expect("folds");
    let mut next = batch(customer, 3, 8);
    let units = next.totals.drain().next().expect("one").1;
    let key = TotalKey { customer, meter: 1, period_start: NOW + 100 };
    next.totals.insert(key, TotalUnits { period_end: NOW + 300, ..units });
    store.fold(next.clone()).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed::default(), "3 of the 4 are used up");
    next.from = (1, 800);
    next.offset = 900;
    store.fold(next).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed { rows: 1, units: 2, ..Sealed::default() });
    assert_eq!(store.unsealed_units().await.expect("reads").0, vec![]);
}

#[tokio::test]
async fn a_total_that_credit_uses_up_does_not_end_the_sealing() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    store.fold(batch(customer, 5, 6)).expect("folds");
    deliver(&store).await;
    store.fold(batch(customer, -5, 7)).expect("folds");
    let mut next = batch(customer, 3, 8);
    let units = TotalUnits { period_end: NOW + 300, ..next.totals.drain().next().expect("one").1 };
    for period_start in [NOW + 100, NOW + 200] {
        next.totals.insert(TotalKey { customer, meter: 1, period_start }, units);
    }
    store.fold(next).expect("folds");
    let one_after = |after| store.seal(SealPlan { limit: 1, after, ..plan() });
    let first = one_after(None).await.expect("seals");
    assert_eq!((first.rows, first.units), (0, 0), "3 of the 5 are used up");
    assert!(first.next.is_some(), "there is more");
    assert_eq!(one_after(first.next).await.expect("seals").units, 1);
}

#[tokio::test]
async fn a_batch_is_folded_once() {
    let store = Temporary::new();
    store.fold(batch(1, 5, 6)).expect("folds");
    store.fold(batch(1, 5, 6)).expect_err("the position has moved");
    assert_eq!(store.totals(1, START).await.expect("reads")[0].used, 5);
}

#[tokio::test]
async fn a_try_that_never_left_the_machine_is_none() {
    let store = Temporary::new();
    let customer = linked(&store).await;
    store.fold(batch(customer, 5, 6)).expect("folds");
    store.seal(plan()).await.expect("seals");
    let row = store.claim_due(NOW, 1).await.expect("claims")[0].sequence;
    let retry =
        |never_arrived| Outcome::Retry { at: NOW, answered: false, never_arrived, reason: "away".into() };
    let unsent = |first_tried_at| retry(Some(NeverArrived { first_tried_at }));
    store.settle_tries(vec![(row, unsent(None))], NOW).await.expect("settles");
    let again = store.claim_due(NOW + 90_000, 1).await.expect("claims");
    assert_eq!((again[0].tries, again[0].first_tried_at), (1, None));
    store.settle_tries(vec![(row, retry(None))], NOW).await.expect("settles");
    let again = store.claim_due(NOW + 90_001, 1).await.expect("claims");
    assert_eq!(again[0].first_tried_at, Some(NOW + 90_000), "that one may have arrived");
    store.settle_tries(vec![(row, unsent(again[0].first_tried_at))], NOW).await.expect("settles");
    let again = store.claim_due(NOW + 90_002, 1).await.expect("claims");
    assert_eq!(again[0].first_tried_at, Some(NOW + 90_000));
}

#[tokio::test]
async fn usage_without_a_stripe_customer_waits_for_the_link() {
    let store = Temporary::new();
    let customer = store.customer("acme".into(), None, NOW).await.expect("a customer").number;
    store.fold(batch(customer, 5, 6)).expect("folds");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed::default());
    assert_eq!(store.unsealed_units().await.expect("reads"), (vec![], vec![(1, 5)]));
    let link = NewLink { customer: "acme".into(), stripe_customer: "cus_9".into() };
    assert_eq!(store.link(link, NOW).await.expect("links"), Some(customer));
    assert_eq!(store.unsealed_units().await.expect("reads"), (vec![(1, 5)], vec![(1, 0)]));
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed { rows: 1, units: 5, ..Sealed::default() });
}

#[tokio::test]
async fn what_lies_in_a_period_that_ended_before_the_link_is_not_reported() {
    let store = Temporary::new();
    let customer = store.customer("acme".into(), None, NOW).await.expect("a customer").number;
    store.fold(batch(customer, 5, 6)).expect("folds");
    store.customer("acme".into(), Some("cus_1".into()), NOW + 100).await.expect("links");
    assert_eq!(store.seal(plan()).await.expect("seals"), Sealed::default());
    assert_eq!(store.unsealed_units().await.expect("reads"), (vec![], vec![(1, 5)]));
}

#[tokio::test]
async fn a_claim_replaces_a_link_and_stripe_does_not() {
    let store = Temporary::new();
    let first = NewLink { customer: "acme".into(), stripe_customer: "cus_1".into() };
    store.link(first, NOW).await.expect("links").expect("new");
    let second = NewLink { customer: "acme".into(), stripe_customer: "cus_2".into() };
    assert_eq!(store.link(second, NOW).await.expect("asks"), None);
    let row = store.customer("acme".into(), Some("cus_3".into()), NOW).await.expect("a customer");
    assert_eq!(row.stripe_customer.as_deref(), Some("cus_3"));
    assert_eq!(store.customers_of("cus_3".into()).await.expect("reads"), [row]);
    assert_eq!(store.customers_of("cus_1".into()).await.expect("reads"), []);
}

/// Seals one row and has Stripe accept it.
async fn deliver(store: &Store) {
    store.seal(plan()).await.expect("seals");
    let row = store.claim_due(NOW, 1).await.expect("claims")[0].sequence;
    store.settle_tries(vec![(row, delivered())], NOW).await.expect("settles");
}

pub(super) fn facts(status: Status) -> Facts {
    Facts {
        id: "sub_1".into(),
        stripe_customer: "cus_1".into(),
        status,
        items: Vec::new(),
        billing_cycle_anchor: 0,
        cancel_at: None,
        cancel_at_period_end: false,
        past_due_since: None,
        trial_start: None,
        trial_end: None,
        currency: None,
        read_at: None,
    }
}

fn upsert(status: Status, version: u64) -> Upsert {
    let facts = facts(status);
    Upsert {
        facts,
        version,
        reread_at: None,
        window: None,
        rank: 0,
        tier: None,
        amount: None,
        paid_until: None,
    }
}

#[tokio::test]
async fn an_older_read_never_replaces_a_newer_one() {
    let store = Temporary::new();
    let put = |status, version| store.upsert_subscription(upsert(status, version), NOW);
    assert!(put(Status::Active, 5).await.expect("stores"));
    assert!(!put(Status::Canceled, 4).await.expect("asks"));
    assert!(!put(Status::Canceled, 5).await.expect("asks"));
    assert_eq!(store.subscriptions_after(String::new(), 10).await.expect("reads")[0].status, Status::Active);
    assert!(put(Status::Canceled, 6).await.expect("stores"));
    assert_eq!(store.last_version().expect("reads"), 6);
}

#[tokio::test]
async fn prices_that_no_tier_names_are_noted_once_until_they_change() {
    let store = Temporary::new();
    let noted = async || {
        let rows = store.audit_rows(None, None, 99).await.expect("reads");
        rows.iter().filter(|row| row.action == "price_unknown").count()
    };
    let put = async |version, status, price: &str, tier: Option<&str>| {
        let mut read = upsert(status, version);
        read.tier = tier.map(str::to_owned);
        let item = serde_json::json!({ "price": price, "lookup_key": null, "metered": false, "interval": "month",
            "interval_count": 1, "period_start": 0, "period_end": 0 });
        read.facts.items = vec![serde_json::from_value(item).expect("an item")];
        assert!(store.upsert_subscription(read, NOW).await.expect("stores"));
    };
    put(1, Status::Active, "price_shirt", None).await;
    put(2, Status::Active, "price_shirt", None).await;
    assert_eq!(noted().await, 1, "a sync each night would fill the trail");
    put(3, Status::Active, "price_mug", None).await;
    assert_eq!(noted().await, 2);
    put(4, Status::Active, "price_mug", Some("pro")).await;
    put(5, Status::Active, "price_mug", None).await;
    assert_eq!(noted().await, 3, "it was a tier's in between");
    put(6, Status::Canceled, "price_hat", None).await;
    assert_eq!(noted().await, 3, "it has ended");
}

#[tokio::test]
async fn grace_runs_from_the_first_sight_of_past_due() {
    let store = Temporary::new();
    let put = |status, version, now| store.upsert_subscription(upsert(status, version), now);
    let since = async || store.subscriptions_after(String::new(), 10).await.expect("reads")[0].past_due_since;
    put(Status::PastDue, 1, NOW).await.expect("stores");
    put(Status::PastDue, 2, NOW + 50).await.expect("stores");
    assert_eq!(since().await, Some(NOW));
    put(Status::Active, 3, NOW + 60).await.expect("stores");
    assert_eq!(since().await, None);
    put(Status::PastDue, 4, NOW + 70).await.expect("stores");
    assert_eq!(since().await, Some(NOW + 70));
}

#[test]
fn names_keep_their_numbers() {
    let store = Temporary::new();
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let first = store.number_names(NameKind::Route, names(&["/a", "/b"])).expect("numbers");
    let tier = store.number_names(NameKind::Tier, names(&["/a"])).expect("numbers");
    let store = store.reopened();
    let second = store.number_names(NameKind::Route, names(&["/b", "/c", "/a"])).expect("numbers");
    assert_eq!((second[0], second[2]), (first[1], first[0]));
    assert!(!first.contains(&tier[0]) && !first.contains(&second[1]));
    assert_eq!(store.ledger_id([1; 16]).expect("makes"), store.ledger_id([2; 16]).expect("keeps"));
}

#[tokio::test]
async fn a_job_that_fails_changes_nothing_and_harms_no_other() {
    let store = Temporary::new();
    let failing = store.write(|db| {
        db.execute("INSERT INTO meta VALUES ('half', x'00')", [])?;
        Err::<(), _>(StoreError::Unreadable("no".into()))
    });
    let good = store.write(|db| Ok(db.execute("INSERT INTO meta VALUES ('good', x'00')", [])?));
    let (failing, good) = tokio::join!(failing, good);
    assert!(failing.is_err() && good.is_ok());
    let kept: i64 = store
        .read(|db| {
            Ok(db.query_row("SELECT count(*) FROM meta WHERE key IN ('half', 'good')", [], |r| r.get(0))?)
        })
        .await
        .expect("reads");
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn the_tables_of_the_first_version_are_brought_up_to_date_with_what_they_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Connection::open(folder.path().join("tollgate.db")).expect("opens");
    db.execute_batch(&format!("{}; PRAGMA user_version = 1", MIGRATIONS[0])).expect("version 1");
    db.execute_batch("INSERT INTO totals VALUES (1, 1, 0, 9, 7, 0, 0, 7, 7, 1, 0, 0)").expect("a total");
    drop(db);
    let store = Store::open(folder.path()).expect("migrates");
    assert_eq!(store.totals(1, 0).await.expect("reads")[0].used, 7);
    drop(store);
    let db = Connection::open(folder.path().join("tollgate.db")).expect("opens");
    db.execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len() + 1)).expect("a later version");
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Newer(_))));
}

#[tokio::test]
async fn two_processes_write_by_turns_and_neither_fails() {
    let here = Temporary::new();
    let there = Store::open(here.folder.path()).expect("opens beside");
    let add = |store: &Store| {
        store.write_blocking(|db| {
            let read: i64 = db.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
            audit::add(db, NOW, "test", None, &read.to_string())
        })
    };
    std::thread::scope(|scope| {
        for store in [&*here, &there] {
            scope.spawn(move || (0..100).for_each(|_| add(store).expect("writes")));
        }
    });
    let distinct = |db: &Connection| {
        Ok(db.query_row("SELECT count(DISTINCT detail) FROM audit", [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(here.read_blocking(distinct).expect("reads"), 200, "each saw what the others had written");
}
