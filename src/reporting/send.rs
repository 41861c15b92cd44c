//! One pass over the outbox: the rows that are due are sent, those of one customer and meter one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock;
use crate::metrics::METRICS;
use crate::store::{ARRIVED_BEFORE, Due, NeverArrived, OutboxRow, Outcome, Store, StoreError};
use crate::stripe::{Backoff, MeterEvent, MeterEventAnswer, Transport, random, send_meter_event};

use super::books::{Books, OtherBooks};
use super::copy::Copier;
use super::stripe_sums::StripeSums;
use super::unanswered::Comparer;

/// Rows read into memory at once; a backlog of any size passes through this window.
pub(super) const WINDOW: u32 = 4_096;
/// Calls in flight at once, each for another customer or meter: enough to reach the limit of meter events a second
/// where an answer takes a quarter of one.
const CONCURRENCY: usize = 256;
/// Outcomes that are noted together, at most.
const GROUP: usize = 256;
/// Calls begin within this time of a pass. What is left is put back, behind what others have waiting: neither a slow
/// Stripe nor one Stripe customer with thousands of rows keeps everybody's usage from being sealed and sent.
const PASS_WITHIN: Duration = Duration::from_secs(10);
/// A pass takes seconds: what is left of one that began an hour ago is asked for anew. The machine stood still, and
/// in a fleet another node may have sent it meanwhile.
const PASS_IS_OLD_SECONDS: i64 = 3_600;
/// A row that was never tried, of which Stripe says that it knows its name: another node may have sent it, and its
/// fence is waited for through so many tries, some of them hours apart.
const TRIES_WITHOUT_FENCE: u32 = 20;

/// Rows of one pass.
pub(super) struct Pass {
    pub tried: usize,
    pub delivered: usize,
}

pub(super) struct Sender {
    pub store: Arc<Store>,
    pub transport: Arc<Transport>,
    /// Begins every identifier.
    identifier_prefix: String,
    comparer: Comparer,
    /// In a fleet: nothing is sent before it is copied.
    copier: Option<Arc<Copier>>,
    pub(super) pass_within: Duration,
}

impl Sender {
    /// `settle_seconds`: how long Stripe gets to add up what it has accepted.
    pub fn new(
        store: Arc<Store>,
        transport: Arc<Transport>,
        identifier_prefix: String,
        settle_seconds: i64,
    ) -> Self {
        let comparer = Comparer {
            books: Books::new(store.clone()),
            sums: StripeSums::new(transport.clone()),
            settle_seconds,
        };
        Self { store, transport, identifier_prefix, comparer, copier: None, pass_within: PASS_WITHIN }
    }

    pub fn in_fleet(mut self, copier: Arc<Copier>, others: Arc<dyn OtherBooks>) -> Self {
        self.copier = Some(copier);
        self.comparer.books = self.comparer.books.with(others);
        self
    }

    /// Sends what is due.
    pub async fn pass(&self, now: i64) -> Result<Pass, StoreError> {
        // An open circuit lets one probe through: one row is enough for it.
        let window = if self.transport.circuit_open() { 1 } else { WINDOW };
        let due = match &self.copier {
            None => self.store.claim_due(now, window).await?,
            Some(copier) => self.claim_copied(copier, now, window).await?,
        };
        self.send_all(due, now).await
    }

    /// What is due and may be taken over; repairs are never.
    async fn claim_copied(&self, copier: &Copier, now: i64, window: u32) -> Result<Due, StoreError> {
        let copied = copier.cover(self.store.due(now, window).await?, now).await?;
        let mut due = self.store.claim_these(copied, now).await?;
        due.extend(self.store.claim_repairs(now, window).await?);
        Ok(due)
    }

    /// Sends rows that have been marked as tried.
    pub async fn send_all(&self, due: Due, now: i64) -> Result<Pass, StoreError> {
        let tried = due.len();
        let mut lanes: HashMap<(String, String), Vec<OutboxRow>> = HashMap::new();
        for row in due {
            lanes.entry((row.stripe_customer.clone(), row.event_name.clone())).or_default().push(row);
        }
        let until = Instant::now() + self.pass_within;
        let (told, outcomes) = mpsc::unbounded_channel();
        let sending = async {
            let lanes = stream::iter(lanes.into_values());
            let sent = lanes.map(|lane| self.send_lane(lane, (now, until), &told));
            sent.buffer_unordered(CONCURRENCY).collect::<()>().await;
            drop(told);
        };
        let ((), delivered) = tokio::join!(sending, self.settle(outcomes, now));
        Ok(Pass { tried, delivered: delivered? })
    }

    /// Notes outcomes as they come, those that come during a commit together in the next: a crash in the middle of a
    /// long pass forgets few answers. Answers how many events Stripe has accepted.
    async fn settle(
        &self,
        mut outcomes: mpsc::UnboundedReceiver<(i64, Outcome)>,
        now: i64,
    ) -> Result<usize, StoreError> {
        let (mut delivered, mut group) = (0, Vec::new());
        while outcomes.recv_many(&mut group, GROUP).await > 0 {
            let is_delivered = |outcome: &Outcome| matches!(outcome, Outcome::Delivered { .. });
            delivered += group.iter().filter(|(_, outcome)| is_delivered(outcome)).count();
            self.store.settle_tries(std::mem::take(&mut group), now).await?;
        }
        Ok(delivered)
    }

