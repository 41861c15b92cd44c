//! Slices: what is charged ahead of an exchange that stays open, and what of it has come true.
//!
//! A slice holds units of each measured meter. What counts up while the exchange goes on uses them up, and what is left
//! moves on to the next slice; so does, whole, what only the end tells. The sum over all slices is the exchange's
//! truth.

use std::time::Duration;

use smallvec::SmallVec;

use super::{Measured, Truth};
use crate::domain::units::{Cost, MeterId};

/// A slice that was used up sooner is followed by one that is twice as large.
const SHORT: Duration = Duration::from_secs(5);
/// A slice in which anything has passed lasts no longer: hours of usage are sealed while they pass.
const LONG: Duration = Duration::from_secs(10);

/// How many modest slices an ample one makes.
const MODEST: u64 = 16;

/// What is held, by meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice(SmallVec<[Held; 1]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    meter: MeterId,
    units: u64,
    /// What earlier slices have come to.
    before: u64,
}

/// How much the next slice is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As much as lasts for a while.
    Ample,
    /// A part of it, where a limit is near: so it is reached in few slices.
    Modest,
    /// What has been used beyond this one.
    Least,
}

impl Size {
    pub const ALL: [Self; 3] = [Self::Ample, Self::Modest, Self::Least];
}

/// Units by meter.
pub type Units = SmallVec<[(MeterId, u64); 1]>;

impl Slice {
    pub fn first(held: impl IntoIterator<Item = (MeterId, u64)>) -> Self {
        Self(held.into_iter().map(|(meter, units)| Held { meter, units, before: 0 }).collect())
    }

    /// Units that it holds.
    pub fn held(&self) -> impl Iterator<Item = (MeterId, u64)> + '_ {
        self.0.iter().map(|held| (held.meter, held.units))
    }

    /// Whether more has been used than it holds. `so_far` is what each measure tells now.
    pub fn is_exceeded<'a>(&self, so_far: impl Iterator<Item = (&'a Measured, Truth)>) -> bool {
        self.used(so_far).any(|used| used.units > used.held.units)
    }

    /// Whether it is time for the next one, however much is left of it.
    pub fn is_old<'a>(&self, age: Duration, so_far: impl Iterator<Item = (&'a Measured, Truth)>) -> bool {
        let moves = |used: Used<'_>| {
            if used.is_told { used.units > used.held.units } else { used.units > 0 }
        };
        age >= LONG && self.used(so_far).any(moves)
    }

    /// What the next one needs beyond what is left of this one.
    pub fn ask<'a>(
        &self,
        age: Duration,
        size: Size,
        so_far: impl Iterator<Item = (&'a Measured, Truth)>,
    ) -> Cost {
        Cost::new(self.used(so_far).map(|used| (used.held.meter, used.ask(age, size))))
    }

    /// What this one comes to, and the next one: what is left of it, and what was granted.
    pub fn renew<'a>(
        &self,
        granted: &Cost,
        so_far: impl Iterator<Item = (&'a Measured, Truth)>,
    ) -> (Units, Self) {
        let parts: SmallVec<[(Held, u64); 1]> = self
            .used(so_far)
            .map(|used| {
                let true_units = if used.is_told { 0 } else { used.units.min(used.held.units) };
                let units = used.held.units - true_units + granted.of(used.held.meter);
                (Held { units, before: used.held.before + true_units, ..used.held }, true_units)
            })
            .collect();
        let truth = parts.iter().map(|(held, units)| (held.meter, *units)).collect();
        (truth, Self(parts.into_iter().map(|(held, _)| held).collect()))
    }

    /// What it comes to when it is the last. `is_cut`: nobody was granted what was used beyond it.
    pub fn end<'a>(&self, is_cut: bool, at_end: impl Iterator<Item = (&'a Measured, Truth)>) -> Units {
        let most = |units: u64, held: &Held| if is_cut { units.min(held.units) } else { units };
        at_end
            .filter_map(|(measured, truth)| {
                let held = self.of(measured.meter)?;
                Some((held.meter, most(truth.units().saturating_sub(held.before), held)))
            })
            .collect()
    }

    fn used<'a>(
        &self,
        so_far: impl Iterator<Item = (&'a Measured, Truth)>,
    ) -> impl Iterator<Item = Used<'a>> {
        so_far.filter_map(|(measured, truth)| Some(Used::of(*self.of(measured.meter)?, measured, truth)))
    }

    fn of(&self, meter: MeterId) -> Option<&Held> {
        self.0.iter().find(|held| held.meter == meter)
    }
}

/// What a measure has used of a slice.
struct Used<'a> {
    held: Held,
    measured: &'a Measured,
    /// It is told, and may be told anew: all of it belongs to the last slice.
    is_told: bool,
    units: u64,
}

impl<'a> Used<'a> {
    fn of(held: Held, measured: &'a Measured, truth: Truth) -> Self {
        let units = match truth {
            Truth::Untold(_) => measured.hold,
            truth => truth.units().saturating_sub(held.before),
        };
        Self { held, measured, is_told: measured.by.is_told(), units }
    }

    fn ask(&self, age: Duration, size: Size) -> u64 {
        let beyond = self.units.saturating_sub(self.held.units);
        if self.is_told || size == Size::Least {
            return beyond;
        }
        let left = self.held.units.saturating_sub(self.units);
        let ample = if age >= LONG {
            self.units.max(self.measured.hold)
        } else if age < SHORT {
            self.held.units.saturating_mul(2).max(self.measured.hold)
        } else {
            self.held.units.max(self.measured.hold)
        };
        let more = ample.max(1).saturating_sub(left);
        let part = if size == Size::Modest { more / MODEST } else { more };
        let possible = self.measured.most.saturating_sub(self.held.before + self.held.units);
        part.min(possible.saturating_sub(beyond)) + beyond
    }
}

#[cfg(test)]
#[path = "slice_tests.rs"]
mod tests;
