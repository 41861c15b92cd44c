//! Folding: the ledger's new records become totals in the store.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::domain::catalogue::Report;
use crate::ledger::{Kind, Ledger, Position, Reader, Record, RecordDraw, Resume, Synced};
use crate::metrics::METRICS;
use crate::priority;
use crate::store::{
    Batch, CreditKey, CreditUse, Estimate, HourKey, KeyChange, KeyNews, MemberKey, Store, StoreError,
    TotalKey, TotalUnits,
};

/// Changes in one transaction, give or take those of a piece of the ledger: beside the requests it must not hold up
/// the other writers; before them nobody waits for those, and the more records share a change the sooner the port
/// opens.
const CHANGES_PER_BATCH: usize = 20_000;
const CHANGES_PER_BATCH_AT_START: usize = 500_000;
/// Many records of a customer become one change of a total: the longer the wait, the cheaper each.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

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
    hurry: Arc<Notify>,
    /// Records from here on were appended by this process.
    own_from: u64,
    /// Number and name of each meter.
    meters: Vec<(u32, String)>,
}

impl Folder {
    pub fn new(
        ledger: Arc<Ledger>,
        store: Arc<Store>,
        report: Report,
        resume: Resume,
        meters: Vec<(u32, String)>,
    ) -> Self {
        let reader = ledger.reader(resume);
        let folded = Folded { next_record: resume.next_record, position: resume.folded };
        let own_from = ledger.synced().borrow().next_record;
        Self {
            ledger,
            store,
            report,
            reader,
            folded: watch::Sender::new(folded),
            hurry: Arc::default(),
            own_from,
            meters,
        }
    }

    /// Folds at once when notified.
    pub fn hurry(&self) -> Arc<Notify> {
        self.hurry.clone()
    }

    /// How far the totals go; changes are announced.
    pub fn folded(&self) -> watch::Receiver<Folded> {
        self.folded.subscribe()
    }

    /// Folds everything that is on disk, before anything else uses the store.
    pub fn catch_up(&mut self) -> Result<(), FoldError> {
        self.fold_synced(CHANGES_PER_BATCH_AT_START)
    }

