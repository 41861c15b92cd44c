//! What of a difference nothing explains: the part that metrics and alerts tell.
//!
//! Stripe adds up what it has accepted some time later, so under traffic its sum of the last minutes is behind nearly
//! always. Only minutes that ended `reconcile_settle` ago are looked at here, and of these what Stripe has accepted
//! since, or has and has not answered for, is an explanation as well.

use crate::domain::period::Period;
use crate::store::{Account, MinuteHoldings};

use super::books::Told;
use super::narrow::young_until;
use super::reconcile::{ReconcileError, Reconciler};
use super::span::minute;

/// The part of a span that ended `reconcile_settle` ago; it may be empty.
pub(super) struct OldPart {
    pub span: Period,
    pub minutes: Vec<MinuteHoldings>,
    /// What Stripe holds of it.
    pub stripe: i64,
}

impl Reconciler {
    /// None: not all nodes have told of it.
    pub(super) async fn old_part(
        &self,
        account: &Account,
        span: Period,
        now: i64,
    ) -> Result<Option<OldPart>, ReconcileError> {
        let end = minute(now.saturating_sub(self.settle_seconds)).clamp(span.start, span.end);
        let span = Period { end, ..span };
        if span.start == span.end {
            return Ok(Some(OldPart { span, minutes: Vec::new(), stripe: 0 }));
        }
        let Told { told: minutes, missing } = self.books.minutes(account, span).await?;
        if !missing.is_empty() {
            return Ok(None);
        }
        let stripe = self.sums.units(account, span).await?;
        Ok(Some(OldPart { span, minutes, stripe }))
    }
}

/// By how much ledger and Stripe differ in old minutes, and what explains some of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drift {
    /// Ledger less Stripe.
    units: i64,
    /// Stripe may still be adding these up.
    young: i64,
    /// Stripe may hold these, and has not answered.
    pending: i64,
}

impl Drift {
    pub fn of(part: &OldPart, now: i64, settle_seconds: i64) -> Self {
        let mut drift = Self { units: -part.stripe, young: 0, pending: 0 };
        for minute in &part.minutes {
            let holdings = &minute.holdings;
            drift.units += holdings.ledger;
            drift.pending += holdings.pending;
            if young_until(minute, settle_seconds) > now {
                drift.young += (holdings.ledger - holdings.dead).max(0);
            }
        }
        drift
    }

    /// Units, missing or too much, that nothing explains once some were repaired.
    pub fn unexplained(self, repaired: i64) -> i64 {
        let missing = self.units - repaired;
        let explained = if missing > 0 { self.young } else { self.pending };
        (missing.abs() - explained).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Holdings;

    const SETTLE: i64 = 3_600;
    const NOW: i64 = 100_000 * 60;

    /// What is unexplained of old minutes with these holdings, of which Stripe holds so many units.
    fn unexplained(holdings: &[Holdings], stripe: i64, repaired: i64) -> i64 {
        let starts = (0..).map(|at| at * 60);
        let minutes = holdings.iter().zip(starts).map(|(holdings, start)| MinuteHoldings {
            start,
            holdings: *holdings,
            periods: (0, 0),
        });
        let span = Period { start: 0, end: NOW - SETTLE };
        Drift::of(&OldPart { span, minutes: minutes.collect(), stripe }, NOW, SETTLE).unexplained(repaired)
    }

    fn accepted(ledger: i64, seconds_ago: i64) -> Holdings {
        Holdings { ledger, accepted_at: Some(NOW - seconds_ago), ..Holdings::default() }
    }

    #[test]
    fn what_is_missing_is_told_but_for_what_stripe_may_still_be_adding_up() {
        let (old, young) = (accepted(10, SETTLE), accepted(4, SETTLE - 1));
        for (stripe, repaired, left) in [(14, 0, 0), (10, 0, 0), (9, 0, 1), (0, 0, 10), (7, 3, 0), (7, 2, 1)]
        {
            assert_eq!(unexplained(&[old, young], stripe, repaired), left, "{stripe} {repaired}");
        }
        let refused = Holdings { ledger: 4, dead: 4, ..accepted(0, 0) };
        assert_eq!(unexplained(&[old, refused], 10, 0), 4, "Stripe adds up nothing that it refused");
    }

    #[test]
    fn what_is_too_much_is_told_but_for_what_is_without_an_answer() {
        let waiting = Holdings { pending: 5, ..accepted(10, SETTLE) };
        for (stripe, left) in [(15, 0), (16, 1), (9, 1)] {
            assert_eq!(unexplained(&[waiting], stripe, 0), left, "{stripe}");
        }
        let young = accepted(10, 0);
        assert_eq!(unexplained(&[young], 12, 0), 2, "nothing is added up to more than was sent");
        assert_eq!(unexplained(&[young], 0, 12), 2, "nor repaired with more than was missing");
    }
}
