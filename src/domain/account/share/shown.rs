//! What is shown of all nodes, as far as they have been heard.

use rust_decimal::Decimal;

use super::super::Account;
use super::scale::Scale;
use crate::domain::lease::Pool;
use crate::domain::tier::Tier;
use crate::domain::units::MeterId;
use crate::domain::usage::Now;

impl Account {
    /// Whether the others have used so much that a mark has been reached; said once.
    pub fn has_reached(&mut self) -> bool {
        self.share_mut().is_some_and(|share| std::mem::take(&mut share.has_reached))
    }

    /// Units of a meter that the other nodes have used in the current window, whatever they were drawn on.
    pub fn units_of_others(&self, meter: MeterId) -> u64 {
        let pools = [Pool::Included(meter), Pool::Extra(meter), Pool::Overage(meter), Pool::Credits(meter)];
        pools.into_iter().map(|pool| self.of_others(pool)).fold(0, u64::saturating_add)
    }

    /// Units of a pool of the current window that the other nodes have used.
    pub(in super::super) fn of_others(&self, pool: Pool) -> u64 {
        let claim = self.share().and_then(|share| share.claim(pool, self.period.start));
        claim.map_or(0, |claim| claim.others)
    }

    /// What all nodes have left of included units and those of an override, where this one has so many left of them.
    pub(in super::super) fn left_of_all(&self, tier: &Tier, meter: MeterId) -> Option<(u64, u64)> {
        let share = self.share()?;
        let own = self.own_included(meter);
        let extra = tier.included(meter).units().saturating_sub(own);
        let here = share.claim(Pool::Included(meter), self.period.start).map_or(0, |claim| claim.used);
        let used = here.saturating_add(self.of_others(Pool::Included(meter)));
        let extra_used = self.unbilled(meter).extra.saturating_add(self.of_others(Pool::Extra(meter)));
        Some((own.saturating_sub(used), extra.saturating_sub(extra_used)))
    }

    /// Units of all nodes beyond what Stripe's price includes.
    pub(in super::super) fn overage_of_all(&self, meter: MeterId) -> Option<u64> {
        let share = self.share()?;
        let here = share.claim(Pool::Included(meter), self.period.start).map_or(0, |claim| claim.used);
        let included = here.saturating_add(self.of_others(Pool::Included(meter)));
        let overage = self.overage_here(share, meter, self.period.start);
        let overage = overage.saturating_add(self.of_others(Pool::Overage(meter)));
        Some(overage.saturating_add(included.saturating_sub(self.own_included(meter))))
    }

    /// What the overage of the window costs over all nodes, with what is in flight here.
    pub(in super::super) fn overage_shown(&self, tier: &Tier, now: Now) -> Decimal {
        let here = self.overage(tier, |_| 0, now);
        let Some(scale) = self.share().and_then(|_| Scale::of(&tier.overage)) else { return here };
        let beyond = self.meters().map(|meter| {
            let own = self.own_included(meter);
            let here = self.share().and_then(|share| share.claim(Pool::Included(meter), self.period.start));
            let used = here.map_or(0, |claim| claim.used.saturating_add(claim.others));
            tier.price_of(meter, used.saturating_sub(own))
        });
        let others = scale.amount(self.of_others(Pool::Cap));
        beyond.fold(here.saturating_add(others), Decimal::saturating_add)
    }

    /// Credits that all nodes have left.
    pub(in super::super) fn credits_of_all(&self, now: Now) -> Option<u64> {
        let share = self.share()?;
        let left = share.grants.iter().filter(|lot| lot.is_there(now)).map(|lot| {
            let claim = share.claim(Pool::Lot(lot.grant), 0);
            let used = claim.map_or(0, |claim| claim.others.saturating_add(self.used_here(share, claim)));
            lot.units.saturating_sub(used)
        });
        Some(left.fold(0, u64::saturating_add))
    }
}