    /// Stripe takes one call at a time for a customer and meter.
    async fn send_lane(
        &self,
        lane: Vec<OutboxRow>,
        (began, until): (i64, Instant),
        told: &mpsc::UnboundedSender<(i64, Outcome)>,
    ) {
        for row in lane {
            // A machine that slept in the middle of a pass must not send what Stripe has forgotten.
            let now = clock::now().seconds();
            let outcome = if Instant::now() >= until || is_old(began, now) {
                put_back(&row, now)
            } else {
                let outcome = self.send(&row, now).await;
                METRICS.meter_events.with_label_values(&[label(&outcome)]).inc();
                outcome
            };
            // Nobody listens only after the store has failed: the row stays tried and pending.
            let _ = told.send((row.sequence, outcome));
        }
    }

    async fn send(&self, row: &OutboxRow, now: i64) -> Outcome {
        if row.is_unanswered(now) {
            return self.comparer.look(row, now).await;
        }
        let event = MeterEvent {
            event_name: row.event_name.clone(),
            stripe_customer: row.stripe_customer.clone(),
            value: row.value,
            identifier: row.identifier.clone(),
            timestamp: row.timestamp,
        };
        // Stripe replays a stored answer under its key: after one, the same event goes under another key.
        let key = format!("{}-{}", row.identifier, row.answers);
        let answer = send_meter_event(&self.transport, &event, &key).await;
        self.outcome(row, answer, now).await
    }

    /// What Stripe's answer makes of a row.
    pub(super) async fn outcome(&self, row: &OutboxRow, answer: MeterEventAnswer, now: i64) -> Outcome {
        match answer {
            MeterEventAnswer::Accepted { answer } => Outcome::Delivered { answer },
            MeterEventAnswer::Duplicate if row.rejected_at.is_some() => remembered(row),
            MeterEventAnswer::Duplicate if row.first_tried_at.is_some() => {
                Outcome::Delivered { answer: ARRIVED_BEFORE.into() }
            }
            MeterEventAnswer::Duplicate => self.taken_name(row, now).await,
            MeterEventAnswer::Refused { reason } => {
                tracing::error!(identifier = row.identifier, reason, "Stripe refused a meter event for good");
                Outcome::Dead { reason, refused: true }
            }
            MeterEventAnswer::Retry { reason, answered, arrived } => {
                tracing::warn!(
                    identifier = row.identifier,
                    tries = row.tries + 1,
                    reason,
                    "a meter event waits"
                );
                let never_arrived = (!arrived).then_some(NeverArrived { first_tried_at: row.first_tried_at });
                Outcome::Retry { at: next_try(row, now), answered, never_arrived, reason }
            }
        }
    }

    /// Never tried before, and yet Stripe knows the identifier. Where another node may have taken this one over that
    /// was probably so, perhaps with fewer units: its fence tells.
    async fn taken_name(&self, row: &OutboxRow, now: i64) -> Outcome {
        if matches!(self.store.was_copied().await, Ok(false)) {
            return self.reseal(row, now);
        }
        let reason = "another node has sent a meter event of this name: how many units is not known";
        tracing::error!(identifier = row.identifier, reason, "a meter event was not taken");
        if row.tries >= TRIES_WITHOUT_FENCE {
            return Outcome::Dead { reason: reason.into(), refused: true };
        }
        let never_arrived = Some(NeverArrived { first_tried_at: None });
        Outcome::Retry { at: next_try(row, now), answered: true, never_arrived, reason: reason.into() }
    }

    /// Somebody else used the identifier, so that these units have not arrived.
    fn reseal(&self, row: &OutboxRow, now: i64) -> Outcome {
        tracing::error!(
            identifier = row.identifier,
            "another meter event already has this identifier: it is sealed anew"
        );
        Outcome::Reseal {
            identifier: format!("{}-{}-r{:08x}", self.identifier_prefix, row.sequence, random()),
            at: next_try(row, now),
            reason: "the identifier was taken at Stripe".into(),
        }
    }
}

/// Stripe knows the identifier of an event that it has rejected: that it does says nothing of whether it counts. This
/// try did not arrive; one before it, since the rejection, may have.
fn remembered(row: &OutboxRow) -> Outcome {
    let refused = row.first_tried_at.is_none();
    let reason = if refused {
        "rejected by Stripe, which remembers the identifier for 24 h: retry after that"
    } else {
        "rejected by Stripe, and a try since then was left without an answer: retried over 23 h after that one, it is \
         compared with Stripe's sums"
    };
    tracing::error!(identifier = row.identifier, reason, "a rejected meter event was not taken again");
    Outcome::Dead { reason: reason.into(), refused }
}

/// Whether a pass is too old for its rows to be sent in it.
pub(super) fn is_old(began: i64, now: i64) -> bool {
    now - began >= PASS_IS_OLD_SECONDS
}

/// This try has not been made.
pub(super) fn put_back(row: &OutboxRow, now: i64) -> Outcome {
    Outcome::Retry {
        at: now,
        answered: false,
        never_arrived: Some(NeverArrived { first_tried_at: row.first_tried_at }),
        reason: "waits for its turn".into(),
    }
}

fn next_try(row: &OutboxRow, now: i64) -> i64 {
    now.saturating_add_unsigned(Backoff::DURABLE.pause(row.tries, random()).as_secs().max(1))
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { answer } if answer == ARRIVED_BEFORE => "duplicate",
        Outcome::Delivered { .. } => "delivered",
        Outcome::Dead { .. } => "dead",
        Outcome::Retry { .. } | Outcome::Resend { .. } | Outcome::PartArrived { .. } => "retried",
        Outcome::Compared { .. } => "compared",
        Outcome::Reseal { .. } => "resealed",
    }
}
