//! Beyond the included units: credits, then overage up to the cap.
//!
//! What is in flight beyond the included units holds credits, as far as there are any. So a tier that denies overage
//! never charges more than included units and credits together, whatever comes at once.

use rust_decimal::Decimal;
use smallvec::SmallVec;

use super::{Account, of_meter};
use crate::domain::credits::{self, Lot};
use crate::domain::period::Period;
use crate::domain::refusal::Refusal;
use crate::domain::tier::{Overage, Tier};
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Draw, Now, Unbilled};

impl Account {
    /// Credits that can be spent, by what is in flight or by others; in a fleet, by all of its nodes.
    pub fn credits(&self, now: Now) -> u64 {
        self.credits_of_all(now).unwrap_or_else(|| self.credits_here(now))
    }

    pub(super) fn credits_here(&self, now: Now) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.purse.available(now))
    }

    /// Credits that are here and that nothing in flight holds.
    pub fn free_credits(&self, now: Now) -> u64 {
        let held =
            self.terms.entitlement.tier_at(now.seconds()).map_or(0, |tier| self.held_beyond(tier, |_| 0));
        self.credits_here(now).saturating_sub(held)
    }

    /// Adds a grant, unless it is here already.
    pub fn put_credits(&mut self, lot: Lot) -> bool {
        if !self.rare().purse.learn(lot.grant) {
            return false;
        }
        let here = self.share_grant(lot);
        self.rare().purse.give_back(here);
        true
    }

    /// Takes credits away that nothing in flight holds: all of `units`, or none and the answer says how many there are.
    pub fn take_credits(&mut self, units: u64, now: Now) -> Result<Vec<Lot>, u64> {
        let free = self.free_credits(now);
        if units > free {
            return Err(free);
        }
        Ok(self.rare.as_mut().map(|rare| rare.purse.spend(units, now)).unwrap_or_default())
    }

    /// Returns what was taken.
    pub fn give_back_credits(&mut self, lots: &[Lot]) {
        for lot in lots {
            self.rare().purse.give_back(*lot);
        }
    }

    /// What is left of the grants.
    pub fn credit_lots(&self) -> &[Lot] {
        self.rare.as_ref().map_or(&[], |rare| rare.purse.lots())
    }

    /// Spends credits as far as there are any, notes of which grants, and answers how many. Where nothing but credits
    /// could have admitted the units, those that have expired in the meantime still count.
    pub(super) fn spend_credits(&mut self, units: u64, lots: &mut Vec<Lot>, now: Now) -> u64 {
        if units == 0 || self.rare.is_none() {
            return 0;
        }
        let tier = self.terms.entitlement.tier_at(now.seconds());
        let denied = tier.is_none_or(|tier| tier.overage == Overage::Deny);
        let purse = &mut self.rare().purse;
        let mut spent = purse.spend(units, now);
        let short = units - credits::sum(&spent);
        if short > 0 && denied {
            spent.extend(purse.spend_expired(short, now));
        }
        let units = credits::sum(&spent);
        lots.extend(spent);
        units
    }

    /// Units that what settles now may draw on: those that the tier still includes, and those that an override adds to it.
    pub(super) fn allowance_left(&self, meter: MeterId, now: Now) -> (u64, u64) {
        let Some(tier) = self.terms.entitlement.tier_at(now.seconds()) else { return (0, 0) };
        let (included, extra) = self.undrawn_of(tier, meter);
        (self.drawable(meter, included), extra)
    }

    /// The same of units that have not been reserved; in a fleet, whatever is known to be left.
    pub(super) fn allowance_of_all(&self, meter: MeterId, now: Now) -> (u64, u64) {
        let here = self.allowance_left(meter, now);
        let tier = self.terms.entitlement.tier_at(now.seconds());
        let all = tier.and_then(|tier| self.left_of_all(tier, meter)).unwrap_or_default();
        (here.0.max(all.0), here.1.max(all.1))
    }

    /// Units of the tier in force that requests may still ask for: what nothing has paid for takes of the included ones.
    pub(super) fn left(&self, tier: &Tier, meter: MeterId) -> (u64, u64) {
        let (included, extra) = self.undrawn_of(tier, meter);
        (included.saturating_sub(self.unbilled(meter).uncovered), extra)
    }

    fn undrawn_of(&self, tier: &Tier, meter: MeterId) -> (u64, u64) {
        let own = self.own_included(meter);
        let extra = tier.included(meter).units().saturating_sub(own);
        if let Some(share) = self.share() {
            return self.claimed(share, meter, (own, extra));
        }
        let used = self.counts[meter.index()].used;
        (own.saturating_sub(used), extra.saturating_sub(self.unbilled(meter).extra))
    }

    /// Of what Stripe's price includes.
    pub(super) fn own_included(&self, meter: MeterId) -> u64 {
        self.terms.entitlement.tier.as_ref().map_or(0, |tier| tier.included(meter).units())
    }

    /// Settled units beyond what Stripe's price includes; in a fleet, of all of its nodes.
    pub fn overage_units(&self, meter: MeterId) -> u64 {
        self.overage_of_all(meter).unwrap_or_else(|| self.overage_settled(meter))
    }

    /// Those of this node alone.
    pub(super) fn overage_settled(&self, meter: MeterId) -> u64 {
        match self.share() {
            Some(share) => self.overage_here(share, meter, self.period.start),
            None => self.counts[meter.index()].used.saturating_sub(self.own_included(meter)),
        }
    }

    pub(super) fn unbilled(&self, meter: MeterId) -> Unbilled {
        let rare = self.rare.as_deref();
        rare.and_then(|rare| rare.unbilled.get(meter.index())).copied().unwrap_or_default()
    }

    pub(super) fn raise_unbilled(&mut self, period: Period, meter: MeterId, stored: Unbilled) {
        if stored != Unbilled::default()
            && let Some(unbilled) = self.unbilled_in(period)
        {
            of_meter(unbilled, meter).raise(stored);
        }
    }

    pub(super) fn take_back_unbilled(&mut self, period: Period, draw: &Draw) {
        let drawn = draw.unbilled();
        if drawn != Unbilled::default()
            && let Some(unbilled) = self.unbilled_in(period)
        {
            of_meter(unbilled, draw.meter).take_off(drawn);
        }
    }

    /// What was drawn beside the billed units in a period that is known here.
    fn unbilled_in(&mut self, period: Period) -> Option<&mut SmallVec<[Unbilled; 1]>> {
        let is_current = self.period.start == period.start;
        let rare = self.rare();
        if is_current {
            return Some(&mut rare.unbilled);
        }
        let mut others = rare.others.iter_mut();
        others.find(|window| window.period.start == period.start).map(|window| &mut window.unbilled)
    }

    pub(super) fn ask_units(&self, tier: &Tier, cost: &Cost, now: Now) -> Result<(), Refusal> {
        let asked = |meter| cost.iter().find(|(m, _)| *m == meter).map_or(0, |(_, units)| units);
        match &tier.overage {
            Overage::Deny => {
                let mut over = cost.iter().filter(|(meter, units)| self.held(tier, *meter, *units) > 0);
                let Some((meter, _)) = over.next() else { return Ok(()) };
                if self.held_beyond(tier, asked) <= self.credits_here(now) {
                    return Ok(());
                }
                Err(if tier.lives_on_credits() {
                    Refusal::CreditsExhausted
                } else {
                    Refusal::QuotaExceeded { meter }
                })
            }
            Overage::Priced { cap: None, .. } => Ok(()),
            Overage::Priced { cap: Some(cap), .. } => {
                if cost.iter().all(|(meter, units)| self.held(tier, meter, units) == 0) {
                    return Ok(());
                }
                let after = self.overage(tier, asked, now);
                // A request that adds nothing to the overage is never held against the cap.
                if after > self.cap_here(tier, *cap) && after > self.overage(tier, |_| 0, now) {
                    return Err(Refusal::SpendCapReached);
                }
                Ok(())
            }
        }
    }

    /// The most that the window's overage can become over all meters, in major units, when `asked` units more settle
    /// with all in flight: credits may go to the cheapest first.
    pub(super) fn overage(&self, tier: &Tier, asked: impl Fn(MeterId) -> u64, now: Now) -> Decimal {
        let amount = |units: &dyn Fn(MeterId) -> u64| {
            let amounts = self.meters().map(|meter| tier.price_of(meter, units(meter)));
            amounts.fold(Decimal::ZERO, Decimal::saturating_add)
        };
        let all = |meter| self.overage_settled(meter).saturating_add(self.held(tier, meter, asked(meter)));
        let mut credits = self.credits_here(now);
        if credits == 0 {
            return amount(&all);
        }
        let mut cheapest: SmallVec<[MeterId; 4]> = self.meters().collect();
        cheapest.sort_by_cached_key(|meter| tier.price_of(*meter, 1));
        let mut paid: SmallVec<[u64; 4]> = SmallVec::from_elem(0, self.counts.len());
        for meter in cheapest {
            paid[meter.index()] = credits.min(self.held(tier, meter, asked(meter)));
            credits -= paid[meter.index()];
        }
        amount(&|meter: MeterId| all(meter) - paid[meter.index()])
    }

    /// Units in flight, with `asked` more, that neither the tier nor an override has room for.
    fn held(&self, tier: &Tier, meter: MeterId, asked: u64) -> u64 {
        let in_flight = self.counts[meter.index()].reserved.saturating_add(asked);
        let (included, extra) = self.left(tier, meter);
        in_flight.saturating_sub(included.saturating_add(extra))
    }

    pub(super) fn held_beyond(&self, tier: &Tier, asked: impl Fn(MeterId) -> u64) -> u64 {
        self.meters().map(|meter| self.held(tier, meter, asked(meter))).fold(0, u64::saturating_add)
    }

    pub(super) fn meters(&self) -> impl Iterator<Item = MeterId> + use<> {
        (0..u16::try_from(self.counts.len()).unwrap_or(u16::MAX)).map(MeterId)
    }

    /// What has been charged against the included units of the tier in force, or is beyond them.
    pub fn settled(&self, tier: &Tier, meter: MeterId) -> u64 {
        let (included, extra) = self.undrawn_of_all(tier, meter);
        let drawn = tier.included(meter).units().saturating_sub(included.saturating_add(extra));
        let beyond = self.overage_units(meter).saturating_add(self.unbilled(meter).uncovered);
        drawn.saturating_add(beyond)
    }

    /// What has been drawn on the included units of the tier that is billed.
    pub fn drawn_of_own(&self, tier: &Tier, meter: MeterId) -> u64 {
        let (left, _) = self.undrawn_of_all(tier, meter);
        self.own_included(meter).saturating_sub(left)
    }

    /// Units that the tier in force still has for those who come now.
    pub(super) fn remaining(&self, tier: &Tier, meter: MeterId) -> u64 {
        let (included, extra) = self.undrawn_of_all(tier, meter);
        let included = included.saturating_sub(self.unbilled(meter).uncovered);
        included.saturating_add(extra).saturating_sub(self.counts[meter.index()].reserved)
    }

    fn undrawn_of_all(&self, tier: &Tier, meter: MeterId) -> (u64, u64) {
        self.left_of_all(tier, meter).unwrap_or_else(|| self.undrawn_of(tier, meter))
    }

    /// Used and reserved units of a meter.
    #[cfg(test)]
    pub(super) fn taken(&self, meter: MeterId) -> u64 {
        let super::Count { used, reserved } = self.counts[meter.index()];
        used.saturating_add(reserved)
    }
}
