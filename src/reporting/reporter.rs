//! The reporter: seals at intervals and at the edges of periods, sends what is due, and shows the backlog.
//!
//! Usage is at Stripe before its invoice closes: what counts in a period is sealed shortly before the period's end,
//! and what was left just after it; all usage when a subscription ends, and when the gateway stops.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::domain::account::INVOICE_GRACE_SECONDS;
use crate::domain::catalogue::Report;
use crate::domain::period::rfc3339;
use crate::ledger::Ledger;
use crate::metrics::METRICS;
use crate::news;
use crate::store::{Naming, OutboxCounts, SealPlan, SealScope, Spanning, Store, StoreError, UnitsByMeter};
use crate::stripe::Transport;

use super::books::OtherBooks;
use super::copy::Copier;
use super::fold::Folded;
use super::send::{Sender, WINDOW};
use super::split::split;

/// Totals that one sealing transaction takes up, so that it stays short.
const ROWS_PER_SEAL: u32 = 1_000;
/// A flush waits at most so long for the ledger's sync and the fold, and then sends for at most so long.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);
/// Of one customer, for whom somebody waits.
const FLUSH_ONE_WITHIN: Duration = Duration::from_secs(2);
/// So many seconds before a period's end its usage is sealed, so that nearly all of it is at Stripe when the invoice
/// is drawn up; and so many after it the rest.
const BEFORE_EDGE: i64 = 30;
const AFTER_EDGE: i64 = 2;
/// When the gateway stops, what is left gets so long to reach Stripe.
const LAST_SEND_WITHIN: Duration = Duration::from_secs(5);
/// The outbox is looked at least this often.
const IDLE: Duration = Duration::from_secs(10);
const A_MOMENT: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
pub struct ReporterOptions {
    /// `tg-` and the ledger's id.
    pub identifier_prefix: String,
    /// Meter number, meter name, and the name of its events at Stripe.
    pub meters: Vec<(u32, String, String)>,
    pub flush_interval: Duration,
    pub report: Report,
    /// Hears the number of each customer whose usage has been moved to another period.
    pub moved: mpsc::UnboundedSender<u32>,
    /// How long Stripe gets to add up what it has accepted.
    pub reconcile_settle: Duration,
}

/// What a flush did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flushed {
    /// Rows sealed.
    pub sealed: usize,
    /// Rows that Stripe accepted.
    pub sent: usize,
    /// Rows still waiting.
    pub pending: u64,
    /// Rows that Stripe refused for good.
    pub dead: u64,
}

pub struct Reporter {
    store: Arc<Store>,
    ledger: Arc<Ledger>,
    folded: watch::Receiver<Folded>,
    hurry: Arc<Notify>,
    /// Somebody's usage should be at Stripe soon.
    due: Arc<Notify>,
    sender: Sender,
    options: ReporterOptions,
    /// Other nodes may come to send what is sealed here.
    in_fleet: bool,
    /// One pass at a time: no row is in flight twice.
    passing: Mutex<()>,
}

/// When to seal next.
struct Schedule {
    all: Instant,
    edge: Instant,
}

impl Reporter {
    pub fn new(
        store: Arc<Store>,
        ledger: Arc<Ledger>,
        (folded, hurry): (watch::Receiver<Folded>, Arc<Notify>),
        transport: Arc<Transport>,
        options: ReporterOptions,
    ) -> Self {
        let settle = i64::try_from(options.reconcile_settle.as_secs()).unwrap_or(i64::MAX);
        let sender = Sender::new(store.clone(), transport, options.identifier_prefix.clone(), settle);
        let due = Arc::default();
        let in_fleet = false;
        Self { store, ledger, folded, hurry, due, sender, options, in_fleet, passing: Mutex::new(()) }
    }

    /// The same on a node of a fleet: nothing is sent before others can take it over.
    #[must_use]
    pub fn in_fleet(mut self, copier: Arc<Copier>, others: Arc<dyn OtherBooks>) -> Self {
        self.in_fleet = true;
        self.sender = self.sender.in_fleet(copier, others);
        self
    }

    /// Flushes when notified: a subscription has ended, say.
    pub fn due(&self) -> Arc<Notify> {
        self.due.clone()
    }

    /// Seals when it is time and sends what is due, until told to stop.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut schedule = Schedule { all: Instant::now(), edge: Instant::now() };
        loop {
            let outcome = self.turn(&mut schedule).await;
            let wake_at = outcome.unwrap_or_else(|error| {
                tracing::error!(%error, "reporting failed; it is tried again");
                Instant::now() + Duration::from_secs(1)
            });
            let asked = tokio::select! {
                () = sleep_until(wake_at.min(schedule.all).min(schedule.edge)) => false,
                () = self.due.notified() => true,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if asked {
                self.flush_now().await;
            }
        }
    }

