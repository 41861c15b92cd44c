//! The real parts of a gateway that money passes through, without the gateway: ledger, store, folding, reporting.
//! They can be killed and lose power; the disk and Stripe outlive them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tollgate::domain::catalogue::Report;
use tollgate::ledger::{Durability, Ledger, Lost, Options, Position, Resume};
use tollgate::reporting::{Folder, Reporter, ReporterOptions};
use tollgate::store::{LostRecords, NameKind, Store, retry_dead_in};
use tollgate::stripe::{Secret, Transport, TransportOptions};

use super::LEDGER;
use super::disk::FaultyDisk;

/// Units, sealed units, and units in rows of each state, of one customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub units: i64,
    pub sealed: i64,
    pub outbox: i64,
    pub delivered: i64,
}

/// What runs until it is killed.
struct Process {
    store: Arc<Store>,
    ledger: Arc<Ledger>,
    folder: Folder,
    reporter: Reporter,
    transport: Arc<Transport>,
}

pub struct Machine {
    pub disk: FaultyDisk,
    data_dir: TempDir,
    stripe: String,
    process: Option<Process>,
}

impl Machine {
    pub fn start(stripe: String) -> Self {
        let data_dir = tempfile::tempdir().expect("a temporary folder");
        let mut machine = Self { disk: FaultyDisk::default(), data_dir, stripe, process: None };
        machine.boot();
        machine
    }

    /// Ends the process at once and starts on what `left` makes of the disk.
    pub fn restart(&mut self, left: impl FnOnce(&FaultyDisk) -> FaultyDisk) {
        let left = left(&self.disk);
        // What the old process still writes goes to a disk that nobody reads.
        self.process = None;
        self.disk = left;
        self.boot();
    }

    fn boot(&mut self) {
        let store = Arc::new(Store::open(self.data_dir.path()).expect("a store"));
        let (segment, offset, next_record) = store.folded().expect("a position");
        let resume = Resume { folded: Position { segment, offset }, next_record };
        let options = Options {
            durability: Durability::Process,
            sync_interval: Duration::from_millis(5),
            segment_bytes: 2_000,
        };
        let known = |LostRecords { from, to, segment, offset }| Lost { segment, offset, from, to };
        let losses: Vec<_> = store.lost().expect("a list").into_iter().map(known).collect();
        let disk = Arc::new(self.disk.clone());
        let opened = Ledger::open_after_losses(disk, LEDGER, resume, &losses, options, 0);
        let (ledger, found) = opened.expect("nothing that was folded is damaged or gone");
        let kept = |Lost { segment, offset, from, to }| LostRecords { from, to, segment, offset };
        store.note_lost(found.into_iter().map(kept).collect(), 0).expect("room");
        let ledger = Arc::new(ledger);
        let meter = store.number_names(NameKind::Meter, vec!["api_calls".into()]).expect("a number")[0];
        let meters = vec![(meter, "api_calls".to_owned())];
        let folder = Folder::new(ledger.clone(), store.clone(), Report::All, resume, meters);
        let transport = Transport::new(TransportOptions {
            meter_events_per_second: NonZeroU32::MAX,
            ..TransportOptions::new(self.stripe.clone(), Secret::new("sk_test_x"))
        });
        let transport = Arc::new(transport.expect("a base and a key"));
        let options = ReporterOptions {
            identifier_prefix: format!("tg-{LEDGER}"),
            meters: vec![(meter, "api_calls".to_owned(), "api_calls".to_owned())],
            flush_interval: Duration::from_hours(1),
            report: Report::All,
            moved: mpsc::unbounded_channel().0,
            reconcile_settle: Duration::from_hours(1),
        };
        let wakes = (folder.folded(), folder.hurry());
        let reporter = Reporter::new(store.clone(), ledger.clone(), wakes, transport.clone(), options);
        self.process = Some(Process { store, ledger, folder, reporter, transport });
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs between two restarts")
    }

    pub fn ledger(&self) -> &Ledger {
        &self.process().ledger
    }

    /// Waits until everything accepted is durable; answers at once while the disk fails.
    pub fn sync(&self) {
        let target = self.ledger().request_sync();
        let behind = || self.ledger().synced().borrow().next_record < target;
        while behind() && self.ledger().is_available() {
            std::thread::yield_now();
        }
    }

    /// Folds what is durable; the disk may not be readable.
    pub fn fold(&mut self) -> bool {
        self.process.as_mut().expect("it runs between two restarts").folder.catch_up().is_ok()
    }

    /// The number of a customer, and from now on their link if there is one.
    pub async fn customer(&self, name: &str, stripe_customer: Option<String>) -> u32 {
        let now = crate::harness::unix_now();
        let row = self.process().store.customer(name.to_owned(), stripe_customer, now).await;
        row.expect("a row").number
    }

    /// Seals what is folded, and sends what is due once.
    pub async fn report(&self) {
        let (_stop, stopped) = watch::channel(true);
        self.process().reporter.run(stopped).await;
    }

    pub fn gave_up_on_stripe(&self) -> bool {
        self.process().transport.circuit_open()
    }

    fn store(&self) -> Connection {
        let store = Connection::open(self.data_dir.path().join("tollgate.db")).expect("a store");
        store.busy_timeout(crate::harness::PATIENCE).expect("a store");
        store
    }

    pub fn let_pauses_pass(&self) {
        crate::harness::let_pauses_pass(self.data_dir.path());
    }

    /// As `tollgate outbox retry` does beside a gateway.
    pub fn retry_dead(&self) {
        retry_dead_in(self.data_dir.path(), &[], crate::harness::unix_now()).expect("an outbox");
    }

    /// Rows that Stripe has not accepted, and totals with something to seal.
    pub fn unfinished(&self) -> i64 {
        let count = "SELECT (SELECT count(*) FROM outbox WHERE state != 'delivered')
                          + (SELECT count(*) FROM totals WHERE sealable AND reportable > sealed)";
        self.store().query_row(count, [], |row| row.get(0)).expect("a count")
    }

    pub fn sums(&self) -> BTreeMap<u32, Sums> {
        let store = self.store();
        let mut query = store
            .prepare(
                "SELECT t.customer, t.included + t.credits + t.overage, t.sealed,
                        (SELECT coalesce(sum(value), 0) FROM outbox o WHERE o.customer = t.customer),
                        (SELECT coalesce(sum(value), 0) FROM outbox o
                         WHERE o.customer = t.customer AND o.state = 'delivered')
                 FROM totals t",
            )
            .expect("the store's tables");
        let rows = query.query_map([], |row| {
            let (units, sealed) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, Sums { units, sealed, outbox: row.get(3)?, delivered: row.get(4)? }))
        });
        rows.expect("rows").collect::<rusqlite::Result<_>>().expect("rows")
    }
}
