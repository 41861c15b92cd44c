//! What became of requests, by customer and the tier that they had.

use rust_decimal::Decimal;
use smallvec::SmallVec;

use crate::domain::account::Terms;
use crate::domain::units::MeterId;
use crate::domain::usage::{Charge, Correction, Now, signed};
use crate::problem::Code;

/// Of one customer, by the store's number of each tier that it had.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies(SmallVec<[(u32, Tally); 1]>);

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub requests: u64,
    refused: SmallVec<[(Code, u64); 1]>,
    meters: SmallVec<[OfMeter; 1]>,
}

/// Charged units, those of them that are overage, and what that costs in major units of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfMeter {
    pub units: i64,
    pub overage: i64,
    pub amount: Decimal,
}

impl OfMeter {
    pub fn add(&mut self, more: &Self) {
        self.units += more.units;
        self.overage += more.overage;
        self.amount = self.amount.saturating_add(more.amount);
    }
}

impl Tallies {
    pub fn of(&mut self, tier: u32, meters: usize) -> &mut Tally {
        let place = self.0.iter().position(|(known, _)| *known == tier).unwrap_or_else(|| {
            let meters = SmallVec::from_elem(OfMeter::default(), meters);
            self.0.push((tier, Tally { meters, ..Tally::default() }));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    pub fn last_tier(&self) -> Option<u32> {
        self.0.last().map(|(tier, _)| *tier)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Tally)> {
        self.0.iter().map(|(tier, tally)| (*tier, tally))
    }
}

impl Tally {
    pub fn refused(&mut self, code: Code) {
        match self.refused.iter_mut().find(|(known, _)| *known == code) {
            Some(known) => known.1 += 1,
            None => self.refused.push((code, 1)),
        }
    }

    pub fn refusals(&self) -> impl Iterator<Item = (Code, u64)> {
        self.refused.iter().copied()
    }

    pub fn meter(&mut self, meter: MeterId) -> &mut OfMeter {
        if self.meters.len() <= meter.index() {
            self.meters.resize(meter.index() + 1, OfMeter::default());
        }
        &mut self.meters[meter.index()]
    }

    /// At the prices of the terms that it was charged under.
    pub fn charged(&mut self, charge: &Charge, terms: &Terms) {
        for draw in &charge.draws {
            self.count(draw.meter, (signed(draw.units()), signed(draw.overage)), terms, charge.at);
        }
    }

    pub fn corrected(&mut self, correction: &Correction, terms: &Terms) {
        for change in &correction.draws {
            self.count(change.meter, (change.units(), change.overage), terms, correction.at);
        }
    }

    fn count(&mut self, meter: MeterId, (units, overage): (i64, i64), terms: &Terms, at: Now) {
        let tier = if overage == 0 { None } else { terms.entitlement.tier_at(at.seconds()) };
        let amount = tier.map(|tier| tier.price_of(meter, 1).saturating_mul(overage.into()));
        self.meter(meter).add(&OfMeter { units, overage, amount: amount.unwrap_or_default() });
    }

    pub fn meters(&self) -> impl Iterator<Item = (MeterId, OfMeter)> {
        (0..).map(MeterId).zip(self.meters.iter().copied())
    }
}
