//! What is done by one node: an event applied, others told.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Facts;
use super::send::NotPut;
use crate::billing::kinds::{About, about};
use crate::clock;
use crate::domain::facts::Holder;
use crate::fleet::{Away, Claim, ClaimState};
use crate::store::{EventFacts, InboxOutcome, InboxRow, StoreError, Subscriber, Untold};

/// Longer than Stripe, or a nightly comparison, tells of an event again.
const KEPT: Duration = Duration::from_hours(40 * 24);
/// What follows from an instant is found by each node for itself, within this time. The same may happen again later.
const SAME_WITHIN: Duration = Duration::from_mins(10);
/// Another node is at it.
const WAIT_SECONDS: i64 = 5;
/// It may have ended, and Redis not have heard of it.
const ENDS_WITHIN_SECONDS: i64 = 600;

impl Facts {
    /// What has become of an event elsewhere; `None`: it is this node's to apply.
    pub(in crate::billing) async fn elsewhere(&self, event: &InboxRow) -> Option<InboxOutcome> {
        if !is_claimed(event) {
            return None;
        }
        match self.meeting.claim(&name(event), KEPT).await {
            // What is applied twice changes nothing twice.
            Err(Away) | Ok(Claim::Ours) => None,
            Ok(Claim::Theirs { state: ClaimState::Done(_), .. }) => {
                Some(InboxOutcome::Done { effects: vec!["applied by another node".to_owned()] })
            }
            Ok(Claim::Theirs { state: ClaimState::Doing, .. }) if is_overdue(event) => None,
            Ok(Claim::Theirs { state: ClaimState::Doing, .. }) => Some(InboxOutcome::Postponed {
                at: clock::now().seconds() + WAIT_SECONDS,
                reason: "another node applies it".to_owned(),
            }),
        }
    }

    /// What has become of it here.
    pub(in crate::billing) async fn applied(&self, event: &InboxRow, outcome: &InboxOutcome) {
        if !is_claimed(event) {
            return;
        }
        let told = match outcome {
            InboxOutcome::Done { .. } => self.tell_and_end(event).await,
            InboxOutcome::Failed { .. } => self.meeting.unclaim(&name(event)).await,
            // It stays this node's, as long as it lives.
            InboxOutcome::Postponed { .. } | InboxOutcome::Retry { .. } => Ok(()),
        };
        if told.is_err() {
            tracing::debug!(event = event.event_id, "the fleet was not told of an event");
        }
    }
}

impl Facts {
    /// Done once the fleet has what came of it: this machine may not come back.
    async fn tell_and_end(&self, event: &InboxRow) -> Result<(), Away> {
        match self.put_of(event).await {
            Ok(()) => self.meeting.done(&name(event), KEPT).await,
            Err(error) => {
                tracing::debug!(%error, event = event.event_id, "others may apply an event again");
                self.meeting.unclaim(&name(event)).await
            }
        }
    }

    /// Puts what waits of those whom an event is about.
    async fn put_of(&self, event: &InboxRow) -> Result<(), NotPut> {
        let EventFacts { stripe_customer, client_reference_id, tollgate_customer, .. } = &event.facts;
        let named = [client_reference_id, tollgate_customer].into_iter().flatten();
        let mut holders: Vec<_> = named.cloned().map(Holder::Customer).collect();
        if let Some(id) = stripe_customer {
            let linked = self.store.customers_of(id.clone()).await?;
            holders.extend(linked.into_iter().map(|row| Holder::Customer(row.name)));
            holders.push(Holder::Stripe(id.clone()));
        }
        for holder in holders {
            if let Some(row) = self.store.facts_of(holder).await?.filter(|row| row.changes > 0) {
                self.put_one(row).await?;
            }
        }
        Ok(())
    }

    /// Makes the deliveries of new notices, but for those that another node tells. Answers how many there were.
    pub(in crate::billing) async fn spread(&self, to: Arc<[Subscriber]>) -> Result<usize, StoreError> {
        let (mut told, mut left, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for notice in self.store.new_notices().await? {
            let Untold { id, kind, .. } = &notice;
            let row = (*id, kind.clone());
            let Some(what) = called(&notice) else {
                told.push(row);
                continue;
            };
            let kept = if is_repeatable(&notice) { SAME_WITHIN } else { KEPT };
            match self.meeting.claim(&what, kept).await {
                Ok(Claim::Theirs { .. }) => left.push(row),
                Ok(Claim::Ours) | Err(Away) => {
                    told.push(row);
                    done.extend((!is_repeatable(&notice)).then_some(what));
                }
            }
        }
        let spread = self.store.spread_only(to, told, left, clock::now().seconds()).await?;
        for what in done {
            // Without Redis others tell it as well.
            let _ = self.meeting.done(&what, KEPT).await;
        }
        Ok(spread)
    }
}

/// A change of state may come again; others have a cause that does not.
fn is_repeatable(notice: &Untold) -> bool {
    notice.cause.starts_with("state:")
}

/// The same for the same on each node; `None`: it is about this node. Causes name customers, changes and grants by
/// their numbers here, but for those that name something at Stripe.
fn called(notice: &Untold) -> Option<String> {
    notice.customer?;
    let is_of_stripe = notice
        .cause
        .split(':')
        .any(|word| ["in_", "pi_", "sub_"].iter().any(|prefix| word.starts_with(prefix)));
    let same =
        if is_of_stripe && !notice.cause.starts_with("second:") { &notice.cause } else { &notice.data };
    Some(format!("notice:{:x}", Sha256::digest(format!("{} {same}", notice.kind))))
}

fn is_overdue(event: &InboxRow) -> bool {
    clock::now().seconds() - event.created > ENDS_WITHIN_SECONDS
}

/// An operator may have one applied again; and of rejected meter events every node looks for its own.
fn is_claimed(event: &InboxRow) -> bool {
    about(&event.kind) != Some(About::MeterErrors) && !event.is_replayed
}

fn name(event: &InboxRow) -> String {
    format!("event:{}", event.event_id)
}
