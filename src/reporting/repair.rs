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

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::domain::period::{Period, rfc3339};
use crate::store::{Account, MinuteHoldings, RepairRow, RepairState};

use super::books::{Gap, Made, RowAt, Told};
use super::drift::OldPart;
use super::narrow::{Finding, Hindrance, Part, by_period, hindrance, outlook};
use super::reconcile::{ReconcileError, Reconciler, Repair};
use super::report::{Difference, Report};
use super::span::minute_of;

/// The gateway looks at its outbox at least every 10 s; without news for so long nobody waits on.
const NEWS_WITHIN: Duration = Duration::from_secs(20);
const ROWS: u32 = 512;

const REPAIRABLE: &str = "run with --repair";
const PERHAPS_REPAIRABLE: &str = "run with --repair to send what of it is certain";
const UNANSWERED: &str = "some of it is in a minute that waits for an answer: run again later";
const EDGE: &str = "a minute holds the edge of two billing periods: repair it by hand";
const TAKEN: &str =
    "some of it is in a minute of which a lost node's usage was taken over: repair it by hand";
pub(super) const MISSING: &str = "not all nodes of the fleet have told what they have sent: run again";
const UNHEARD: &str = "the node that was to send it did not answer, and may do so yet: run again";
const TOO_MUCH: &str = "Stripe holds too much in one minute and too little in another: repair it by hand";
const TOO_MUCH_YOUNG: &str =
    "Stripe holds too much in minutes younger than billing.reconcile_settle: run again later";
const UNSTEADY: &str =
    "Stripe's sum was not the same when it was read again: run again, or look for events that are not ours";
const TOO_OLD: &str = "older than the 35 days that Stripe takes";
const CHANGED: &str = "changed while it was compared: run again";

/// A meter event that makes good what Stripe misses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RepairEvent {
    pub identifier: String,
    pub units: i64,
    /// `delivered`, `pending` or `dead`.
    pub state: String,
}

/// Rows made for one account, and why some were not.
#[derive(Default)]
struct Outcome {
    rows: Vec<RowAt>,
    remarks: BTreeSet<&'static str>,
    /// Until when Stripe may be adding up some of it.
    young_until: Option<i64>,
}

impl Outcome {
    fn hinder(&mut self, hindrance: Hindrance) {
        let remark = match hindrance {
            Hindrance::Young(until) => {
                self.young_until = self.young_until.max(Some(until));
                return;
            }
            Hindrance::Unanswered => UNANSWERED,
            Hindrance::Edge => EDGE,
            Hindrance::Taken => TAKEN,
            Hindrance::TooOld => TOO_OLD,
        };
        self.remarks.insert(remark);
    }

    fn remark(self, difference: &mut Difference) {
        if let Some(until) = self.young_until {
            difference.remark(&format!(
                "Stripe may still be adding these up: look again after {} (billing.reconcile_settle)",
                rfc3339(until)
            ));
        }
        self.remarks.iter().for_each(|remark| difference.remark(remark));
        difference.made = self.rows;
    }
}

impl Difference {
    fn name(&mut self, row: RepairRow) {
        let RepairRow { identifier, units, state } = row;
        let state = match state {
            RepairState::Delivered => "delivered",
            RepairState::Dead { reason } => {
                self.remark(&format!("the repair {identifier} was not accepted: {reason}"));
                "dead"
            }
            RepairState::Pending => {
                self.remark(&format!(
                    "the repair {identifier} has no answer yet: it is in the outbox, and sent while a gateway runs"
                ));
                "pending"
            }
        };
        self.repairs.push(RepairEvent { identifier, units, state: state.to_owned() });
    }
}

impl Reconciler {
    /// Makes rows for what is missing, and remarks what is left to others.
    pub(super) async fn repair(
        &self,
        account: &Account,
        span: Period,
        old: &OldPart,
        difference: &mut Difference,
    ) -> Result<(), ReconcileError> {
        let now = clock::now().seconds();
        let mut outcome = Outcome::default();
        self.look_at_young(account, Period { start: old.span.end, ..span }, now, &mut outcome).await?;
        for (minutes, span) in by_period(&old.minutes, old.span) {
            self.repair_period(account, minutes, span, now, &mut outcome).await?;
        }
        outcome.remark(difference);
        Ok(())
    }

