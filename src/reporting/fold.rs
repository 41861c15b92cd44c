//! Folding: the ledger's new records become totals in the store.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::domain::catalogue::Report;
use crate::ledger::{Kind, Ledger, Position, Reader, Record, Resume, Synced};
use crate::metrics::METRICS;
use crate::store::{Batch, HourKey, Store, StoreError, TotalKey, TotalUnits};

/// Records that go into one transaction, at most: it must not hold up the other writers.
const RECORDS_PER_BATCH: u64 = 20_000;
/// A failed fold is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Every record below this number has been folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    pub next_record: u64,
    pub position: Position,
}

#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error("the ledger could not be read: {0}")]
    Ledger(#[from] io::Error),
    #[error("the totals could not be written: {0}")]
    Store(#[from] StoreError),
}

/// Reads the ledger onwards from where the store is.
pub struct Folder {
    ledger: Arc<Ledger>,
    store: Arc<Store>,
    report: Report,
    reader: Reader,
    folded: watch::Sender<Folded>,
}

impl Folder {
    pub fn new(ledger: Arc<Ledger>, store: Arc<Store>, report: Report, resume: Resume) -> Self {
        let reader = ledger.reader(resume);
        let folded = Folded { next_record: resume.next_record, position: resume.folded };
        Self { ledger, store, report, reader, folded: watch::Sender::new(folded) }
    }

    /// How far the totals go; changes are announced.
    pub fn folded(&self) -> watch::Receiver<Folded> {
        self.folded.subscribe()
    }

    /// Folds everything that is on disk now.
    pub fn catch_up(&mut self) -> Result<(), FoldError> {
        let synced = *self.ledger.synced().borrow();
        self.fold_to(synced.position).inspect_err(|_| {
            // What was read and not stored is read again.
            let folded = *self.folded.borrow();
            let resume = Resume { folded: folded.position, next_record: folded.next_record };
            self.reader = self.ledger.reader(resume);
        })?;
        // Numbers that no record has: a ledger that has just begun.
        self.folded.send_if_modified(|folded| {
            let behind = folded.next_record < synced.next_record;
            folded.next_record = folded.next_record.max(synced.next_record);
            behind
        });
        Ok(())
    }

    fn fold_to(&mut self, end: Position) -> Result<(), FoldError> {
        loop {
            let from = self.folded.borrow().position;
            let mut batch = Batch { from: (from.segment, from.offset), ..Batch::default() };
            let mut records = 0;
            let report = self.report;
            let mut reached = false;
            while !reached && records < RECORDS_PER_BATCH {
                reached = self.reader.read(end, |record| {
                    add(&mut batch, record, report);
                    records += 1;
                })?;
            }
            let position = self.reader.position();
            let next_record = self.reader.next_record();
            if position != self.folded.borrow().position {
                (batch.segment, batch.offset, batch.next_record) =
                    (position.segment, position.offset, next_record);
                self.store.fold(batch)?;
                METRICS.ledger_folded.inc_by(records);
                self.folded.send_replace(Folded { next_record, position });
            }
            if reached {
                return Ok(());
            }
        }
    }

    /// Folds whenever the ledger has been synced, on a thread of its own, until the ledger is closed and folded to
    /// its end.
    pub fn spawn(mut self, runtime: Handle, stop: watch::Receiver<bool>) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("fold".into()).spawn(move || {
            let mut synced = self.ledger.synced();
            let mut behind = false;
            loop {
                let stopping = runtime.block_on(changed(&mut synced, &stop, behind));
                let outcome = self.catch_up();
                behind = outcome.is_err();
                if let Err(error) = outcome {
                    tracing::error!(%error, "folding failed; it is tried again");
                }
                if stopping {
                    return;
                }
            }
        })
    }
}

/// Waits for news of the ledger, or a moment when the last fold failed; answers whether to stop afterwards.
async fn changed(synced: &mut watch::Receiver<Synced>, stop: &watch::Receiver<bool>, behind: bool) -> bool {
    let mut stop = stop.clone();
    tokio::select! {
        outcome = synced.changed() => outcome.is_err(),
        _ = stop.wait_for(|stop| *stop) => true,
        () = tokio::time::sleep(RETRY_AFTER), if behind => false,
    }
}

/// Adds one record to the sums of its period and hour.
fn add(batch: &mut Batch, record: &Record, report: Report) {
    let hour = record.at_micros.div_euclid(3_600_000_000) * 3_600;
    for draw in &record.draws {
        let reported_included = if report == Report::All { draw.included } else { 0 };
        let key =
            TotalKey { customer: record.customer, meter: draw.meter, period_start: record.period.start };
        let total = batch
            .totals
            .entry(key)
            .or_insert(TotalUnits { first_at_micros: i64::MAX, ..TotalUnits::default() });
        total.period_end = record.period.end;
        total.included += draw.included;
        total.credits += draw.credits;
        total.overage += draw.overage;
        // Units drawn on credits are paid for already.
        total.reportable += reported_included + draw.overage;
        if record.kind == Kind::Charge {
            // A correction belongs to the instant of what it corrects.
            total.first_at_micros = total.first_at_micros.min(record.at_micros);
            total.last_at_micros = total.last_at_micros.max(record.at_micros);
        }
        let key = HourKey { customer: record.customer, hour, route: record.route, meter: draw.meter };
        let hourly = batch.hours.entry(key).or_default();
        hourly.units += draw.included + draw.credits + draw.overage;
        hourly.requests += i64::from(record.kind == Kind::Charge);
    }
}
