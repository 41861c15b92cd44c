//! Usage: what a settled request drew, and the record of it.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::credits::Lot;
use super::idempotency::Digest;
use super::period::Period;
use super::units::MeterId;

/// The units of one meter that a request was charged, by what they were drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    pub meter: MeterId,
    /// Of what the customer's own tier includes.
    pub included: u64,
    /// Of what an operator has allowed beyond that; Stripe does not hear of it.
    pub extra: u64,
    pub credits: u64,
    pub overage: u64,
    /// Beyond what was reserved, where nothing could pay for it: it counts in the window, and is never billed.
    pub uncovered: u64,
    /// The share of the period's units, in percent, that it has reached and those before it had not.
    pub reached: Option<u8>,
}

impl Draw {
    pub fn none(meter: MeterId) -> Self {
        Self { meter, included: 0, extra: 0, credits: 0, overage: 0, uncovered: 0, reached: None }
    }

    /// What Stripe's price is applied to; the rest is recorded only.
    pub fn billed(self) -> u64 {
        self.included + self.overage
    }

    pub fn units(self) -> u64 {
        self.billed() + self.extra + self.credits + self.uncovered
    }

    /// What Stripe does not hear of.
    pub fn unbilled(self) -> Unbilled {
        Unbilled { extra: self.extra, credits: self.credits, uncovered: self.uncovered }
    }

    /// Units of the same meter and exchange, drawn later.
    pub fn add(&mut self, more: &Self) {
        self.included += more.included;
        self.extra += more.extra;
        self.credits += more.credits;
        self.overage += more.overage;
        self.uncovered += more.uncovered;
        self.reached = self.reached.max(more.reached);
    }
}

/// Who calls for a customer, by the store's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MemberId(NonZeroU32);

impl MemberId {
    /// None is 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    pub fn number(self) -> u32 {
        self.0.get()
    }
}

/// Units that Stripe does not hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unbilled {
    /// On an operator's override.
    pub extra: u64,
    pub credits: u64,
    pub uncovered: u64,
}

/// What one request drew, by meter.
pub type Draws = SmallVec<[Draw; 2]>;

/// A charge that has been settled: what it drew, in which period. A repeat of a charged request drew nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub period: Period,
    pub at: Now,
    pub draws: Draws,
    /// Of which grants its credits were, over all draws.
    pub lots: Vec<Lot>,
    /// The idempotency key that it goes by.
    pub key: Option<Digest>,
    /// The member for whom it counts, where the tier caps members.
    pub member: Option<MemberId>,
    /// Of a request that a limit had refused: no limit counts it.
    #[serde(default)]
    pub in_shadow: bool,
}

impl Charge {
    pub fn is_repeat(&self) -> bool {
        self.draws.is_empty()
    }
}

/// What the truth changes of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// In which it counts.
    pub period: Period,
    pub at: Now,
    /// Those that change.
    pub draws: SmallVec<[Change; 1]>,
    /// Units of grants by their number; negative where they come back.
    pub lots: Vec<(i64, i64)>,
}

/// Units of one meter that are drawn beyond what a charge drew; negative where they come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub meter: MeterId,
    pub included: i64,
    pub extra: i64,
    pub credits: i64,
    pub overage: i64,
    pub uncovered: i64,
    /// As [`Draw::reached`].
    pub reached: Option<u8>,
}

impl Change {
    /// From what was drawn to what is drawn in its place.
    pub fn between(before: &Draw, after: &Draw) -> Self {
        let change = |before: u64, after: u64| signed(after).saturating_sub(signed(before));
        Self {
            meter: after.meter,
            included: change(before.included, after.included),
            extra: change(before.extra, after.extra),
            credits: change(before.credits, after.credits),
            overage: change(before.overage, after.overage),
            uncovered: change(before.uncovered, after.uncovered),
            reached: after.reached,
        }
    }

    pub fn units(&self) -> i64 {
        self.included + self.extra + self.credits + self.overage + self.uncovered
    }

    pub fn is_none(&self) -> bool {
        [self.included, self.extra, self.credits, self.overage, self.uncovered] == [0; 5]
    }
}

/// Units are counts of requests and bytes: none comes near the end of either type.
pub fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// An instant as everything here takes it: nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Now(pub u64);

impl Now {
    pub fn from_seconds(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000_000))
    }

    /// What lies before the epoch is the epoch.
    pub fn from_micros(micros: i64) -> Self {
        Self(u64::try_from(micros).unwrap_or(0).saturating_mul(1_000))
    }

    pub fn seconds(self) -> i64 {
        i64::try_from(self.0 / 1_000_000_000).unwrap_or(i64::MAX)
    }

    pub fn micros(self) -> i64 {
        i64::try_from(self.0 / 1_000).unwrap_or(i64::MAX)
    }

    pub fn nanos(self) -> u64 {
        self.0
    }
}