    /// Seals when it is time, sends one window of what is due, and answers when to come back.
    async fn turn(&self, schedule: &mut Schedule) -> Result<Instant, StoreError> {
        let at_edge = self.is_at_edge(schedule).await?;
        if at_edge {
            self.fold_soon().await;
        }
        let _passing = self.passing.lock().await;
        let mut sealed = 0;
        if at_edge {
            let now = clock::now().seconds();
            sealed += self
                .seal(SealScope::Ending { from: now - INVOICE_GRACE_SECONDS, to: now + BEFORE_EDGE })
                .await?;
        }
        if schedule.all <= Instant::now() {
            schedule.all = Instant::now() + self.options.flush_interval;
            sealed += self.seal(SealScope::All).await?;
            self.show_unsealed().await?;
        }
        let pass = self.sender.pass(clock::now().seconds()).await?;
        let counts = self.show_outbox().await?;
        tell(&Flushed { sealed, sent: pass.delivered, pending: counts.pending, dead: counts.dead });
        if pass.tried == WINDOW as usize {
            return Ok(Instant::now());
        }
        let next = self.store.next_due().await?.map_or(IDLE, |at| until(at).clamp(A_MOMENT, IDLE));
        Ok(Instant::now() + next)
    }

    /// Everything recorded before this call is sealed and sent once.
    pub async fn flush(&self) -> Result<Flushed, StoreError> {
        self.fold_soon().await;
        self.flush_within(FLUSH_WITHIN).await
    }

    /// One customer's usage is sealed, and sent with what else is due: their subscription is about to change. What
    /// Stripe does not take in time follows, and counts in the same period.
    pub async fn flush_customer(&self, number: u32) -> Result<(), StoreError> {
        if tokio::time::timeout(FLUSH_ONE_WITHIN, self.fold_now()).await.is_err() {
            tracing::warn!("the ledger was not folded in time; what is folded is flushed");
        }
        let _passing = self.passing.lock().await;
        self.seal(SealScope::Customer(number)).await?;
        self.send_due(FLUSH_ONE_WITHIN).await.map(drop)
    }

