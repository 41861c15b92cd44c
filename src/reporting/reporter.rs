//! The reporter: seals at intervals, sends what is due, and shows the backlog.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::ledger::Ledger;
use crate::metrics::METRICS;
use crate::store::{OutboxCounts, SealPlan, Store, StoreError, UnitsByMeter};
use crate::stripe::Transport;

use super::fold::Folded;
use super::send::{Sender, WINDOW};

/// Totals that one sealing transaction takes up, so that it stays short.
const ROWS_PER_SEAL: u32 = 2_000;
/// A flush waits at most so long for the ledger's sync and the fold, and then sends for at most so long.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);
/// The outbox is looked at least this often.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct ReporterOptions {
    /// `tg-` and the ledger's id.
    pub identifier_prefix: String,
    /// Meter number, meter name, and the name of its events at Stripe.
    pub meters: Vec<(u32, String, String)>,
    pub flush_interval: Duration,
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
    sender: Sender,
    options: ReporterOptions,
    /// One pass at a time: no row is in flight twice.
    passing: Mutex<()>,
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
        Self { store, ledger, folded, hurry, sender, options, passing: Mutex::new(()) }
    }

    /// Seals at every interval and sends what is due, until told to stop.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut seal_at = Instant::now();
        loop {
            let outcome = self.turn(&mut seal_at).await;
            let wake_at = outcome.unwrap_or_else(|error| {
                tracing::error!(%error, "reporting failed; it is tried again");
                Instant::now() + Duration::from_secs(1)
            });
            tokio::select! {
                () = sleep_until(wake_at.min(seal_at)) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Seals when it is time, sends one window of what is due, and answers when to come back.
    async fn turn(&self, seal_at: &mut Instant) -> Result<Instant, StoreError> {
        let _passing = self.passing.lock().await;
        if *seal_at <= Instant::now() {
            *seal_at = Instant::now() + self.options.flush_interval;
            self.seal().await?;
        }
        let pass = self.sender.pass(clock::now().seconds()).await?;
        self.show_outbox().await?;
        if pass.tried == WINDOW as usize {
            return Ok(Instant::now());
        }
        let next = self.store.next_due().await?.map_or(IDLE, |at| {
            let left = u64::try_from(at - clock::now().seconds()).unwrap_or(0);
            Duration::from_secs(left).clamp(Duration::from_millis(200), IDLE)
        });
        Ok(Instant::now() + next)
    }

    /// Everything recorded before this call is sealed and sent once.
    pub async fn flush(&self) -> Result<Flushed, StoreError> {
        if tokio::time::timeout(FLUSH_WITHIN, self.fold_now()).await.is_err() {
            tracing::warn!("the ledger was not folded in time; what is folded is flushed");
        }
        let _passing = self.passing.lock().await;
        let sealed = self.seal().await?;
        let sent = self.send_due().await?;
        let counts = self.show_outbox().await?;
        Ok(Flushed { sealed, sent, pending: counts.pending, dead: counts.dead })
    }

    /// Returns once everything recorded before this call is in the totals.
    async fn fold_now(&self) {
        let target = self.ledger.request_sync();
        // Errors mean that ledger or folder have ended: nothing more will come.
        let _ = self.ledger.synced().wait_for(|synced| synced.next_record >= target).await;
        self.hurry.notify_one();
        let _ = self.folded.clone().wait_for(|folded| folded.next_record >= target).await;
    }

    async fn seal(&self) -> Result<usize, StoreError> {
        let mut rows = 0;
        loop {
            let event_names =
                self.options.meters.iter().map(|(number, _, event)| (*number, event.clone())).collect();
            let plan = SealPlan {
                identifier_prefix: self.options.identifier_prefix.clone(),
                event_names,
                now: clock::now().seconds(),
                limit: ROWS_PER_SEAL,
            };
            let sealed = self.store.seal(plan).await?;
            rows += sealed.rows;
            if !sealed.more {
                self.show_unsealed().await?;
                self.show_reconciled().await?;
                return Ok(rows);
            }
        }
    }

    /// Sends what is due until nothing is, Stripe is away, or a flush has taken long enough. Answers how many rows
    /// Stripe accepted.
    async fn send_due(&self) -> Result<usize, StoreError> {
        let deadline = Instant::now() + FLUSH_WITHIN;
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

fn gauge(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
