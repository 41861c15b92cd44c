//! What turns out later of a charge: that it was not due, or what its exchange truly cost.
//!
//! A charge that is corrected while its period is current and its terms are in force is made anew, as if the truth had
//! been known at its instant. So what follows it meanwhile finds what it gave back, and of one period's billed units
//! those beyond the included ones are overage, whatever settled in which order. Later the charge stays as it was drawn:
//! what is too much of it comes back in the reverse order, and what is missing is drawn where the customer is now.
//!
//! Units that come back belong to the charge's period, unless that closed over an hour ago, and its invoice with it.
//! Units that are missing belong to the current one.

use std::sync::Arc;

use super::{Account, INVOICE_GRACE_SECONDS, Terms};
use crate::domain::credits::{self, Lot};
use crate::domain::measure::TrueCost;
use crate::domain::period::Period;
use crate::domain::usage::{Change, Charge, Correction, Draw, Now, signed};

impl Account {
    /// Takes back a charge that turned out not to be due, and says which period that counts in.
    pub fn undo(&mut self, charge: &Charge, now: Now) -> Period {
        self.roll(now);
        let period = self.period_of_return(charge, now);
        if charge.in_shadow {
            return period;
        }
        for draw in &charge.draws {
            self.take_back(period, draw);
        }
        self.give_back_credits(&charge.lots);
        self.undo_member(charge.member, &charge.draws, period);
        if let Some(key) = charge.key {
            self.undo_keyed(key, charge, now);
        }
        period
    }

    /// Puts the truth in the place of a charge that was settled under `terms`, once. Its key stays charged.
    pub fn correct(&mut self, charge: &Charge, truth: &TrueCost, terms: &Arc<Terms>, now: Now) -> Correction {
        self.roll(now);
        if charge.in_shadow {
            return self.correct_in_shadow(charge, truth, now);
        }
        self.stir();
        let is_same = Arc::ptr_eq(terms, &self.terms) || terms.entitlement == self.terms.entitlement;
        let correction = if is_same && charge.period.start == self.period.start {
            self.charge_anew(charge, truth, now)
        } else {
            self.change_as_drawn(charge, truth, now)
        };
        self.correct_member(charge.member, &correction);
        correction
    }

    fn charge_anew(&mut self, charge: &Charge, truth: &TrueCost, now: Now) -> Correction {
        let back: Vec<Draw> = charge.draws.iter().map(|draw| self.as_counted(draw)).collect();
        for draw in &back {
            self.take_back(self.period, draw);
        }
        self.give_back_credits(&charge.lots);
        let held =
            |meter| charge.draws.iter().find(|draw| draw.meter == meter).map_or(0, |draw| draw.units());
        let (draws, lots) = self.draw_truth(held, truth, charge.at);
        let mut correction = Correction::none(self.period, now);
        for draw in &draws {
            let none = Draw::none(draw.meter);
            let before = back.iter().find(|before| before.meter == draw.meter).unwrap_or(&none);
            correction.change(Change::between(before, draw));
        }
        correction.move_lots(&charge.lots, -1);
        correction.move_lots(&lots, 1);
        correction
    }

    /// What was billed of a draw, split as the window is now.
    fn as_counted(&self, draw: &Draw) -> Draw {
        let overage = draw.billed().min(self.overage_settled(draw.meter));
        Draw { included: draw.billed() - overage, overage, ..*draw }
    }

    fn change_as_drawn(&mut self, charge: &Charge, truth: &TrueCost, now: Now) -> Correction {
        let exceeds = charge.draws.iter().any(|draw| truth.of(draw.meter) > draw.units());
        let period = if exceeds { self.period } else { self.period_of_return(charge, now) };
        let mut correction = Correction::none(period, now);
        let mut credits = 0;
        for draw in &charge.draws {
            let back = last_of(draw, draw.units().saturating_sub(truth.of(draw.meter)));
            self.take_back(period, &back);
            credits += back.credits;
            correction.change(Change::between(&back, &Draw::none(draw.meter)));
        }
        let back = last_lots(&charge.lots, credits);
        self.give_back_credits(&back);
        correction.move_lots(&back, -1);
        for draw in &charge.draws {
            let beyond = truth.of(draw.meter).saturating_sub(draw.units());
            if beyond > 0 {
                let mut lots = Vec::new();
                let more = self.draw_beyond(draw.meter, beyond, &mut lots, now);
                correction.change(Change::between(&Draw::none(draw.meter), &more));
                correction.move_lots(&lots, 1);
            }
        }
        correction
    }

    /// The charge's own, or the current one.
    pub(super) fn period_of_return(&self, charge: &Charge, now: Now) -> Period {
        let closed = charge.period.end.saturating_add(INVOICE_GRACE_SECONDS) < now.seconds();
        if closed { self.period } else { charge.period }
    }

    fn take_back(&mut self, period: Period, draw: &Draw) {
        if let Some(used) = self.used_in(period, draw.meter) {
            *used = used.saturating_sub(draw.billed());
            let billed = *used;
            self.undo_on_share(period.start, draw, billed);
        }
        self.take_back_unbilled(period, draw);
    }
}

/// The units of a draw that were drawn last.
fn last_of(draw: &Draw, units: u64) -> Draw {
    let overage = units.min(draw.overage);
    let credits = (units - overage).min(draw.credits);
    let extra = (units - overage - credits).min(draw.extra);
    let included = units - overage - credits - extra;
    Draw { included, extra, credits, overage, ..Draw::none(draw.meter) }
}

/// The units of grants that were spent last.
fn last_lots(lots: &[Lot], units: u64) -> Vec<Lot> {
    let mut left = units.min(credits::sum(lots));
    let mut back = Vec::new();
    for lot in lots.iter().rev() {
        let of_this = lot.units.min(left);
        left -= of_this;
        if of_this > 0 {
            back.push(Lot { units: of_this, ..*lot });
        }
    }
    back
}

impl Correction {
    pub(super) fn none(period: Period, at: Now) -> Self {
        Self { period, at, draws: smallvec::SmallVec::new(), lots: Vec::new() }
    }

    pub(super) fn change(&mut self, change: Change) {
        if !change.is_none() {
            self.draws.push(change);
        }
    }

    fn move_lots(&mut self, lots: &[Lot], sign: i64) {
        for lot in lots {
            let units = sign * signed(lot.units);
            match self.lots.iter_mut().find(|(grant, _)| *grant == lot.grant) {
                Some(known) => known.1 += units,
                None => self.lots.push((lot.grant, units)),
            }
        }
        self.lots.retain(|(_, units)| *units != 0);
    }
}
