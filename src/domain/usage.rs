//! Usage: what a settled request drew, and the record of it.

use smallvec::SmallVec;

use super::credits::Lot;
use super::idempotency::Digest;
use super::period::Period;
use super::units::MeterId;

/// The units of one meter that a request was charged, by what they were drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    pub meter: MeterId,
    /// Of what the customer's own tier includes.
    pub included: u64,
    /// Of what an operator has allowed beyond that; Stripe does not hear of it.
    pub extra: u64,
    pub credits: u64,
    pub overage: u64,
    /// The share of the period's units, in percent, that it has reached and those before it had not.
    pub reached: Option<u8>,
}

impl Draw {
    /// What Stripe's price is applied to; the rest is recorded only.
    pub fn billed(self) -> u64 {
        self.included + self.overage
    }

    pub fn units(self) -> u64 {
        self.billed() + self.extra + self.credits
    }
}

/// What one request drew, by meter.
pub type Draws = SmallVec<[Draw; 2]>;

/// A charge that has been settled: what it drew, in which period. A repeat of a charged request drew nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub period: Period,
    pub at: Now,
    pub draws: Draws,
    /// Of which grants its credits were, over all draws.
    pub lots: Vec<Lot>,
    /// The idempotency key that it goes by.
    pub key: Option<Digest>,
}

impl Charge {
    pub fn is_repeat(&self) -> bool {
        self.draws.is_empty()
    }
}

/// An instant as everything here takes it: nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
