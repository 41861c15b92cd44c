//! Beyond the included units: credits, then overage up to the cap.
//!
//! What is in flight beyond the included units holds credits, as far as there are any. So a tier that denies overage
//! never charges more than included units and credits together, whatever comes at once.

use rust_decimal::Decimal;

use super::{Account, Unbilled, of_meter};
use crate::domain::credits::Lot;
use crate::domain::period::Period;
use crate::domain::refusal::Refusal;
use crate::domain::tier::{Overage, Tier};
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Draw, Now};

impl Account {
    /// Credits that can be spent, by what is in flight or by others.
    pub fn credits(&self, now: Now) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.purse.available(now))
    }

    /// Credits that nothing in flight holds.
    pub fn free_credits(&self, now: Now) -> u64 {
        let held =
            self.terms.entitlement.tier_at(now.seconds()).map_or(0, |tier| self.held_beyond(tier, |_| 0));
        self.credits(now).saturating_sub(held)
    }

    pub fn grant_credits(&mut self, lot: Lot) {
        self.rare().purse.grant(lot);
    }

    /// Takes credits away, as many as nothing in flight holds; answers how many.
    pub fn take_credits(&mut self, units: u64, now: Now) -> u64 {
        let free = self.free_credits(now);
        self.rare.as_mut().map_or(0, |rare| rare.purse.spend(units.min(free), now))
    }

    /// What is left of the grants.
    pub fn credit_lots(&self) -> &[Lot] {
        self.rare.as_ref().map_or(&[], |rare| rare.purse.lots())
    }

    pub(super) fn spend_credits(&mut self, units: u64, now: Now) -> u64 {
        let rare = self.rare.as_deref_mut().filter(|_| units > 0);
        rare.map_or(0, |rare| rare.purse.spend(units, now))
    }

    /// Units that the tier still includes, and those that an override adds to it.
    pub(super) fn allowance_left(&self, meter: MeterId, now: Now) -> (u64, u64) {
        let own = self.terms.entitlement.tier.as_ref().map_or(0, |tier| tier.included(meter).units());
        let included = own.saturating_sub(self.counts[meter.index()].used);
        let overridden = self.terms.entitlement.override_at(now.seconds());
        let extra = overridden.map_or(0, |set| set.tier.included(meter).units().saturating_sub(own));
        (included, extra.saturating_sub(self.unbilled(meter).extra))
    }

    fn unbilled(&self, meter: MeterId) -> Unbilled {
        let rare = self.rare.as_deref();
        rare.and_then(|rare| rare.unbilled.get(meter.index())).copied().unwrap_or_default()
    }

    pub(super) fn add_unbilled(&mut self, meter: MeterId, drawn: Unbilled) {
        if drawn != Unbilled::default() {
            of_meter(&mut self.rare().unbilled, meter).add(drawn);
        }
    }

    /// What a charge drew on credits comes back, whenever that is.
    pub(super) fn take_back_unbilled(&mut self, period: Period, draw: &Draw, now: Now) {
        if draw.credits + draw.extra == 0 {
            return;
        }
        let current = self.period.start == period.start;
        let rare = self.rare();
        rare.purse.give_back(draw.credits, now);
        let mut others = rare.others.iter_mut().filter(|window| window.period.start == period.start);
        let unbilled =
            if current { Some(&mut rare.unbilled) } else { others.next().map(|window| &mut window.unbilled) };
        if let Some(unbilled) = unbilled {
            of_meter(unbilled, draw.meter).take_off(Unbilled { extra: draw.extra, credits: draw.credits });
        }
    }

    pub(super) fn ask_units(&self, tier: &Tier, cost: &Cost, now: Now) -> Result<(), Refusal> {
        let asked = |meter| cost.iter().find(|(m, _)| *m == meter).map_or(0, |(_, units)| units);
        match &tier.overage {
            Overage::Deny => {
                let mut over = cost.iter().map(|(meter, units)| (meter, self.beyond(tier, meter, units)));
                let Some((meter, _)) = over.find(|(_, beyond)| *beyond > 0) else { return Ok(()) };
                if self.held_beyond(tier, asked) <= self.credits(now) {
                    return Ok(());
                }
                Err(if tier.lives_on_credits() {
                    Refusal::CreditsExhausted
                } else {
                    Refusal::QuotaExceeded { meter }
                })
            }
            Overage::Priced { cap: None, .. } => Ok(()),
            Overage::Priced { unit_amounts, cap: Some(cap) } => {
                // A request that adds nothing to the overage is never held against the cap.
                let adds = cost.iter().any(|(meter, units)| {
                    self.beyond(tier, meter, units) > 0
                        && unit_amounts.get(meter.index()).is_some_and(|amount| !amount.is_zero())
                });
                if adds && self.overage(tier, asked, now) > *cap {
                    return Err(Refusal::SpendCapReached);
                }
                Ok(())
            }
        }
    }

    /// The window's overage over all meters, in major units, with `asked` units more.
    pub(super) fn overage(&self, tier: &Tier, asked: impl Fn(MeterId) -> u64, now: Now) -> Decimal {
        let mut credits = self.credits(now);
        self.meters()
            .map(|meter| {
                let paid = credits.min(self.held(tier, meter, asked(meter)));
                credits -= paid;
                tier.price_of(meter, self.beyond(tier, meter, asked(meter)) - paid)
            })
            .fold(Decimal::ZERO, Decimal::saturating_add)
    }

    /// Units of a meter beyond the included ones, with those in flight and `asked` more.
    fn beyond(&self, tier: &Tier, meter: MeterId, asked: u64) -> u64 {
        self.counted(tier, meter).saturating_add(asked).saturating_sub(tier.included(meter).units())
    }

    /// The part of that which is in flight.
    fn held(&self, tier: &Tier, meter: MeterId, asked: u64) -> u64 {
        let in_flight = self.counts[meter.index()].reserved.saturating_add(asked);
        in_flight.min(self.beyond(tier, meter, asked))
    }

    fn held_beyond(&self, tier: &Tier, asked: impl Fn(MeterId) -> u64) -> u64 {
        self.meters().map(|meter| self.held(tier, meter, asked(meter))).fold(0, u64::saturating_add)
    }

    pub(super) fn meters(&self) -> impl Iterator<Item = MeterId> + use<> {
        (0..u16::try_from(self.counts.len()).unwrap_or(u16::MAX)).map(MeterId)
    }

    /// What has been charged against the included units of a tier, or is beyond them: what an override allowed counts
    /// as far as it still allows it.
    pub fn settled(&self, tier: &Tier, meter: MeterId) -> u64 {
        let used = self.counts[meter.index()].used;
        let extra = self.unbilled(meter).extra;
        if extra == 0 {
            return used;
        }
        let own = self.terms.entitlement.tier.as_ref().map_or(0, |tier| tier.included(meter).units());
        used.saturating_add(extra.min(tier.included(meter).units().saturating_sub(own)))
    }

    /// The same with what is in flight.
    pub(super) fn counted(&self, tier: &Tier, meter: MeterId) -> u64 {
        self.settled(tier, meter).saturating_add(self.counts[meter.index()].reserved)
    }

    /// Used and reserved units of a meter.
    #[cfg(test)]
    pub(super) fn taken(&self, meter: MeterId) -> u64 {
        let super::Count { used, reserved } = self.counts[meter.index()];
        used.saturating_add(reserved)
    }
}
