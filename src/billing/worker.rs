//! The inbox worker, and the re-reads that are due when a period has ended.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use tokio::sync::{Notify, mpsc, watch};

use crate::clock;
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::metrics::METRICS;
use crate::store::{InboxOutcome, InboxRow, Store, StoreError};
use crate::stripe::{Backoff, Transport, random};

use super::apply::{Applier, ApplyError};
use super::sync::Sync;
use super::{listing, silence};

/// Events applied, and subscriptions read again, at once.
const CONCURRENCY: usize = 8;
/// Re-reads taken up at once.
const WINDOW: u32 = 256;
/// Tries of an event that fails for a reason that waiting does not cure.
const TRIES: u32 = 3;
/// The inbox and the re-reads are looked at least this often.
const IDLE: Duration = Duration::from_secs(5);
/// A re-read that is under way or failed comes up again after this.
const REREAD_AGAIN_SECONDS: i64 = 60;

/// Applies what Stripe's webhooks tell.
pub struct Billing {
    applier: Arc<Applier>,
    sync: Arc<Sync>,
    arrived: Arc<Notify>,
    usage_due: Arc<Notify>,
}

impl Billing {
    /// `arrived` is notified when an event has been stored; `usage_due` notifies that usage should be sent soon.
    pub fn new(
        store: Arc<Store>,
        customers: Arc<Customers>,
        catalogue: Arc<Catalogue>,
        transport: Arc<Transport>,
        (arrived, usage_due): (Arc<Notify>, Arc<Notify>),
    ) -> Result<Self, StoreError> {
        let applier = Arc::new(Applier::new(store, customers, catalogue, transport)?);
        let sync = Arc::new(Sync::new(applier.clone(), arrived.clone()));
        Ok(Self { applier, sync, arrived, usage_due })
    }

    /// What reads everything again.
    pub fn sync(&self) -> Arc<Sync> {
        self.sync.clone()
    }

    /// Works until told to stop. `unknown` brings Stripe customers of whom nothing is known.
    pub async fn run(&self, unknown: mpsc::UnboundedReceiver<String>, mut stop: watch::Receiver<bool>) {
        tokio::spawn(listing::run(self.applier.clone(), unknown));
        let silence = silence::watch(&self.applier);
        let work = async { tokio::join!(self.apply_events(), self.reread_and_count(), silence) };
        tokio::select! {
            _ = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Applies events as they come, several at once: a slow one holds up no other.
    async fn apply_events(&self) {
        let mut in_flight: HashSet<String> = HashSet::new();
        let mut applying = FuturesUnordered::new();
        loop {
            let wait = match self.due_events(&in_flight).await {
                Ok((events, wait)) => {
                    for event in events {
                        in_flight.insert(event.event_id.clone());
                        applying.push(self.apply(event));
                    }
                    wait
                }
                Err(error) => {
                    tracing::error!(%error, "the inbox could not be read; it is tried again");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                Some(event_id) = applying.next() => { in_flight.remove(&event_id); }
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// What can be begun now, and how long to wait if nothing happens.
    async fn due_events(&self, in_flight: &HashSet<String>) -> Result<(Vec<InboxRow>, Duration), StoreError> {
        let free = CONCURRENCY - in_flight.len();
        if free == 0 {
            return Ok((Vec::new(), IDLE));
        }
        let window = u32::try_from(CONCURRENCY + in_flight.len()).unwrap_or(u32::MAX);
        let due = self.applier.store.due_events(clock::now().seconds(), window).await?;
        let new: Vec<_> = due.into_iter().filter(|e| !in_flight.contains(&e.event_id)).take(free).collect();
        let next = self.applier.store.next_event_due().await?;
        let wait = next.map_or(IDLE, |at| {
            let left = u64::try_from(at - clock::now().seconds()).unwrap_or(0);
            Duration::from_secs(left).clamp(Duration::from_millis(200), IDLE)
        });
        Ok((new, wait))
    }

    /// Reads again what should have moved into another period and of which nothing was heard.
    async fn reread_and_count(&self) {
        loop {
            let outcome = async { self.reread_due().await.and(self.applier.count().await) }.await;
            if let Err(error) = outcome {
                tracing::error!(%error, "subscriptions could not be looked through; it is tried again");
            }
            tokio::time::sleep(IDLE).await;
        }
    }

    async fn reread_due(&self) -> Result<(), StoreError> {
        loop {
            let at = clock::now().seconds();
            let due = self.applier.store.due_rereads(at, at + REREAD_AGAIN_SECONDS, WINDOW).await?;
            if due.is_empty() {
                return Ok(());
            }
            let reads = stream::iter(due).for_each_concurrent(CONCURRENCY, |due| async move {
                if let Err(error) = self.applier.reread(&due.id, Some(&due.stripe_customer), clock::now()).await {
                    tracing::warn!(%error, subscription = due.id, "a subscription could not be read again yet");
                }
            });
            reads.await;
        }
    }

    /// Applies one event, notes what became of it, and gives its id back.
    async fn apply(&self, event: InboxRow) -> String {
        if event.kind == "customer.subscription.deleted" {
            // Its last invoice is being drawn up.
            self.usage_due.notify_one();
        }
        let outcome = match self.applier.event(&event, clock::now()).await {
            Ok(()) => {
                tracing::info!(
                    event = event.event_id,
                    kind = event.kind,
                    "stripe_webhook_handled_successfully"
                );
                count_effect(&event.kind);
                METRICS.webhook_lag_seconds.set((clock::now().seconds() - event.created).max(0));
                InboxOutcome::Done
            }
            Err(error) => put_off(&event, &error),
        };
        let settled =
            self.applier.store.settle_event(event.event_id.clone(), outcome, clock::now().seconds()).await;
        if let Err(error) = settled {
            // It stays pending and is applied again, which changes nothing.
            tracing::error!(%error, event = event.event_id, "an event's outcome could not be stored");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        event.event_id
    }
}

fn put_off(event: &InboxRow, error: &ApplyError) -> InboxOutcome {
    let reason = error.to_string();
    let pause = |tries| i64::try_from(Backoff::DURABLE.pause(tries, random()).as_secs()).unwrap_or(30).max(1);
    if error.is_passing() {
        tracing::warn!(event = event.event_id, reason, "a webhook event waits");
        return InboxOutcome::Postponed { at: clock::now().seconds() + pause(3), reason };
    }
    if event.tries + 1 >= TRIES {
        tracing::error!(event = event.event_id, kind = event.kind, reason, "a webhook event failed for good");
        return InboxOutcome::Failed { reason };
    }
    InboxOutcome::Retry { at: clock::now().seconds() + pause(event.tries), reason }
}

/// What operators watch beside the state.
fn count_effect(kind: &str) {
    match kind {
        "invoice.payment_succeeded" => {
            tracing::info!("payment_succeeded");
            METRICS.payments.with_label_values(&["succeeded"]).inc();
        }
        "invoice.payment_failed" => METRICS.payments.with_label_values(&["failed"]).inc(),
        "checkout.session.completed" => METRICS.checkouts.with_label_values(&["completed"]).inc(),
        _ => {}
    }
}
