//! Repairing: what Stripe turned out not to hold is sent, and nothing else.
//!
//! - Only minutes that have settled are looked at: they ended, and Stripe last accepted something of them, over
//!   `reconcile_settle` ago, and nothing of them is without an answer. So a sum that lags behind is not taken for a
//!   loss, and a second run does not repair what the first one has just sent.
//! - A repair lies in the minute that misses it, found by halving; Stripe's sum of that minute is read once more.
//! - The row is made only if its minute in the outbox is still as it was compared, in one transaction.
//! - Dead rows are named, not replaced: sent again later, they would bill twice. Where Stripe holds too much in one
//!   minute and too little in another of the same billing period, nothing is repaired by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock;
use crate::domain::period::Period;
use crate::store::{Account, MinuteHoldings, Repair as NewRow, RepairState};

use super::narrow::{Finding, Part, by_period};
use super::reconcile::{Difference, ReconcileError, Reconciler, Repair, Report};
use super::span::{minute, minute_of};

/// Stripe takes nothing older than 35 days; an hour of it is left for the sending.
const STRIPE_TAKES_SECONDS: i64 = 35 * 86_400 - 3_600;
/// The gateway looks at its outbox at least every 10 s; without news for so long nobody waits on.
const NEWS_WITHIN: Duration = Duration::from_secs(30);
const ROWS: u32 = 512;

const TOO_FRESH: &str = "within billing.reconcile_settle: run again later";
const EDGE: &str = "a minute holds the edge of two billing periods: repair it by hand";
const TOO_MUCH: &str = "Stripe holds too much in one minute and too little in another: repair it by hand";
const UNSTEADY: &str =
    "Stripe's sum was not the same when it was read again: run again, or look for events that are not ours";
const TOO_OLD: &str = "older than the 35 days that Stripe takes";
const CHANGED: &str = "changed while it was compared: run again";

/// Rows made for one account, and why some were not.
#[derive(Default)]
struct Outcome {
    rows: Vec<i64>,
    remarks: BTreeSet<&'static str>,
}

impl Reconciler {
    /// Makes rows for what is missing, and remarks what is left to others.
    pub(super) async fn repair(
        &self,
        account: &Account,
        span: Period,
        difference: &mut Difference,
    ) -> Result<(), ReconcileError> {
        let now = clock::now().seconds();
        let settled = Period { end: span.end.min(minute(now.saturating_sub(self.settle_seconds))), ..span };
        let mut outcome = Outcome::default();
        if settled.end < span.end {
            let fresh = Period { start: settled.end.max(span.start), ..span };
            let held = self.store.holdings(account.clone(), fresh).await?;
            if held.ledger != self.sums.units(account, fresh).await? {
                outcome.remarks.insert(TOO_FRESH);
            }
        }
        if settled.start < settled.end {
            let minutes = self.store.minutes(account.clone(), settled).await?;
            for (minutes, span) in by_period(&minutes, settled) {
                self.repair_period(account, minutes, span, now, &mut outcome).await?;
            }
        }
        difference.repairs = outcome.rows;
        outcome.remarks.iter().for_each(|remark| difference.remark(remark));
        Ok(())
    }

    /// The missing minutes of one billing period. All are found before the first is repaired.
    async fn repair_period(
        &self,
        account: &Account,
        minutes: &[MinuteHoldings],
        span: Period,
        now: i64,
        outcome: &mut Outcome,
    ) -> Result<(), ReconcileError> {
        let mut missing = Vec::new();
        let mut parts = vec![Part { minutes, span, stripe: self.sums.units(account, span).await? }];
        while let Some(part) = parts.pop() {
            match part.finding() {
                Finding::Whole => {}
                Finding::TooMuch => {
                    outcome.remarks.insert(TOO_MUCH);
                    return Ok(());
                }
                Finding::Missing(units) => missing.push((part, units)),
                Finding::Halve(at) => {
                    let stripe = self.sums.units(account, part.first_span(at)).await?;
                    parts.extend(part.halves(at, stripe));
                }
            }
        }
        for (part, units) in missing {
            match self.repair_minute(account, &part, units, now).await? {
                Ok(row) => outcome.rows.push(row),
                Err(remark) => drop(outcome.remarks.insert(remark)),
            }
        }
        Ok(())
    }

    /// Makes the row for one minute, or says why not.
    async fn repair_minute(
        &self,
        account: &Account,
        part: &Part<'_>,
        units: i64,
        now: i64,
    ) -> Result<Result<i64, &'static str>, ReconcileError> {
        let found = part.minutes[0];
        let minute = minute_of(found.start);
        if let Some(why_not) = self.why_not(&found, now) {
            return Ok(Err(why_not));
        }
        // The same once more, of the minute alone: what else the part spans holds nothing.
        if self.sums.units(account, minute).await? != part.stripe {
            return Ok(Err(UNSTEADY));
        }
        let row = NewRow {
            account: account.clone(),
            minute,
            seen: found.holdings,
            units,
            identifier_prefix: self.options.identifier_prefix.clone(),
        };
        Ok(self.store.repair(row, now).await?.ok_or(CHANGED))
    }

    fn why_not(&self, found: &MinuteHoldings, now: i64) -> Option<&'static str> {
        let settled_by = now.saturating_sub(self.settle_seconds);
        if found.start < now - STRIPE_TAKES_SECONDS {
            return Some(TOO_OLD);
        }
        if found.periods.0 != found.periods.1 && found.periods.1 > found.start {
            return Some(EDGE);
        }
        let fresh = found.holdings.accepted_at.is_some_and(|at| at > settled_by);
        (found.holdings.pending > 0 || fresh).then_some(TOO_FRESH)
    }

    /// Sends the repairs that are due.
    pub(super) async fn send_repairs(&self) -> Result<usize, ReconcileError> {
        let now = clock::now().seconds();
        let due = self.store.claim_repairs(now, ROWS).await?;
        Ok(self.sender.send_all(due, now).await?.tried)
    }

    /// Waits until every repair has an answer, and adds up what was repaired. Ends without when there is no news.
    pub(super) async fn settle_repairs(
        &self,
        report: &mut Report,
        repair: Repair,
    ) -> Result<(), ReconcileError> {
        let mut give_up_at = Instant::now() + NEWS_WITHIN;
        for difference in &mut report.differences {
            for row in std::mem::take(&mut difference.repairs) {
                match self.settled(row, repair, &mut give_up_at).await? {
                    (RepairState::Delivered, units) => difference.repaired += units,
                    (RepairState::Dead { reason }, _) => {
                        difference.remark(&format!("the repair was not accepted: {reason}"));
                    }
                    (RepairState::Pending, _) => difference.remark(
                        "the repair has no answer yet: it is in the outbox, and sent while a gateway runs",
                    ),
                }
            }
        }
        Ok(())
    }

    async fn settled(
        &self,
        row: i64,
        repair: Repair,
        give_up_at: &mut Instant,
    ) -> Result<(RepairState, i64), ReconcileError> {
        loop {
            let found = self.store.repair_state(row).await?;
            if found.0 != RepairState::Pending {
                *give_up_at = Instant::now() + NEWS_WITHIN;
                return Ok(found);
            }
            if Instant::now() > *give_up_at {
                return Ok(found);
            }
            if repair != Repair::Here || self.send_repairs().await? == 0 {
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
