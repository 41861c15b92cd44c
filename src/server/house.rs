//! What is done from time to time: customers leave memory, and what is kept no longer goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::billing::end_overrides;
use crate::clock;
use crate::config::{Config, Retention};
use crate::customers::Customers;
use crate::domain::idempotency::REMEMBERED_SECONDS;
use crate::ledger::Ledger;
use crate::reporting::Folded;
use crate::store::{Cutoffs, Store};

use super::callers;

/// Usage that was moved to the current period counts there from now on.
pub(super) async fn raise_moved(customers: Arc<Customers>, mut moved: mpsc::UnboundedReceiver<u32>) {
    while let Some(customer) = moved.recv().await {
        if let Err(error) = customers.raise(customer, clock::now()).await {
            tracing::error!(%error, customer, "usage that was moved to the current period is not counted yet");
        }
    }
}

/// Customers leave as soon as there is room wanted and their records are folded.
async fn tell_what_is_folded(customers: Arc<Customers>, mut folded: watch::Receiver<Folded>) {
    loop {
        let next_record = folded.borrow_and_update().next_record;
        customers.folded(next_record);
        // The folder ends with the process.
        if folded.changed().await.is_err() {
            return;
        }
    }
}

/// Lets customers rest who have gone, and segments go that are no longer kept.
pub(super) async fn keep_house(
    customers: Arc<Customers>,
    ledger: Arc<Ledger>,
    store: Arc<Store>,
    folded: watch::Receiver<Folded>,
    kept: Kept,
) {
    const EVERY: Duration = Duration::from_mins(1);
    tokio::spawn(tell_what_is_folded(customers.clone(), folded.clone()));
    loop {
        let now = clock::now();
        let reached = *folded.borrow();
        customers.evict(now);
        if let Err(error) = end_overrides(&store, &customers, now).await {
            tracing::warn!(%error, "overrides that have come to their end are not taken back yet");
        }
        prune_store(&store, now.seconds(), &kept).await;
        let records = i64::try_from(kept.records.as_micros()).unwrap_or(i64::MAX);
        callers::forget_anonymous(&customers, now, kept.records).await;
        match ledger.prune(now.micros().saturating_sub(records), reached.position) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "segments older than ledger.retention were removed"),
            Err(error) => tracing::warn!(%error, "old segments could not be removed"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// How long things are kept.
pub(super) struct Kept {
    /// Usage records, and the meter events that they were sent in.
    records: Duration,
    settled: Retention,
    /// Idempotency keys of each customer.
    keys: u32,
}

impl Kept {
    pub fn of(config: &Config) -> Self {
        Self {
            records: config.ledger.retention,
            settled: config.retention,
            keys: config.billing.idempotency.keys,
        }
    }

    fn cutoffs(&self, now: i64) -> Cutoffs {
        let records = i64::try_from(self.records.as_secs()).unwrap_or(i64::MAX);
        let Retention { financial, webhooks, logs } = self.settled;
        let [receipts, financial, webhooks, logs] =
            [records, financial, webhooks, logs].map(|kept| now.saturating_sub(kept));
        Cutoffs { receipts, webhooks, financial, logs }
    }
}

/// Idempotency keys are kept as long as they count.
async fn prune_store(store: &Store, now: i64, kept: &Kept) {
    let pruned = async {
        store.prune_settled(kept.cutoffs(now)).await?;
        while store.prune_keys(now.saturating_sub(REMEMBERED_SECONDS)).await? {}
        while store.prune_operations(now).await? {}
        // Not once for each slice: it reads them all.
        store.prune_crowded_keys(kept.keys as usize).await
    };
    if let Err(error) = pruned.await {
        tracing::warn!(%error, "what is no longer kept could not be removed");
    }
}