    fn fold_synced(&mut self, changes_per_batch: usize) -> Result<(), FoldError> {
        let synced = *self.ledger.synced().borrow();
        self.fold_to(synced.position, changes_per_batch).inspect_err(|_| {
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

    fn fold_to(&mut self, end: Position, changes_per_batch: usize) -> Result<(), FoldError> {
        loop {
            let from = self.folded.borrow().position;
            let mut batch = Batch { from: (from.segment, from.offset), ..Batch::default() };
            let (mut records, mut reached) = (0, false);
            let mut own: HashMap<u32, i64> = HashMap::new();
            let (report, own_from, losses) = (self.report, self.own_from, self.ledger.losses());
            while !reached && batch.changes() < changes_per_batch {
                reached = self.reader.read(end, |record| {
                    records += 1;
                    if losses.iter().any(|lost| lost.took_what_is_corrected_by(record)) {
                        return;
                    }
                    for (meter, units) in add(&mut batch, record, report) {
                        *own.entry(meter).or_default() += if record.number >= own_from { units } else { 0 };
                    }
                })?;
            }
            let position = self.reader.position();
            let next_record = self.reader.next_record();
            if position != self.folded.borrow().position {
                (batch.segment, batch.offset, batch.next_record) =
                    (position.segment, position.offset, next_record);
                let credits = credit_units(&batch);
                self.store.fold(batch)?;
                METRICS.ledger_folded.inc_by(records);
                for (kind, units) in ["spent", "returned"].into_iter().zip(credits) {
                    METRICS.credits.with_label_values(&[kind]).inc_by(units);
                }
                self.count(&own);
                self.folded.send_replace(Folded { next_record, position });
            }
            if reached {
                return Ok(());
            }
        }
    }

    fn count(&self, own: &HashMap<u32, i64>) {
        for (number, name) in &self.meters {
            let units = own.get(number).copied().unwrap_or(0);
            METRICS.folded_units.with_label_values(&[name]).add(units);
        }
    }

    /// Folds what has been synced, every second (or `at_least_every`, if that is shorter) or when somebody hurries, on a
    /// thread of its own, until the ledger is closed and folded to its end.
    pub fn spawn(
        mut self,
        at_least_every: Duration,
        runtime: Handle,
        stop: watch::Receiver<bool>,
    ) -> io::Result<JoinHandle<()>> {
        let pause = at_least_every.min(LONGEST_WAIT);
        thread::Builder::new().name("fold".into()).spawn(move || {
            priority::give_way();
            let mut synced = self.ledger.synced();
            let mut behind = false;
            loop {
                let stopping = runtime.block_on(wait(pause, &mut synced, stop.clone(), &self.hurry, behind));
                let outcome = self.fold_synced(CHANGES_PER_BATCH);
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

/// Until there is something to fold and it is time; answers whether to stop afterwards.
async fn wait(
    pause: Duration,
    synced: &mut watch::Receiver<Synced>,
    mut stop: watch::Receiver<bool>,
    hurry: &Notify,
    behind: bool,
) -> bool {
    let turn = async {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hurry.notified() => return false,
        }
        // An error means that the ledger is closed: then this is the last turn.
        !behind && synced.changed().await.is_err()
    };
    tokio::select! {
        last = turn => last,
        _ = stop.wait_for(|stop| *stop) => true,
    }
}

/// What a record says of the idempotency key that it goes by.
fn key_news(record: &Record) -> Option<KeyNews> {
    let what = match record.kind {
        Kind::Correction { of } => KeyChange::Undone { record: of },
        _ if record.draws.is_empty() => KeyChange::Repeated,
        _ => KeyChange::Charged { at: record.at_micros.div_euclid(1_000_000), record: record.number },
    };
    Some(KeyNews { customer: record.customer, key: record.key?, what })
}

/// Adds one record to the sums of its period and hour, and answers its reportable units by meter.
fn add(batch: &mut Batch, record: &Record, report: Report) -> SmallVec<[(u32, i64); 2]> {
    batch.keys.extend(key_news(record));
    let mut reported = SmallVec::new();
    if record.in_shadow {
        // It is usage to look at, and counts nowhere.
        record.draws.iter().for_each(|draw| add_hour(batch, record, draw));
        return reported;
    }
    for draw in &record.draws {
        let reportable = report.reportable(draw.included, draw.overage);
        let total =
            TotalKey { customer: record.customer, meter: draw.meter, period_start: record.period.start };
        add_total(batch, total, record, draw, reportable);
        add_hour(batch, record, draw);
        if matches!(record.kind, Kind::Estimate | Kind::Slice { .. }) {
            batch.estimates.push(Estimate { record: record.number, total, reportable });
        }
        reported.push((draw.meter, reportable));
    }
    add_credits(batch, record);
    if record.counts_for_member {
        add_member(batch, record);
    }
    if let Kind::Correction { of } = record.kind {
        batch.corrected.push(of);
    }
    reported
}

fn add_total(batch: &mut Batch, key: TotalKey, record: &Record, draw: &RecordDraw, reportable: i64) {
    let new = TotalUnits { first_at_micros: i64::MAX, ..TotalUnits::default() };
    let total = batch.totals.entry(key).or_insert(new);
    total.period_end = record.period.end;
    total.included += draw.included;
    total.extra += draw.extra;
    total.credits += draw.credits;
    total.overage += draw.overage;
    total.uncovered += draw.uncovered;
    total.reportable += reportable;
    if !is_correction(record) || draw.units() > 0 {
        // What comes back belongs to the instant of what it corrects; what was missing, to its own.
        total.first_at_micros = total.first_at_micros.min(record.at_micros);
        total.last_at_micros = total.last_at_micros.max(record.at_micros);
    }
}

fn add_member(batch: &mut Batch, record: &Record) {
    let &Record { customer, member, period, .. } = record;
    for draw in &record.draws {
        let key = MemberKey { customer, period_start: period.start, member, meter: draw.meter };
        let total = batch.members.entry(key).or_default();
        total.period_end = period.end;
        total.units += draw.units();
    }
}

/// What a record drew on credits, of the grants that it names. A record has no room for more than 255 of them: the rest
/// is of none.
fn add_credits(batch: &mut Batch, record: &Record) {
    let drawn: i64 = record.draws.iter().map(|draw| draw.credits).sum();
    if drawn == 0 && record.lots.is_empty() {
        return;
    }
    let named: i64 = record.lots.iter().map(|lot| lot.units).sum();
    let lots = record.lots.iter().map(|lot| (lot.grant, lot.units)).chain([(0, drawn - named)]);
    for (grant, units) in lots.filter(|(_, units)| *units != 0) {
        let key = CreditKey { customer: record.customer, grant };
        let used = batch.credits.entry(key).or_default();
        if units > 0 {
            used.spent += units;
        } else {
            used.returned -= units;
        }
        used.last_at_micros = used.last_at_micros.max(record.at_micros);
    }
}

/// What a batch spends, and what comes back by it.
fn credit_units(batch: &Batch) -> [u64; 2] {
    let sum = |part: fn(&CreditUse) -> i64| batch.credits.values().map(part).sum::<i64>().unsigned_abs();
    [sum(|used| used.spent), sum(|used| used.returned)]
}

fn add_hour(batch: &mut Batch, record: &Record, draw: &RecordDraw) {
    let hour = record.at_micros.div_euclid(3_600_000_000) * 3_600;
    let key = HourKey { customer: record.customer, hour, route: record.route, meter: draw.meter };
    let hourly = batch.hours.entry(key).or_default();
    hourly.units += draw.units();
    hourly.requests += i64::from(record.is_request());
}

fn is_correction(record: &Record) -> bool {
    matches!(record.kind, Kind::Correction { .. })
}

#[cfg(test)]
#[path = "credits_tests.rs"]
mod credits_tests;
#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
