//! Without the fleet: a bounded part of what was free when it was last heard.

use super::super::Account;
use super::scale::Scale;
use crate::domain::lease::{Pool, UNLIMITED};
use crate::domain::tier::Tier;
use crate::domain::usage::Now;

impl Account {
    /// Without the fleet: a bounded part of what was free when last heard, once until it is back. Answers whether there
    /// was any. `nodes` are those last seen; at most `allowance` units of a meter are allowed, and of a cap what these
    /// cost at most. No credits.
    pub fn allow(&mut self, nodes: u32, allowance: u64, now: Now) -> bool {
        self.roll(now);
        if self.share().is_none_or(|share| share.alone.is_some()) || nodes == 0 {
            return false;
        }
        let Some(tier) = self.terms.entitlement.tier_at(now.seconds()).cloned() else { return false };
        let parts = self.allowed_parts(&tier, allowance);
        let limits: Vec<(Pool, u64, u64)> = self
            .meters()
            .flat_map(|meter| {
                let own = self.own_included(meter);
                let extra = tier.included(meter).units().saturating_sub(own);
                [(Pool::Included(meter), own, allowance), (Pool::Extra(meter), extra, allowance)]
            })
            .chain(parts)
            .filter(|(_, limit, _)| *limit > 0 && *limit < UNLIMITED)
            .collect();
        let window = self.period.start;
        for (pool, limit, most) in limits {
            let Some(share) = self.share() else { return false };
            let (used, heard) = share.claim(pool, window).map_or((0, None), |claim| {
                (claim.lent.max(self.used_here(share, claim)), claim.heard.then_some(claim.free))
            });
            let free = heard.unwrap_or_else(|| limit.saturating_sub(used));
            let allowed = free.div_ceil(u64::from(nodes)).min(most).min(limit.saturating_sub(used));
            if let Some(share) = self.share_mut().filter(|_| allowed > 0) {
                let claim = share.claim_mut(pool, window);
                claim.lent = claim.lent.saturating_add(allowed);
                claim.allowed = allowed;
            }
        }
        if let Some(share) = self.share_mut() {
            share.alone = Some(nodes);
            share.stirred = true;
        }
        true
    }

    /// Of the cap: what the allowed units cost at most.
    fn allowed_parts(&self, tier: &Tier, allowance: u64) -> Option<(Pool, u64, u64)> {
        let scale = Scale::of(&tier.overage)?;
        let cap = tier.overage.cap().map_or(0, |cap| scale.parts(cap));
        let dearest = self.meters().map(|meter| scale.parts(tier.price_of(meter, allowance))).max()?;
        Some((Pool::Cap, cap, dearest))
    }
}
