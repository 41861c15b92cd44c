//! What holds up nobody else's usage.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::smallvec;
use tempfile::TempDir;

use crate::domain::period::Period;
use crate::domain::subscription::{Facts, Status};
use crate::ledger::{
    Disk, Durability, Kind, LedgerId, Options, Position, Record, RecordDraw, Resume, SegmentFile, Storage,
};
use crate::reporting::Folder;
use crate::store::Upsert;
use crate::stripe::{Secret, TransportOptions};

use super::*;

/// A folder that cannot be listed once it is broken.
struct Breakable(Disk, Arc<AtomicBool>);

impl Storage for Breakable {
    fn list(&self) -> io::Result<Vec<u64>> {
        if self.1.load(Ordering::Relaxed) { Err(io::Error::other("broken")) } else { self.0.list() }
    }

    fn create(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        self.0.create(segment)
    }

    fn open(&self, segment: u64) -> io::Result<Arc<dyn SegmentFile>> {
        self.0.open(segment)
    }

    fn remove(&self, segment: u64) -> io::Result<()> {
        self.0.remove(segment)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.0.sync_folder()
    }
}

fn record(customer: u32, at: i64, period: Period) -> Record {
    Record {
        number: 0,
        at_micros: at * 1_000_000,
        request: [0; 16],
        customer,
        member: 0,
        counts_for_member: false,
        in_shadow: false,
        route: 1,
        tier: 1,
        configuration: 0,
        period,
        kind: Kind::Charge,
        status: 200,
        method: 1,
        draws: smallvec![RecordDraw { meter: 1, included: 1, ..RecordDraw::default() }],
        lots: Vec::new(),
        key: None,
        foreign_request: None,
    }
}

fn subscription(start: i64, end: i64) -> Upsert {
    let facts = Facts {
        id: "sub_1".into(),
        stripe_customer: "cus_spans".into(),
        status: Status::Active,
        items: Vec::new(),
        billing_cycle_anchor: 0,
        cancel_at: None,
        cancel_at_period_end: false,
        past_due_since: None,
        trial_start: None,
        trial_end: None,
        currency: None,
        read_at: None,
    };
    Upsert {
        facts,
        version: 1,
        reread_at: None,
        window: Some(Period { start, end }),
        rank: 1,
        tier: None,
        amount: None,
        paid_until: None,
    }
}

fn ledger_in(folder: &std::path::Path, broken: &Arc<AtomicBool>) -> Arc<Ledger> {
    let options = Options {
        durability: Durability::Process,
        sync_interval: Duration::from_millis(5),
        segment_bytes: 1 << 20,
    };
    let storage = Breakable(Disk::open(folder.join("ledger")).expect("a folder"), broken.clone());
    let ledger = Ledger::open(Arc::new(storage), LedgerId([7; 16]), Resume::default(), options, 0);
    Arc::new(ledger.expect("opens"))
}

/// Of a node that was just made, in a folder that goes with what is first.
fn books() -> (TempDir, Arc<Store>, Arc<Ledger>) {
    let data_dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(data_dir.path()).expect("opens"));
    let ledger = ledger_in(data_dir.path(), &Arc::default());
    (data_dir, store, ledger)
}

/// Once all that was appended has been folded.
async fn folded(store: &Arc<Store>, ledger: &Arc<Ledger>) -> Folder {
    let target = ledger.request_sync();
    ledger.synced().wait_for(|synced| synced.next_record >= target).await.expect("syncs");
    let resume = Resume { folded: Position::default(), next_record: 0 };
    let meters = vec![(1, "api_calls".into())];
    let mut folder = Folder::new(ledger.clone(), store.clone(), Report::All, resume, meters);
    folder.catch_up().expect("folds");
    folder
}