    /// Remarks what a repair could do, without looking for the minutes.
    pub(super) async fn advise(
        &self,
        account: &Account,
        span: Period,
        old: &OldPart,
        difference: &mut Difference,
    ) -> Result<(), ReconcileError> {
        let now = clock::now().seconds();
        let mut outcome = Outcome::default();
        self.look_at_young(account, Period { start: old.span.end, ..span }, now, &mut outcome).await?;
        let outlook = outlook(&old.minutes, old.stripe, now, self.settle_seconds);
        outlook.hindrances.iter().for_each(|hindrance| outcome.hinder(*hindrance));
        if outlook.is_possible {
            outcome.remarks.insert(if outlook.is_certain { REPAIRABLE } else { PERHAPS_REPAIRABLE });
        }
        outcome.remark(difference);
        Ok(())
    }

    /// The part of a span that is not old: what differs in it Stripe may still be adding up.
    async fn look_at_young(
        &self,
        account: &Account,
        young: Period,
        now: i64,
        outcome: &mut Outcome,
    ) -> Result<(), ReconcileError> {
        if young.start >= young.end {
            return Ok(());
        }
        let Told { told: minutes, missing } = self.books.minutes(account, young).await?;
        if !missing.is_empty() {
            outcome.remarks.insert(MISSING);
            return Ok(());
        }
        let ledger: i64 = minutes.iter().map(|minute| minute.holdings.ledger).sum();
        let dead: i64 = minutes.iter().map(|minute| minute.holdings.dead).sum();
        let stripe = self.sums.units(account, young).await?;
        if stripe > ledger {
            outcome.remarks.insert(TOO_MUCH_YOUNG);
        } else if stripe < ledger - dead {
            let hindered = minutes.iter().filter_map(|minute| hindrance(minute, now, self.settle_seconds));
            hindered.for_each(|hindrance| outcome.hinder(hindrance));
        }
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
            if let Some(hindrance) = hindrance(&part.minutes[0], now, self.settle_seconds) {
                outcome.hinder(hindrance);
                continue;
            }
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
    ) -> Result<Result<RowAt, &'static str>, ReconcileError> {
        let found = part.minutes[0];
        let minute = minute_of(found.start);
        // The same once more, of the minute alone: what else the part spans holds nothing.
        if self.sums.units(account, minute).await? != part.stripe {
            return Ok(Err(UNSTEADY));
        }
        let gap = Gap { account: account.clone(), minute: (minute.start, minute.end), units };
        let made = self.books.repair(gap, found.holdings, &self.options.identifier_prefix, now).await?;
        Ok(match made {
            Made::Row(row) => Ok(row),
            Made::Changed => Err(CHANGED),
            Made::Unheard => Err(UNHEARD),
        })
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
            for row in std::mem::take(&mut difference.made) {
                let Some(row) = self.settled(&row, repair, &mut give_up_at).await? else {
                    difference.remark(UNHEARD);
                    continue;
                };
                if row.state == RepairState::Delivered {
                    difference.repaired += row.units;
                }
                difference.name(row);
            }
            // Whether Stripe's sum held them already is not known: they count for nothing here.
            for row in std::mem::take(&mut difference.earlier) {
                if let Some(row) = self.books.row(&row).await? {
                    difference.name(row);
                }
            }
        }
        Ok(())
    }

    /// None: its node does not answer.
    async fn settled(
        &self,
        row: &RowAt,
        repair: Repair,
        give_up_at: &mut Instant,
    ) -> Result<Option<RepairRow>, ReconcileError> {
        loop {
            let found = self.books.row(row).await?;
            if found.as_ref().is_some_and(|found| found.state != RepairState::Pending) {
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
