//! What has settled in one period.

use smallvec::SmallVec;

use super::members::MemberUnits;
use crate::domain::period::Period;
use crate::domain::units::MeterId;
use crate::domain::usage::Unbilled;

/// Units by meter; most configurations have one or two.
pub type ByMeter = SmallVec<[u64; 2]>;

/// The settled units of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub period: Period,
    /// Included and overage units: what Stripe's price is applied to.
    pub used: ByMeter,
    /// What was drawn beside them; empty where nothing was.
    pub unbilled: SmallVec<[Unbilled; 1]>,
    /// What members used of it, under tiers that cap them; of the current window they are counted elsewhere.
    pub members: MemberUnits,
}

impl Unbilled {
    pub(super) fn add(&mut self, drawn: Self) {
        self.extra = self.extra.saturating_add(drawn.extra);
        self.credits = self.credits.saturating_add(drawn.credits);
        self.uncovered = self.uncovered.saturating_add(drawn.uncovered);
    }

    pub(super) fn raise(&mut self, stored: Self) {
        self.extra = self.extra.max(stored.extra);
        self.credits = self.credits.max(stored.credits);
        self.uncovered = self.uncovered.max(stored.uncovered);
    }

    pub(super) fn take_off(&mut self, drawn: Self) {
        self.extra = self.extra.saturating_sub(drawn.extra);
        self.credits = self.credits.saturating_sub(drawn.credits);
        self.uncovered = self.uncovered.saturating_sub(drawn.uncovered);
    }
}

pub(super) fn of_meter(units: &mut SmallVec<[Unbilled; 1]>, meter: MeterId) -> &mut Unbilled {
    if units.len() <= meter.index() {
        units.resize(meter.index() + 1, Unbilled::default());
    }
    &mut units[meter.index()]
}

impl Window {
    /// Of nothing but what is billed.
    pub fn new(period: Period, used: ByMeter) -> Self {
        Self { period, used, unbilled: SmallVec::new(), members: MemberUnits::new() }
    }

    pub fn add_unbilled(&mut self, meter: MeterId, drawn: Unbilled) {
        if drawn != Unbilled::default() {
            of_meter(&mut self.unbilled, meter).add(drawn);
        }
    }

    /// Nothing of a meter that came later.
    pub fn used(&self, meter: MeterId) -> u64 {
        self.used.get(meter.index()).copied().unwrap_or(0)
    }

    pub fn unbilled(&self, meter: MeterId) -> Unbilled {
        self.unbilled.get(meter.index()).copied().unwrap_or_default()
    }
}
