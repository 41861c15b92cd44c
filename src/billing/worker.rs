//! The inbox worker, and the re-reads that are due when a period has ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use tokio::sync::{Notify, mpsc, watch};

use crate::clock;
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::domain::usage::Now;
use crate::live::Live;
use crate::metrics::METRICS;
use crate::store::{InboxOutcome, InboxRow, Store, StoreError};
use crate::stripe::{Backoff, Transport, random};

use super::apply::{Applier, ApplyError};
use super::events::Read;
use super::fleet::{Facts, Meeting};
use super::forward::{ForwardTo, Forwarder, Outgoing};
use super::grouping::{Group, groups};
use super::shop::{Shop, ShopSettings};
use super::sync::Sync;
use super::{kinds, listing, silence};

/// Groups of events applied, and subscriptions read again, at once.
const CONCURRENCY: usize = 8;
/// Events, or re-reads, taken up at once.
const WINDOW: u32 = 256;
/// Tries of an event that fails for a reason that waiting does not cure.
const TRIES: u32 = 3;
/// The inbox and the re-reads are looked at least this often.
const IDLE: Duration = Duration::from_secs(5);
/// A re-read that is under way or failed comes up again after this.
const REREAD_AGAIN_SECONDS: i64 = 60;

/// How Stripe's events are handled.
#[derive(Default)]
pub struct Handling {
    /// They are compared with what is known here, and change nothing.
    pub shadow: bool,
    /// Another handler that gets each as it came.
    pub forward: Option<ForwardTo>,
    /// Where this node and others tell each other what they know; `None`: it is the only one.
    pub meeting: Option<Arc<dyn Meeting>>,
}

impl Handling {
    /// What is to be handed on.
    pub fn outgoing(&self) -> Option<Arc<Outgoing>> {
        self.forward.as_ref().map(|to| to.outgoing.clone())
    }
}

/// Applies what Stripe's webhooks tell.
pub struct Billing {
    applier: Arc<Applier>,
    sync: Arc<Sync>,
    arrived: Arc<Notify>,
    usage_due: Arc<Notify>,
    forwarder: Option<Forwarder>,
}

impl Billing {
    /// `arrived` is notified when an event has been stored; `usage_due` notifies that usage should be sent soon.
    pub fn new(
        store: Arc<Store>,
        customers: Arc<Customers>,
        catalogue: Arc<Live<Catalogue>>,
        transport: Arc<Transport>,
        (arrived, usage_due): (Arc<Notify>, Arc<Notify>),
        handling: Handling,
    ) -> Result<Self, StoreError> {
        kinds::preset_metrics();
        let outgoing = handling.outgoing();
        let forwarder = handling.forward.map(|to| Forwarder::new(to, store.clone()));
        let applier = Arc::new(Applier::new(
            store,
            customers,
            catalogue,
            transport,
            handling.shadow,
            handling.meeting,
        )?);
        let sync = Arc::new(Sync::new(applier.clone(), arrived.clone(), outgoing));
        Ok(Self { applier, sync, arrived, usage_due, forwarder })
    }

    /// What reads everything again.
    pub fn sync(&self) -> Arc<Sync> {
        self.sync.clone()
    }

    /// What this node and others tell each other; it works while [`Facts::run`] does.
    pub fn facts(&self) -> Option<Arc<Facts>> {
        self.applier.facts.clone()
    }

    /// The shop beside it: what is bought there and what webhooks tell are put into force by the same hand.
    pub fn shop(&self, settings: ShopSettings) -> Shop {
        Shop::new(self.applier.clone(), settings)
    }

