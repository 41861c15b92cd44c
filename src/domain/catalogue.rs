//! The catalogue: what the configuration sells. Tiers, meters, routes and features, checked and cross-linked.

mod numbered;
mod succession;

use std::sync::Arc;

use rust_decimal::Decimal;

use super::money::Currency;
use super::route::RouteTable;
use super::tier::{Tier, TierId};
use super::units::{Meter, MeterId};

pub use numbered::Numbered;
pub use succession::OutOfNumbers;

/// Which units are reported to Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Included and overage units: Stripe's graduated price holds the included ones.
    All,
    /// Overage units alone.
    Overage,
}

impl Report {
    /// Of what was drawn; units drawn on credits are paid for already.
    pub fn reportable(self, included: i64, overage: i64) -> i64 {
        match self {
            Self::All => included + overage,
            Self::Overage => overage,
        }
    }
}

/// Everything that prices and limits a request.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub currency: Currency,
    pub meters: Numbered<Meter>,
    pub tiers: Numbered<Arc<Tier>>,
    /// Who has no subscription.
    pub default_tier: Option<TierId>,
    /// Who calls anonymously.
    pub anonymous_tier: Option<TierId>,
    /// Names of the bits in a [`super::tier::FeatureSet`].
    pub features: Vec<String>,
    /// Names of the bits in [`super::route::Extras::scopes`].
    pub scopes: Vec<String>,
    pub routes: RouteTable,
    pub report: Report,
    /// How long a `past_due` subscription keeps its tier after it was first seen, in seconds.
    pub past_due_grace: i64,
    pub credit_packs: Vec<CreditPack>,
    /// How long a subscription keeps its tier behind its paid period while Stripe cannot be asked, in seconds.
    pub silence_grace: i64,
}

/// Prepaid units that can be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditPack {
    pub name: Arc<str>,
    pub units: u64,
    /// In major units of the currency.
    pub price: Decimal,
    /// How long the units last, in seconds; `None`: for ever.
    pub expires_after: Option<i64>,
}

impl Catalogue {
    pub fn tier(&self, id: TierId) -> &Arc<Tier> {
        &self.tiers[id.index()]
    }

    /// Whether any tier caps what members use.
    pub fn caps_members(&self) -> bool {
        self.tiers.iter().any(|tier| tier.member.is_some())
    }

    pub fn meter(&self, id: MeterId) -> &Meter {
        &self.meters[id.index()]
    }

    /// In the order of the file.
    pub fn meter_ids(&self) -> impl Iterator<Item = MeterId> {
        self.meters.listed().iter().map(|number| MeterId(u16::try_from(*number).unwrap_or(u16::MAX)))
    }

    /// Whether everybody has by one what they have by the other.
    pub fn entitles_as(&self, other: &Self) -> bool {
        let terms =
            |one: &Self| (one.default_tier, one.anonymous_tier, one.past_due_grace, one.silence_grace);
        terms(self) == terms(other) && self.tiers.iter().eq(other.tiers.iter())
    }

    /// Of two tiers the later in the file beats the other.
    pub fn rank(&self, tier: TierId) -> Option<usize> {
        self.tiers.place(tier.index())
    }

    /// The tier that a Stripe price stands for: by id, or by a lookup key `tollgate_<tier>_monthly`, `_yearly` or
    /// `_<meter>`.
    pub fn tier_of_price(&self, price: &str, lookup_key: Option<&str>) -> Option<TierId> {
        let by_id = self.tiers.iter().find(|tier| tier.stripe_prices.iter().any(|p| p == price));
        let by_key = || {
            let key = lookup_key?.strip_prefix("tollgate_")?;
            self.tiers.iter().find(|tier| {
                let suffix = key.strip_prefix(&*tier.name).and_then(|rest| rest.strip_prefix('_'));
                suffix.is_some_and(|suffix| {
                    matches!(suffix, "monthly" | "yearly")
                        || self.meters.iter().any(|meter| &*meter.name == suffix)
                })
            })
        };
        by_id.or_else(by_key).map(|tier| tier.id)
    }

    /// The names of a set of features, in the catalogue's order.
    pub fn feature_names(&self, set: super::tier::FeatureSet) -> Vec<&str> {
        (0..self.features.len())
            .filter(|index| set.holds(super::tier::FeatureSet::from_indices([*index])))
            .map(|index| self.features[index].as_str())
            .collect()
    }
}