fn reporter_of(store: &Arc<Store>, ledger: &Arc<Ledger>, folder: &Folder) -> Reporter {
    let base = "http://127.0.0.1:9";
    let transport = Transport::new(TransportOptions::new(base, Secret::new("sk_test_x")));
    let options = ReporterOptions {
        identifier_prefix: "tg-x".into(),
        meters: vec![(1, "api_calls".into(), "api_calls".into())],
        flush_interval: Duration::from_mins(1),
        report: Report::All,
        moved: mpsc::unbounded_channel().0,
        reconcile_settle: Duration::from_hours(1),
    };
    let parts = (folder.folded(), folder.hurry());
    Reporter::new(store.clone(), ledger.clone(), parts, Arc::new(transport.expect("a transport")), options)
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_cannot_be_split_holds_up_nobody_elses() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(data_dir.path()).expect("opens"));
    let broken = Arc::new(AtomicBool::new(false));
    let ledger = ledger_in(data_dir.path(), &broken);
    let now = clock::now().seconds();
    let period = Period { start: now - 1_000, end: now + 1_000 };
    for (name, at) in [("spans", now - 900), ("spans", now - 100), ("plain", now - 100)] {
        let customer =
            store.customer(name.into(), Some(format!("cus_{name}")), now).await.expect("a customer");
        ledger.append(&record(customer.number, at, period)).expect("appends");
    }
    store.upsert_subscription(subscription(now - 500, now + 9_000), now).await.expect("stores");
    let reporter = reporter_of(&store, &ledger, &folded(&store, &ledger).await);

    broken.store(true, Ordering::Relaxed);
    assert_eq!(reporter.seal(SealScope::All).await.expect("seals the plain one"), 1);
    broken.store(false, Ordering::Relaxed);
    assert_eq!(reporter.seal(SealScope::All).await.expect("seals"), 2, "both sides of the edge");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_learned_late_moves_nothing_of_what_was_served_in_shadow() {
    let (_data_dir, store, ledger) = books();
    let now = clock::now().seconds();
    let period = Period { start: now - 1_000, end: now + 1_000 };
    let customer = store.customer("spans".into(), Some("cus_spans".into()), now).await.expect("a customer");
    let charged = |at| record(customer.number, at, period);
    let draws = smallvec![RecordDraw { meter: 1, uncovered: 9, ..RecordDraw::default() }];
    let served = Record { in_shadow: true, draws, ..charged(now - 100) };
    for record in [charged(now - 900), charged(now - 100), served] {
        ledger.append(&record).expect("appends");
    }
    store.upsert_subscription(subscription(now - 500, now + 9_000), now).await.expect("stores");
    let reporter = reporter_of(&store, &ledger, &folded(&store, &ledger).await);
    assert_eq!(reporter.seal(SealScope::All).await.expect("seals"), 2, "both sides of the edge");
    for start in [period.start, now - 500] {
        let total = store.totals(customer.number, start).await.expect("reads")[0];
        assert_eq!((total.used, total.uncovered), (1, 0), "of the period from {start} on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pass_has_no_time_for_is_due_as_if_it_had_not_been_tried() {
    let (_data_dir, store, ledger) = books();
    let now = clock::now().seconds();
    let customer = store.customer("acme".into(), Some("cus_1".into()), now).await.expect("a customer").number;
    let period = Period { start: now - 1_000, end: now + 1_000 };
    ledger.append(&record(customer, now - 1, period)).expect("appends");
    let mut reporter = reporter_of(&store, &ledger, &folded(&store, &ledger).await);
    assert_eq!(reporter.seal(SealScope::All).await.expect("seals"), 1);
    reporter.sender.pass_within = Duration::ZERO;
    let pass = reporter.sender.pass(clock::now().seconds()).await.expect("passes");
    assert_eq!((pass.tried, pass.delivered), (1, 0));
    let due = store.claim_due(clock::now().seconds(), 10).await.expect("claims");
    assert_eq!(due.len(), 1, "at once");
    assert_eq!(due[0].first_tried_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_period_left_unsealed_follows_until_its_invoice_is_final() {
    let (_data_dir, store, ledger) = books();
    let now = clock::now().seconds();
    let period = Period { start: now - 9_000, end: now - 1_800 };
    let customer =
        store.customer("acme".into(), Some("cus_1".into()), now - 8_000).await.expect("a customer");
    ledger.append(&record(customer.number, now - 2_000, period)).expect("appends");
    let reporter = reporter_of(&store, &ledger, &folded(&store, &ledger).await);
    let in_a_day = Instant::now() + Duration::from_hours(24);
    reporter.turn(&mut Schedule { all: in_a_day, edge: Instant::now() }).await.expect("a turn");
    assert_eq!(store.outbox_counts().await.expect("counts").pending, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fleets_node_may_have_sent_before_it_was_restored_alone_is_left_to_a_person() {
    let (_data_dir, store, ledger) = books();
    let now = clock::now().seconds();
    let customer = store.customer("acme".into(), Some("cus_1".into()), now).await.expect("a customer").number;
    let period = Period { start: now - 1_000, end: now + 1_000 };
    ledger.append(&record(customer, now - 900, period)).expect("appends");
    let folder = folded(&store, &ledger).await;
    store.note_copied().await.expect("notes");
    store.note_reached().expect("notes");
    store.note_restored(now - 600, now - 300).expect("notes");
    let reporter = reporter_of(&store, &ledger, &folder);
    assert_eq!(reporter.seal(SealScope::All).await.expect("seals"), 1);
    reporter.sender.pass(clock::now().seconds()).await.expect("passes");
    assert_eq!(store.outbox_counts().await.expect("counts").dead, 1, "others' usage is in Stripe's sum");
}