    /// Works until told to stop. `unknown` brings Stripe customers of whom nothing is known.
    pub async fn run(&self, unknown: mpsc::UnboundedReceiver<String>, mut stop: watch::Receiver<bool>) {
        tokio::spawn(listing::run(self.applier.clone(), unknown));
        let silence = silence::watch(&self.applier);
        let work =
            async { tokio::join!(self.apply_events(), self.reread_and_count(), self.hand_on(), silence) };
        tokio::select! {
            _ = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn hand_on(&self) {
        if let Some(forwarder) = &self.forwarder {
            forwarder.run().await;
        }
    }

    /// Applies events as they come, several groups at once: a slow one holds up no other.
    async fn apply_events(&self) {
        let mut waiting: VecDeque<Group> = VecDeque::new();
        let mut in_flight: HashMap<String, usize> = HashMap::new();
        let mut applying = FuturesUnordered::new();
        loop {
            let mut wait = IDLE;
            if waiting.is_empty() && in_flight.len() < CONCURRENCY {
                match self.due_groups(&in_flight).await {
                    Ok((groups, until_next)) => (waiting, wait) = (groups.into(), until_next),
                    Err(error) => {
                        tracing::error!(%error, "the inbox could not be read; it is tried again");
                        wait = Duration::from_secs(1);
                    }
                }
            }
            while in_flight.len() < CONCURRENCY
                && let Some(group) = waiting.pop_front()
            {
                in_flight.insert(group.key.clone(), group.events.len());
                applying.push(self.apply(group));
            }
            tokio::select! {
                Some(key) = applying.next() => { in_flight.remove(&key); }
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// What can be begun now, and how long to wait if nothing happens.
    async fn due_groups(
        &self,
        in_flight: &HashMap<String, usize>,
    ) -> Result<(Vec<Group>, Duration), StoreError> {
        let store = &self.applier.store;
        let busy = u32::try_from(in_flight.values().sum::<usize>()).unwrap_or(u32::MAX);
        let due = store.due_events(clock::now().seconds(), WINDOW.saturating_add(busy)).await?;
        let next = store.next_event_due().await?;
        let wait = next.map_or(IDLE, |at| {
            let left = u64::try_from(at - clock::now().seconds()).unwrap_or(0);
            Duration::from_secs(left).clamp(Duration::from_millis(200), IDLE)
        });
        Ok((groups(due, in_flight), wait))
    }

    /// Reads again what should have moved into another period and of which nothing was heard.
    async fn reread_and_count(&self) {
        let mut counted_by = None;
        loop {
            let outcome = async {
                self.reread_due().await?;
                self.adopt_due().await?;
                self.count_events().await?;
                self.applier.count(&mut counted_by).await
            };
            if let Err(error) = outcome.await {
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

    /// Invoices that were paid before anybody was known to have paid them.
    async fn adopt_due(&self) -> Result<(), StoreError> {
        if self.applier.shadow {
            return Ok(());
        }
        for invoice in self.applier.store.due_invoices(WINDOW).await? {
            if let Err(error) = self.applier.adopt(&invoice, clock::now()).await {
                tracing::warn!(%error, invoice, "an invoice could not be looked at again yet");
                if error.is_passing() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn count_events(&self) -> Result<(), StoreError> {
        let counts = self.applier.store.count_events().await?;
        METRICS.inbox_pending.set(counts.pending);
        METRICS.inbox_failed.set(counts.failed);
        let age = counts.oldest_at.map_or(0, |at| (clock::now().seconds() - at).max(0));
        METRICS.inbox_oldest_seconds.set(age);
        Ok(())
    }

    /// Applies a group, notes what became of its events, and gives its key back.
    async fn apply(&self, group: Group) -> String {
        let mut read = Read::default();
        let mut outcomes = Vec::new();
        let mut away: Option<String> = None;
        for event in group.events {
            let outcome = match &away {
                Some(reason) => postponed(&event, reason.clone(), clock::now()),
                None => self.apply_once(&event, &mut read).await,
            };
            if let InboxOutcome::Postponed { reason, .. } = &outcome {
                away.get_or_insert_with(|| reason.clone());
            }
            outcomes.push((event.event_id, outcome));
        }
        if let Err(error) = self.applier.store.settle_events(outcomes, clock::now().seconds()).await {
            // They stay pending and are applied again, which changes nothing.
            tracing::error!(%error, about = group.key, "what became of events could not be stored");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        group.key
    }

    /// On one of the nodes.
    async fn apply_once(&self, event: &InboxRow, read: &mut Read) -> InboxOutcome {
        let Some(facts) = &self.applier.facts else { return self.apply_one(event, read).await };
        if let Some(outcome) = facts.elsewhere(event).await {
            return outcome;
        }
        let outcome = self.apply_one(event, read).await;
        facts.applied(event, &outcome).await;
        outcome
    }

    async fn apply_one(&self, event: &InboxRow, read: &mut Read) -> InboxOutcome {
        if matches!(event.kind.as_str(), "customer.subscription.deleted" | "invoice.upcoming") {
            // An invoice is being drawn up.
            self.usage_due.notify_one();
        }
        tracing::debug!(event = event.event_id, kind = event.kind, tries = event.tries, "applying an event");
        match self.applier.event(event, read, clock::now()).await {
            Ok(effects) => {
                tracing::debug!(event = event.event_id, ?effects, "an event is applied");
                self.note_applied(event, &effects);
                InboxOutcome::Done { effects }
            }
            Err(error) => put_off(event, &error, clock::now()),
        }
    }

    fn note_applied(&self, event: &InboxRow, effects: &[String]) {
        let (id, kind) = (&event.event_id, &event.kind);
        if self.applier.shadow {
            for difference in effects {
                tracing::warn!(event = id, kind, difference, "shadow_difference");
            }
        }
        tracing::info!(event = id, kind, "stripe_webhook_handled_successfully");
        METRICS.webhook_lag_seconds.set(clock::now().seconds().saturating_sub(event.created).max(0));
    }
}

fn put_off(event: &InboxRow, error: &ApplyError, now: Now) -> InboxOutcome {
    let reason = error.to_string();
    if error.is_passing() {
        return postponed(event, reason, now);
    }
    if event.tries + 1 >= TRIES {
        tracing::error!(event = event.event_id, kind = event.kind, reason, "a webhook event failed for good");
        return InboxOutcome::Failed { reason };
    }
    tracing::warn!(event = event.event_id, kind = event.kind, reason, "a webhook event is tried again");
    InboxOutcome::Retry { at: next_second(now) + (1_i64 << event.tries.min(TRIES)), reason }
}

/// That is no try.
fn postponed(event: &InboxRow, reason: String, now: Now) -> InboxOutcome {
    tracing::warn!(event = event.event_id, reason, "a webhook event waits");
    let pause = Backoff::DURABLE.pause(3, random()).as_secs().max(1);
    InboxOutcome::Postponed { at: now.seconds() + i64::try_from(pause).unwrap_or(1), reason }
}

/// No pause is shorter than it should be.
fn next_second(now: Now) -> i64 {
    now.seconds() + i64::from(now.micros() % 1_000_000 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EventFacts;
    use crate::stripe::CallError;

    fn outcome(tries: u32, error: CallError) -> InboxOutcome {
        let (event_id, kind) = ("evt_1".to_owned(), "invoice.paid".to_owned());
        let event =
            InboxRow { event_id, kind, created: 0, facts: EventFacts::default(), tries, is_replayed: false };
        put_off(&event, &ApplyError::Stripe(error), Now::from_micros(100_500_000))
    }

    #[test]
    fn what_waiting_does_not_cure_is_tried_three_times_with_pauses_that_double() {
        let poison = || CallError::Unreadable { reason: "poison".to_owned() };
        let at = |tries| match outcome(tries, poison()) {
            InboxOutcome::Retry { at, .. } => Some(at),
            _ => None,
        };
        assert_eq!((at(0), at(1), at(2)), (Some(101 + 1), Some(101 + 2), None));
        assert!(matches!(outcome(2, poison()), InboxOutcome::Failed { .. }));
    }

    #[test]
    fn what_cannot_be_read_here_is_tried_as_often_as_what_cannot_be_read_there() {
        let is_passing = |error: StoreError| ApplyError::Store(error).is_passing();
        assert!(!is_passing(StoreError::Unreadable("a subscription".to_owned())));
        assert!(is_passing(StoreError::Closed));
    }

    #[test]
    fn stripe_being_away_is_no_try_however_often() {
        for tries in [0, 2, 100] {
            let waits = outcome(tries, CallError::CircuitOpen);
            assert!(
                matches!(waits, InboxOutcome::Postponed { at, .. } if (101..=130).contains(&at)),
                "{waits:?}"
            );
        }
    }
}
