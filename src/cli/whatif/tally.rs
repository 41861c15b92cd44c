//! What became of requests, by customer and the tier that they had.

use smallvec::SmallVec;

use crate::domain::units::MeterId;
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

/// Charged units, and those of them that are priced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfMeter {
    pub units: i64,
    pub overage: i64,
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

    pub fn meters(&self) -> impl Iterator<Item = (MeterId, OfMeter)> {
        (0..).map(MeterId).zip(self.meters.iter().copied())
    }
}
