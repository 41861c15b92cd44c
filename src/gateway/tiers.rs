//! What the gateway keeps of each tier, made once for each configuration.
//!
//! A customer may have been given a tier of a newer configuration than the one that a request began with: what is kept
//! of that one is found with the newest, which knows all that were before it.

use std::sync::Arc;

use crate::domain::catalogue::Catalogue;
use crate::domain::tier::{Tier, TierId};
use crate::domain::usage::{Change, Draw};
use crate::live::Live;
use crate::metrics::METRICS;
use crate::metrics::hot::HotCounter;

use super::Parts;
use super::forwarding::TierHeaders;

/// Of one tier.
pub(super) struct OfTier {
    pub name: Arc<str>,
    pub headers: TierHeaders,
    /// The store's number.
    pub number: u32,
    /// By meter: units drawn on what is included, on credits, on overage.
    drawn: Vec<[HotCounter; 3]>,
}

/// By the tiers' numbers.
pub(super) type OfTiers = Arc<Vec<OfTier>>;

/// Of all tiers that any configuration of this process has had.
pub struct Tiers(Live<Vec<OfTier>>);

impl Default for Tiers {
    fn default() -> Self {
        Self(Live::new(Arc::default()))
    }
}

impl Tiers {
    /// Those of a catalogue that follows the one before; `numbers` are the store's.
    pub(super) fn follow(&self, catalogue: &Catalogue, numbers: &[u32]) -> OfTiers {
        let tiers = catalogue.tiers.by_number().iter().zip(numbers);
        let tiers = Arc::new(tiers.map(|(tier, number)| OfTier::new(tier, *number, catalogue)).collect());
        self.0.set(Arc::clone(&tiers));
        tiers
    }
}

impl OfTier {
    fn new(tier: &Tier, number: u32, catalogue: &Catalogue) -> Self {
        let drawn = |meter: &str| {
            ["included", "credits", "overage"]
                .map(|drawn| METRICS.units.with_label_values(&[meter, &tier.name, drawn]))
        };
        Self {
            name: tier.name.clone(),
            headers: TierHeaders::new(tier, catalogue),
            number,
            drawn: catalogue.meters.by_number().iter().map(|meter| drawn(&meter.name)).collect(),
        }
    }

    /// Counts what a charge drew on.
    pub fn count(&self, draws: &[Draw]) {
        for draw in draws {
            let [included, credits, overage] = &self.drawn[draw.meter.index()];
            for (counter, units) in
                [(included, draw.included + draw.extra), (credits, draw.credits), (overage, draw.overage)]
            {
                if units > 0 {
                    counter.inc_by(units);
                }
            }
        }
    }

    /// Counts what the truth of an estimate adds to what it drew on.
    pub fn count_more(&self, changes: &[Change]) {
        for change in changes {
            let drawn = [change.included + change.extra, change.credits, change.overage];
            for (counter, units) in self.drawn[change.meter.index()].iter().zip(drawn) {
                if let Some(more) = u64::try_from(units).ok().filter(|more| *more > 0) {
                    counter.inc_by(more);
                }
            }
        }
    }
}

impl Parts {
    pub(super) fn of_tier<R>(&self, tier: TierId, read: impl FnOnce(&OfTier) -> R) -> R {
        match self.own_tiers.get(tier.index()) {
            Some(known) => read(known),
            None => read(&self.tiers.0.now()[tier.index()]),
        }
    }
}