    /// Nothing is sealed or sent while this is held.
    pub async fn rest(&self) -> impl Drop + '_ {
        self.passing.lock().await
    }

    /// The last flush: ledger and fold have ended, and everything is in the totals.
    pub async fn flush_last(&self) {
        match tokio::time::timeout(LAST_SEND_WITHIN, self.flush_within(LAST_SEND_WITHIN)).await {
            Ok(Ok(flushed)) => tracing::info!(
                sent = flushed.sent,
                pending = flushed.pending,
                "usage was flushed; what is pending follows after the next start"
            ),
            Ok(Err(error)) => {
                tracing::error!(%error, "the last flush failed; it follows after the next start");
            }
            Err(_) => tracing::warn!("Stripe did not answer in time: usage follows after the next start"),
        }
    }

    async fn flush_now(&self) {
        if let Err(error) = self.flush().await {
            tracing::error!(%error, "a flush failed; it follows at the next interval");
        }
    }

    async fn flush_within(&self, patience: Duration) -> Result<Flushed, StoreError> {
        let _passing = self.passing.lock().await;
        let sealed = self.seal(SealScope::All).await?;
        self.show_unsealed().await?;
        let sent = self.send_due(patience).await?;
        let counts = self.show_outbox().await?;
        let flushed = Flushed { sealed, sent, pending: counts.pending, dead: counts.dead };
        tell(&flushed);
        Ok(flushed)
    }

    /// Whether a period is about to end, or has just ended; notes when to look again. Until its invoice is final what came
    /// while a batch of it was unanswered is not left to an interval of a day.
    async fn is_at_edge(&self, schedule: &mut Schedule) -> Result<bool, StoreError> {
        if schedule.edge > Instant::now() {
            return Ok(false);
        }
        let now = clock::now().seconds();
        let next = self.store.next_period_end(now - AFTER_EDGE + 1).await?;
        schedule.edge = Instant::now() + next.map_or(IDLE, |end| edge_in(end, now));
        let nearest = self.store.next_period_end(now - INVOICE_GRACE_SECONDS).await?;
        Ok(nearest.is_some_and(|end| end - BEFORE_EDGE <= now))
    }

    /// Returns once everything recorded before this call is in the totals, or it takes too long.
    pub async fn fold_soon(&self) {
        if tokio::time::timeout(FLUSH_WITHIN, self.fold_now()).await.is_err() {
            tracing::warn!("the ledger was not folded in time; what is folded is flushed");
        }
    }

    /// Returns once everything recorded before this call is in the totals.
    async fn fold_now(&self) {
        let target = self.ledger.request_sync();
        // Errors mean that ledger or folder have ended: nothing more will come.
        let _ = self.ledger.synced().wait_for(|synced| synced.next_record >= target).await;
        self.hurry.notify_one();
        let _ = self.folded.clone().wait_for(|folded| folded.next_record >= target).await;
    }

    async fn seal(&self, scope: SealScope) -> Result<usize, StoreError> {
        let mut rows = 0;
        let mut after = None;
        // What others have taken over of this node keeps its names, even where it has left the fleet since.
        let by_total = self.in_fleet || self.store.was_copied().await?;
        let naming = if by_total { Naming::ByTotal } else { Naming::BySequence };
        loop {
            let event_names =
                self.options.meters.iter().map(|(number, _, event)| (*number, event.clone())).collect();
            let plan = SealPlan {
                identifier_prefix: self.options.identifier_prefix.clone(),
                naming,
                event_names,
                scope,
                now: clock::now().seconds(),
                limit: ROWS_PER_SEAL,
                after,
            };
            let sealed = self.store.seal(plan).await?;
            rows += sealed.rows;
            // What has been split is sealed in the same slice, looked at again.
            if !sealed.spanning.is_empty() && self.split(sealed.spanning).await {
                continue;
            }
            after = sealed.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Answers whether anything was split. What cannot be, since the ledger cannot be read, say, waits: everybody else's
    /// usage does not wait for it.
    async fn split(&self, spanning: Vec<Spanning>) -> bool {
        let now = clock::now().seconds();
        let split = match split(&self.store, &self.ledger, self.options.report, spanning, now).await {
            Ok(split) => split,
            Err(error) => {
                tracing::error!(%error, "usage from both sides of a period's edge is not sealed yet");
                return false;
            }
        };
        for customer in &split {
            // Nobody listens only while everything is being shut down.
            let _ = self.options.moved.send(*customer);
        }
        !split.is_empty()
    }

    /// Sends what is due until nothing is, Stripe is away, or a flush has taken long enough. Answers how many rows
    /// Stripe accepted.
    async fn send_due(&self, patience: Duration) -> Result<usize, StoreError> {
        let deadline = Instant::now() + patience;
        let mut delivered = 0;
        loop {
            let pass = self.sender.pass(clock::now().seconds()).await?;
            delivered += pass.delivered;
            if pass.tried == 0 || self.sender.transport.circuit_open() || Instant::now() > deadline {
                return Ok(delivered);
            }
        }
    }

    /// Shows the backlog as metrics.
    async fn show_outbox(&self) -> Result<OutboxCounts, StoreError> {
        let counts = self.store.outbox_counts().await?;
        METRICS.outbox_pending.set(gauge(counts.pending));
        METRICS.outbox_dead.set(gauge(counts.dead));
        METRICS
            .outbox_oldest_seconds
            .set(counts.oldest_sealed_at.map_or(0, |at| (clock::now().seconds() - at).max(0)));
        self.show_reconciled().await?;
        Ok(counts)
    }

    /// Shows what has not been sealed, what has not even been folded included: requests add to it meanwhile. Looked at
    /// when sealing, since it reads every such total.
    async fn show_unsealed(&self) -> Result<(), StoreError> {
        let folded = |name: &str| METRICS.folded_units.with_label_values(&[name]).get();
        let before: Vec<i64> = self.options.meters.iter().map(|(_, name, _)| folded(name)).collect();
        let (unsealed, unlinked) = self.store.unsealed_units().await?;
        for ((number, name, _), folded_before) in self.options.meters.iter().zip(before) {
            let units = |sums: &UnitsByMeter| {
                sums.iter().find(|(meter, _)| meter == number).map_or(0, |(_, units)| gauge(*units))
            };
            METRICS.unlinked_units.with_label_values(&[name]).set(units(&unlinked));
            let unfolded = METRICS.recorded_units.with_label_values(&[name]).get() - folded_before;
            METRICS.unsealed_units.with_label_values(&[name]).set(units(&unsealed) + unfolded.max(0));
        }
        Ok(())
    }

    /// Shows what the last comparison with Stripe has found, in whichever process it ran.
    async fn show_reconciled(&self) -> Result<(), StoreError> {
        let found = self.store.reconciled().await?;
        for (number, name, _) in &self.options.meters {
            let difference = found.iter().find(|(meter, _)| meter == number).map_or(0, |(_, units)| *units);
            METRICS.reconcile_difference_units.with_label_values(&[name]).set(difference);
        }
        Ok(())
    }
}

/// Before the edge if there is time, else after it; looked up anew at least every so often, since periods come and go.
fn edge_in(end: i64, now: i64) -> Duration {
    let before = end - BEFORE_EDGE;
    let at = if now < before { before } else { end + AFTER_EDGE };
    until_from(at, now).clamp(Duration::from_secs(1), IDLE)
}

fn until(at: i64) -> Duration {
    until_from(at, clock::now().seconds())
}

fn until_from(at: i64, now: i64) -> Duration {
    Duration::from_secs(u64::try_from(at - now).unwrap_or(0))
}

fn gauge(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// For whoever watches: a flush that did something.
fn tell(flushed: &Flushed) {
    if flushed.sealed + flushed.sent > 0 {
        news::tell("flush", || json!({ "at": rfc3339(clock::now().seconds()), "flushed": flushed }));
    }
}

#[cfg(test)]
#[path = "reporter_tests.rs"]
mod tests;
