//! What of a subscription ends soon, and what should have ended already.

use crate::domain::catalogue::Catalogue;
use crate::domain::notice::NoticeKind;
use crate::domain::subscription::{Facts, Status, Subscription};

const DAY_SECONDS: i64 = 86_400;
/// How long before its end each is told, by a look each day.
const TRIAL_TOLD_BEFORE: i64 = 3 * DAY_SECONDS;
const GRACE_TOLD_BEFORE: i64 = 2 * DAY_SECONDS;
const END_TOLD_BEFORE: i64 = 7 * DAY_SECONDS;

/// Something that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub kind: NoticeKind,
    pub at: i64,
    /// Under which name the message says when.
    pub told_as: &'static str,
    /// One for each end, whoever tells of it; behind it stands the number of the customer who is told.
    pub cause: String,
}

/// What ends soon of a subscription to something that is sold here.
pub(super) fn of(facts: &Facts, catalogue: &Catalogue, now: i64) -> Vec<Ending> {
    let read = Subscription::read(facts, catalogue);
    if read.tier.is_none() {
        return Vec::new();
    }
    let trial = facts.trial_end.filter(|_| facts.status == Status::Trialing);
    let since = facts.past_due_since.filter(|_| facts.status == Status::PastDue);
    let grace = since.map(|since| since.saturating_add(catalogue.past_due_grace));
    let cancels = facts.cancel_at_period_end.then_some(read.paid_until).flatten();
    let end = facts.cancel_at.or(cancels);
    let end = end.filter(|_| matches!(facts.status, Status::Trialing | Status::Active));
    let ends = [
        (NoticeKind::TrialEnding, "trial", "trial_end", trial, TRIAL_TOLD_BEFORE),
        (NoticeKind::GraceEnding, "grace", "expires_at", grace, GRACE_TOLD_BEFORE),
        (NoticeKind::SubscriptionExpiring, "expiring", "expires_at", end, END_TOLD_BEFORE),
    ];
    let soon = |(kind, word, told_as, at, before): (_, _, _, Option<i64>, i64)| {
        let at = at.filter(|at| (now + 1..=now.saturating_add(before)).contains(at))?;
        Some(Ending { kind, at, told_as, cause: format!("{word}:{}:{at}", facts.id) })
    };
    ends.into_iter().filter_map(soon).collect()
}

/// News of it may have been missed: a trial that is over, a payment that failed.
pub(super) fn is_overdue(facts: &Facts, now: i64) -> bool {
    match facts.status {
        Status::Trialing => facts.trial_end.is_some_and(|end| end <= now),
        Status::PastDue | Status::Unpaid | Status::Incomplete => true,
        Status::Active | Status::Paused | Status::IncompleteExpired | Status::Canceled => false,
    }
}

#[cfg(test)]
#[path = "ending_tests.rs"]
mod tests;
