//! Events that are applied by one node.

use std::time::Duration;

use super::Facts;
use crate::billing::kinds::{About, about};
use crate::clock;
use crate::fleet::{Away, Claim, ClaimState};
use crate::store::{InboxOutcome, InboxRow};

/// Longer than Stripe, or a nightly comparison, tells of an event again.
const KEPT: Duration = Duration::from_hours(40 * 24);
/// Another node is at it.
const WAIT_SECONDS: i64 = 5;

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
            InboxOutcome::Done { .. } => self.meeting.done(&name(event), KEPT).await,
            InboxOutcome::Failed { .. } => self.meeting.unclaim(&name(event)).await,
            // It stays this node's, as long as it lives.
            InboxOutcome::Postponed { .. } | InboxOutcome::Retry { .. } => Ok(()),
        };
        if told.is_err() {
            tracing::debug!(event = event.event_id, "the fleet was not told of an event");
        }
    }
}

/// An operator may have one applied again; and of rejected meter events every node looks for its own.
fn is_claimed(event: &InboxRow) -> bool {
    about(&event.kind) != Some(About::MeterErrors) && !event.is_replayed
}

fn name(event: &InboxRow) -> String {
    format!("event:{}", event.event_id)
}
