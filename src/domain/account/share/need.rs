//! What a request needs that is not here, pool after pool as units are drawn: the next is asked for once the one before
//! is known to have no more, or while it is waited for what others have of it.

use smallvec::SmallVec;

use super::super::{Account, By, ByMember};
use super::scale::Scale;
use super::{Claim, Purpose, Share};
use crate::domain::credits::Lot;
use crate::domain::idempotency::Role;
use crate::domain::lease::{Pool, UNLIMITED};
use crate::domain::route::Route;
use crate::domain::tier::{Overage, Tier};
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::Now;

/// After it has been waited for what others hold.
const GIVEN_UP: u64 = 1_000_000_000;

/// Pools, and the claims that are needed on them.
pub(super) type Needs = SmallVec<[(Pool, u64); 2]>;

impl Account {
    /// Whether a request needs more of the fleet than is held here. Not for one that is refused anyhow.
    pub fn lacks(&mut self, route: &Route, by: impl Into<By>, now: Now) -> bool {
        if self.share().is_none() {
            return false;
        }
        let By { key, member, .. } = by.into();
        self.roll(now);
        let Ok(tier) = self.tier_in_force(now) else { return false };
        if tier.features.first_missing(route.requires).is_some() {
            return false;
        }
        let is_repeat = key.is_some_and(|key| self.role(key, now) == Role::Repeat);
        if let Some(terms) = &tier.member
            && self.ask_member(terms, member, (!is_repeat).then_some(&route.cost), now).is_err()
        {
            return false;
        }
        let Some(short) = self.short_rates(route, now) else { return false };
        if !short.is_empty() {
            return true;
        }
        !is_repeat && !self.needs(&route.cost, now).is_empty()
    }

    /// The same of an exchange that is open.
    pub fn lacks_more(&mut self, cost: &Cost, member: Option<ByMember>, now: Now) -> bool {
        if self.share().is_none() {
            return false;
        }
        self.roll(now);
        let Ok(tier) = self.tier_in_force(now) else { return false };
        let may = tier.member.as_ref().is_none_or(|terms| self.ask_member_units(terms, member, cost).is_ok());
        may && !self.needs(cost, now).is_empty()
    }

    /// It has waited for long enough: for a while the account decides with what it has.
    pub fn give_up(&mut self, purpose: Purpose<'_>, now: Now) {
        self.roll(now);
        if let Purpose::Request(route) = purpose {
            self.give_up_rates(route, now);
        }
        let (needs, window) = (self.needs_of(purpose, now), self.period.start);
        let Some(share) = self.share_mut() else { return };
        let is_needed = |claim: &Claim| {
            needs.iter().any(|(pool, _)| *pool == claim.pool && window_of(*pool, window) == claim.window)
        };
        let waits = share.claims.iter().any(|claim| claim.awaited && is_needed(claim));
        // What has not been asked for is not given up: it is the next to be asked.
        for claim in share.claims.iter_mut().filter(|claim| is_needed(claim)) {
            if claim.awaited || claim.heard && !waits {
                (claim.awaited, claim.reach) = (false, claim.lent);
                claim.dry_until = now.nanos().saturating_add(GIVEN_UP);
            }
        }
    }

    pub(super) fn needs_of(&self, purpose: Purpose<'_>, now: Now) -> Needs {
        match purpose {
            Purpose::Request(route) => self.needs(&route.cost, now),
            Purpose::More(cost) => self.needs(cost, now),
            Purpose::Credits(units) => {
                let Some(share) = self.share() else { return Needs::new() };
                let mut needs = Needs::new();
                self.need_credits(share, units.saturating_sub(self.free_credits(now)), now, &mut needs);
                needs
            }
            Purpose::Publish | Purpose::Return => Needs::new(),
        }
    }

    fn needs(&self, cost: &Cost, now: Now) -> Needs {
        let mut needs = Needs::new();
        let (Some(share), Some(tier)) = (self.share(), self.terms.entitlement.tier_at(now.seconds())) else {
            return needs;
        };
        if cost.is_free() {
            return needs;
        }
        let asked = |meter| cost.iter().find(|(m, _)| *m == meter).map_or(0, |(_, units)| units);
        let mut beyond = 0_u64;
        let mut is_beyond = false;
        for meter in self.meters() {
            let held = self.need_units(share, tier, meter, asked(meter), now, &mut needs);
            beyond = beyond.saturating_add(held);
            is_beyond |= held > 0 && asked(meter) > 0;
        }
        if is_beyond {
            let short = beyond.saturating_sub(self.credits_here(now));
            let short = self.need_credits(share, short, now, &mut needs);
            if short > 0 {
                needs.extend(self.need_of_cap(share, tier, asked, now));
            }
        }
        needs
    }

