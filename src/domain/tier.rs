//! Tiers: sets of limits.

use std::sync::Arc;

use rust_decimal::Decimal;

use serde::{Deserialize, Serialize};

use super::rate::Rate;
use super::units::MeterId;

/// Features as bits; their names are in the [`super::catalogue::Catalogue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet(u128);

impl FeatureSet {
    /// How many different features one configuration can name.
    pub const CAPACITY: usize = 128;

    pub fn from_indices(indices: impl IntoIterator<Item = usize>) -> Self {
        Self(indices.into_iter().fold(0, |bits, index| bits | (1 << index)))
    }

    pub fn holds(self, required: Self) -> bool {
        self.0 & required.0 == required.0
    }

    /// The same features where others have other places: `places` says the new one of each.
    #[must_use]
    pub fn moved(self, places: &[usize]) -> Self {
        Self::from_indices(self.indices().filter_map(|index| places.get(index).copied()))
    }

    /// Their places in the list of names.
    pub fn indices(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(next)
        })
    }

    /// The first required feature that is not in this set.
    pub fn first_missing(self, required: Self) -> Option<usize> {
        let missing = required.0 & !self.0;
        (missing != 0).then(|| missing.trailing_zeros() as usize)
    }
}

/// How many units of a meter a period includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    Units(u64),
    Unlimited,
}

impl Allowance {
    /// As a number to count against: nobody uses 2^64 units.
    pub fn units(self) -> u64 {
        match self {
            Self::Units(units) => units,
            Self::Unlimited => u64::MAX,
        }
    }
}

/// What happens beyond the included units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overage {
    Deny,
    Priced {
        /// In major units of the currency, by meter.
        unit_amounts: Vec<Decimal>,
        /// The most overage of a period, in major units of the currency.
        cap: Option<Decimal>,
    },
}

impl Overage {
    pub fn cap(&self) -> Option<Decimal> {
        match self {
            Self::Deny => None,
            Self::Priced { cap, .. } => *cap,
        }
    }
}

/// A number that is passed to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Number(u64),
    Unlimited,
}

/// What a subscription to the tier costs, in major units of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    pub monthly: Option<Decimal>,
    pub yearly: Option<Decimal>,
}

/// The number of a tier: its position in the first configuration that had it. Which beats which, the catalogue says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TierId(pub u16);

impl TierId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// `[tiers.NAME]`, checked: every list by meter has an entry for each meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    pub id: TierId,
    pub name: Arc<str>,
    pub price: Price,
    pub stripe_prices: Vec<String>,
    pub included: Vec<Allowance>,
    pub overage: Overage,
    pub rate: Option<Rate>,
    pub features: FeatureSet,
    /// Ordered by name.
    pub limits: Vec<(String, Limit)>,
    pub trial_days: Option<u32>,
    /// Granted for each paid invoice.
    pub credits_per_cycle: u64,
    /// How long those last, in seconds; `None`: for ever.
    pub credits_expire: Option<i64>,
    /// Units of a meter that a node of a fleet admits beyond its lease while Redis is away.
    pub degraded_allowance: u64,
    /// `None`: members share what there is without limits of their own.
    pub member: Option<Arc<MemberTerms>>,
    pub mode: Mode,
}

/// What becomes of a request that a limit refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is served, and noted; no limit counts it, and nobody is billed for it.
    Shadow,
}

/// What each member of a customer may use of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberTerms {
    /// Units per period, by meter.
    pub included: Vec<Allowance>,
    pub rate: Option<Rate>,
}

impl Tier {
    pub fn included(&self, meter: MeterId) -> Allowance {
        self.included.get(meter.index()).copied().unwrap_or(Allowance::Units(0))
    }

    /// Under which Stripe has its price: `suffix` is `monthly`, `yearly` or a meter's name.
    pub fn lookup_key(&self, suffix: &str) -> String {
        format!("tollgate_{}_{suffix}", self.name)
    }

    /// What a unit beyond the included ones costs; none of a meter that costs nothing.
    pub fn charges(&self, meter: MeterId) -> Option<Decimal> {
        let one = self.price_of(meter, 1);
        (!one.is_zero() && self.included(meter) != Allowance::Unlimited).then_some(one)
    }

    /// Whether its customers spend credits in the first place: they are told of those when nothing is left.
    pub fn lives_on_credits(&self) -> bool {
        self.credits_per_cycle > 0 || self.included.iter().all(|included| *included == Allowance::Units(0))
    }

    /// What `used` units cost beyond the included ones, exact and unrounded; 0 where overage is denied.
    pub fn overage_amount(&self, meter: MeterId, used: u64) -> Decimal {
        self.price_of(meter, used.saturating_sub(self.included(meter).units()))
    }

    /// What units beyond the included ones cost.
    pub fn price_of(&self, meter: MeterId, beyond: u64) -> Decimal {
        match &self.overage {
            Overage::Deny => Decimal::ZERO,
            Overage::Priced { unit_amounts, .. } => {
                let amount = unit_amounts.get(meter.index()).copied().unwrap_or(Decimal::ZERO);
                amount.saturating_mul(Decimal::from(beyond))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_missing_feature_is_named() {
        let (has, needs) = (FeatureSet::from_indices([0, 127]), FeatureSet::from_indices([0, 3, 127]));
        assert!(!has.holds(needs) && needs.holds(has));
        assert_eq!(has.first_missing(needs), Some(3));
        assert_eq!(needs.first_missing(has), None);
    }
}