    /// Of what includes units of a meter; answers how many are beyond that.
    fn need_units(
        &self,
        share: &Share,
        tier: &Tier,
        meter: MeterId,
        asked: u64,
        now: Now,
        needs: &mut Needs,
    ) -> u64 {
        let in_flight = self.counts[meter.index()].reserved.saturating_add(asked);
        let (included, extra) = self.left(tier, meter);
        let own = self.own_included(meter);
        let added = tier.included(meter).units().saturating_sub(own);
        let mut short = in_flight.saturating_sub(included);
        for (pool, limit, left) in [(Pool::Included(meter), own, 0), (Pool::Extra(meter), added, extra)] {
            short = short.saturating_sub(left);
            if short == 0 {
                return 0;
            }
            let least = if asked > 0 { self.to_be_had(share, pool, short, limit, now) } else { None };
            if let Some(least) = least {
                needs.push((pool, least));
                if !self.is_awaited(share, pool) {
                    return 0;
                }
            }
        }
        short
    }

    /// Of the grants, in the order in which they are spent; answers how many none of them can have.
    fn need_credits(&self, share: &Share, units: u64, now: Now, needs: &mut Needs) -> u64 {
        let mut grants: SmallVec<[&Lot; 4]> = share.grants.iter().filter(|lot| lot.is_there(now)).collect();
        grants.sort_by_key(|lot| lot.spending_order());
        let mut short = units;
        for lot in grants {
            let pool = Pool::Lot(lot.grant);
            let room = lot.units.saturating_sub(self.base(share, pool));
            let units = short.min(room);
            if units > 0
                && let Some(least) = self.to_be_had(share, pool, units, lot.units, now)
            {
                needs.push((pool, least));
                short -= if self.is_awaited(share, pool) { 0 } else { units };
            }
        }
        short
    }

    fn need_of_cap(
        &self,
        share: &Share,
        tier: &Tier,
        asked: impl Fn(MeterId) -> u64,
        now: Now,
    ) -> Option<(Pool, u64)> {
        let Overage::Priced { cap: Some(cap), .. } = &tier.overage else { return None };
        let scale = Scale::of(&tier.overage)?;
        let after = self.overage(tier, asked, now);
        if after > *cap || after <= self.overage(tier, |_| 0, now) {
            return None;
        }
        let short = scale.parts(after).saturating_sub(self.base(share, Pool::Cap));
        let least = (short > 0).then(|| self.to_be_had(share, Pool::Cap, short, scale.parts(*cap), now));
        least.flatten().map(|least| (Pool::Cap, least))
    }

    fn is_awaited(&self, share: &Share, pool: Pool) -> bool {
        share.claim(pool, window_of(pool, self.period.start)).is_some_and(|claim| claim.awaited)
    }

    /// The claim as it stands, or what has been used beyond it.
    fn base(&self, share: &Share, pool: Pool) -> u64 {
        let claim = share.claim(pool, window_of(pool, self.period.start));
        claim.map_or(0, |claim| claim.lent.max(self.used_here(share, claim)))
    }

    /// The claim that has so many units more, or as many as may be had; `None`: no more than there are.
    fn to_be_had(&self, share: &Share, pool: Pool, short: u64, limit: u64, now: Now) -> Option<u64> {
        let base = self.base(share, pool);
        if base >= limit || limit >= UNLIMITED {
            return None;
        }
        let least = base.saturating_add(short);
        let Some(claim) = share.claim(pool, window_of(pool, self.period.start)) else { return Some(least) };
        // Nobody can be asked: it counts as used up if it was when last heard.
        if share.alone.is_some() && claim.heard && claim.free == 0 {
            return None;
        }
        let reach = if now.nanos() < claim.dry_until { claim.reach } else { u64::MAX };
        (reach > base).then(|| least.min(reach))
    }
}

/// Grants have no window.
pub(super) fn window_of(pool: Pool, current: i64) -> i64 {
    if matches!(pool, Pool::Lot(_)) { 0 } else { current }
}
