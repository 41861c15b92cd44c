//! The share of one node in a customer's limits, where several nodes share them.
//!
//! Of each pool the node has a *claim*: so many units it may have used at most. Units are admitted and drawn within it,
//! as they are within the limit on one node alone; what is short is asked for in a [`Call`], and what is not needed
//! goes back in one. The decision itself stays where it is: [`Account::admit`] takes what is here for all there is,
//! once [`Account::lacks`] has said that no more is to be had.
//!
//! # What it promises
//!
//! - What a node has used of a pool and has in flight is within its claim, and no claim is above what was last stated
//!   for it: it rises by an answer alone, and falls before the call that says so is sent. Beyond it comes only what was
//!   in flight when a period or the terms changed, what an exchange cost beyond its hold, a bounded part while the
//!   fleet is away, and what a period turns out to have held before.
//! - What is stated is absolute. Used units are stated as they are, whatever has been stated before.
//! - Units are drawn as on one node: included ones, those of an override, credits, overage. A pool counts as used up
//!   only once the fleet has said so.
//!
//! What has been billed of a period is counted anew whenever the terms change or the account is loaded, as on one node:
//! all of it against the included units first. Where that is more than these, the fleet takes the rest off the cap.
//!
//! What is asked for is in `need`, calls and answers in `calls`, what the fleet's absence allows in `alone`, what is
//! shown of all nodes in `shown`, what begins and ends with a period or with terms in `windows`, rates in `permits`,
//! the cap's units in `scale`.

mod alone;
mod calls;
mod grants;
mod need;
mod permits;
mod scale;
mod shown;
mod windows;

use smallvec::SmallVec;

use super::{Account, Rare};
use crate::domain::credits::Lot;
use crate::domain::lease::{Pool, UNLIMITED};
use crate::domain::route::Route;
use crate::domain::tier::Overage;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Draw, Now};

use permits::Permits;

/// What a call is made for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// A request that the share has no room for.
    Request(&'a Route),
    /// An open exchange that the share has no room for.
    More(&'a Cost),
    /// So many credits are to be taken away that are not here.
    Credits(u64),
    /// To tell what was used, and to ask for about what will be.
    Publish,
    /// To give back what is not in flight.
    Return,
}

/// What a node has of a customer's limits, and what it knows of the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    claims: SmallVec<[Claim; 1]>,
    permits: SmallVec<[Permits; 1]>,
    /// The grants that claims are on, with what each held at first.
    grants: Vec<Lot>,
    /// Pools of windows that have ended, and when that was noticed, in seconds.
    ended: Vec<(Pool, i64, i64)>,
    /// Of the last call.
    seq: u64,
    /// The start of the current window.
    window: i64,
    /// By how much the next number is to be higher than it would be: Redis knows a later one.
    skip: u64,
    /// The number of the call under way.
    calling: Option<u64>,
    /// Nodes as last seen, while the fleet is away and what that allows has been allowed.
    alone: Option<u32>,
    /// Until when what was asked for a request is not given back.
    pledged_until: u64,
    /// A window has begun, and the fleet has not been heard in it.
    turned: bool,
    stirred: bool,
    has_reached: bool,
}

/// Nanoseconds.
const RECENT: u128 = 1_000_000_000;

/// A claim on a pool.
#[derive(Clone, Debug)]
struct Claim {
    pool: Pool,
    window: i64,
    /// How many units may have been used at most. Nothing is lent of what is told only.
    lent: u64,
    /// Units used; those of other pools than the included units follow from the account's own counts.
    used: u64,
    /// Units that the others have used.
    others: u64,
    /// Units in nobody's claim when last heard.
    free: u64,
    /// Until `dry_until` a claim above `reach` is not to be had.
    reach: u64,
    dry_until: u64,
    /// What a waiting request was promised.
    pledge: u64,
    /// Of `lent`: what was allowed without the fleet.
    allowed: u64,
    /// What had been used when it was last published, when that was, and how much of it since the time before, in a
    /// second at most.
    published: u64,
    published_at: u64,
    recent: u64,
    /// Less came than was needed, and others hold some that they have not used: it is waited for.
    awaited: bool,
    /// An answer has been heard since the window or the terms began.
    heard: bool,
}

impl Claim {
    fn new(pool: Pool, window: i64, used: u64) -> Self {
        Self {
            pool,
            window,
            lent: used,
            used,
            others: 0,
            free: 0,
            reach: 0,
            dry_until: 0,
            pledge: 0,
            allowed: 0,
            published: used,
            published_at: 0,
            recent: 0,
            awaited: false,
            heard: false,
        }
    }

    /// How much of what is used now has been used of late. A time in which nothing could be published was long, and
    /// the next calls are not as far apart.
    fn drawn(&self, used: u64, now: Now) -> u64 {
        let drawn = u128::from(used.saturating_sub(self.published));
        let passed = match self.published_at {
            0 => 1,
            at => u128::from(now.nanos().saturating_sub(at).max(1)),
        };
        u64::try_from(drawn * passed.min(RECENT) / passed).unwrap_or(u64::MAX)
    }

    /// What has been answered under other terms or of another period means nothing any more.
    fn forget_answers(&mut self) {
        (self.heard, self.awaited) = (false, false);
        (self.dry_until, self.free, self.allowed, self.pledge) = (0, 0, 0, 0);
    }
}

impl Share {
    fn claim(&self, pool: Pool, window: i64) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.pool == pool && claim.window == window)
    }

    /// The claim, made where there is none.
    fn claim_mut(&mut self, pool: Pool, window: i64) -> &mut Claim {
        let known = self.claims.iter().position(|claim| claim.pool == pool && claim.window == window);
        let place = known.unwrap_or_else(|| {
            self.claims.push(Claim::new(pool, window, 0));
            self.claims.len() - 1
        });
        &mut self.claims[place]
    }

    fn grant(&self, number: i64) -> Option<&Lot> {
        self.grants.iter().find(|lot| lot.grant == number)
    }
}

impl Account {
    /// The same account on one node of several, as the last step of making it. `granted`: what each of its grants held
    /// at first, by its number.
    #[must_use]
    pub fn with_share(mut self, granted: &[(i64, u64)]) -> Self {
        let start = self.period.start;
        let rare = self.rare();
        let mut share = Box::<Share>::default();
        for lot in rare.purse.empty() {
            let held = granted.iter().find(|(grant, _)| *grant == lot.grant).map_or(lot.units, |held| held.1);
            share.claims.push(Claim::new(Pool::Lot(lot.grant), 0, held.saturating_sub(lot.units)));
            share.grants.push(Lot { units: held, ..lot });
        }
        share.stirred = true;
        share.window = start;
        rare.share = Some(share);
        self.open_window();
        self
    }

    pub(super) fn share(&self) -> Option<&Share> {
        self.rare.as_deref()?.share.as_deref()
    }

    fn share_mut(&mut self) -> Option<&mut Share> {
        self.rare.as_deref_mut()?.share.as_deref_mut()
    }

    /// Whether it has changed since the last call.
    pub fn is_stirred(&self) -> bool {
        self.share().is_some_and(|share| share.stirred)
    }

    pub(super) fn stir(&mut self) {
        if let Some(share) = self.share_mut() {
            share.stirred = true;
        }
    }

    /// A new grant is lent like all others: nothing of it is here yet. Answers what may be spent at once.
    pub(super) fn share_grant(&mut self, lot: Lot) -> Lot {
        let Some(share) = self.share_mut() else { return lot };
        share.grants.push(lot);
        share.claims.push(Claim::new(Pool::Lot(lot.grant), 0, 0));
        share.stirred = true;
        Lot { units: 0, ..lot }
    }

    /// What the claims leave of the included units and of those that an override adds, where neither can be more than
    /// `limits`.
    pub(super) fn claimed(&self, share: &Share, meter: MeterId, limits: (u64, u64)) -> (u64, u64) {
        let left = |pool, limit: u64, used: u64| {
            let of_limit = limit.saturating_sub(used);
            if limit >= UNLIMITED {
                return of_limit;
            }
            let claim = share.claim(pool, self.period.start);
            claim.map_or(0, |claim| claim.lent.saturating_sub(used)).min(of_limit)
        };
        let included = share.claim(Pool::Included(meter), self.period.start).map_or(0, |claim| claim.used);
        let extra = self.unbilled(meter).extra;
        (left(Pool::Included(meter), limits.0, included), left(Pool::Extra(meter), limits.1, extra))
    }

    /// Included units that what settles now may draw on: those of the claim; of a window that the fleet has not been heard
    /// in, all. What was in flight when it began can have no claim on it, and the next call states what it drew.
    pub(super) fn drawable(&self, meter: MeterId, left: u64) -> u64 {
        match self.share() {
            Some(share) if share.turned => self.undrawn(share, meter),
            _ => left,
        }
    }

    /// Of units that no claim and no credit covers, those that count as included all the same, where overage is denied:
    /// as on one node, where the terms have changed under them.
    pub(super) fn overdrawn(&self, meter: MeterId, drawn: u64, units: u64, now: Now) -> u64 {
        let Some(share) = self.share().filter(|_| units > 0) else { return 0 };
        let tier = self.terms.entitlement.tier_at(now.seconds());
        let denied = tier.is_none_or(|tier| tier.overage == Overage::Deny);
        if denied { units.min(self.undrawn(share, meter).saturating_sub(drawn)) } else { 0 }
    }

    fn undrawn(&self, share: &Share, meter: MeterId) -> u64 {
        let used = share.claim(Pool::Included(meter), self.period.start).map_or(0, |claim| claim.used);
        self.own_included(meter).saturating_sub(used)
    }

    /// Settled units of a meter beyond what was drawn on the included ones here.
    pub(super) fn overage_here(&self, share: &Share, meter: MeterId, window: i64) -> u64 {
        let included = share.claim(Pool::Included(meter), window).map_or(0, |claim| claim.used);
        self.used_of(window, meter).0.saturating_sub(included)
    }

    /// Billed units of a window that is known here, and what was drawn beside them.
    fn used_of(&self, window: i64, meter: MeterId) -> (u64, super::Unbilled) {
        if window == self.period.start {
            return (self.counts[meter.index()].used, self.unbilled(meter));
        }
        let mut others = self.rare.iter().flat_map(|rare| &rare.others);
        let known = others.find(|known| known.period.start == window);
        known.map(|known| (known.used[meter.index()], known.unbilled(meter))).unwrap_or_default()
    }

    /// Units of a claim's pool that have been used here.
    fn used_here(&self, share: &Share, claim: &Claim) -> u64 {
        match claim.pool {
            // What nothing has paid for takes of the limit all the same.
            Pool::Included(meter) => claim.used.saturating_add(self.used_of(claim.window, meter).1.uncovered),
            Pool::Extra(meter) => self.used_of(claim.window, meter).1.extra,
            Pool::Credits(meter) => self.used_of(claim.window, meter).1.credits,
            Pool::Overage(meter) => self.overage_here(share, meter, claim.window),
            Pool::Lot(grant) => claim.lent.saturating_sub(self.in_purse(grant)),
            Pool::Cap => self.cap_used(share, claim.window),
        }
    }

    fn in_purse(&self, grant: i64) -> u64 {
        self.credit_lots().iter().find(|lot| lot.grant == grant).map_or(0, |lot| lot.units)
    }

    /// After a draw, and before it is counted.
    pub(super) fn draw_on_share(&mut self, draw: &Draw) {
        let window = self.period.start;
        let Some(share) = self.share_mut() else { return };
        share.stirred = true;
        if draw.included > 0 {
            let claim = share.claim_mut(Pool::Included(draw.meter), window);
            claim.used = claim.used.saturating_add(draw.included);
        }
    }

    /// After the units of a draw have been taken back in a window that now holds `billed`.
    pub(super) fn undo_on_share(&mut self, window: i64, draw: &Draw, billed: u64) {
        let Some(share) = self.share_mut() else { return };
        share.stirred = true;
        let pool = Pool::Included(draw.meter);
        if let Some(claim) = share.claims.iter_mut().find(|c| c.pool == pool && c.window == window) {
            claim.used = claim.used.saturating_sub(draw.included).min(billed);
        }
    }

    /// A period holds more than was counted here: it counts against the included units first.
    pub(super) fn raise_share(&mut self, window: i64, meter: MeterId, more: u64) {
        if more > 0
            && let Some(share) = self.share_mut()
        {
            let claim = share.claim_mut(Pool::Included(meter), window);
            claim.used = claim.used.saturating_add(more);
            claim.lent = claim.lent.max(claim.used);
            share.stirred = true;
        }
    }

    /// What happens beyond the included units, whether an override is in force or not.
    fn overage_terms(&self) -> Option<&Overage> {
        let entitlement = &self.terms.entitlement;
        let set = entitlement.overridden.as_deref().map(|set| &set.tier);
        entitlement.tier.as_ref().or(set).map(|tier| &tier.overage)
    }

    /// Nothing is lent that has not been used, and the fleet knows all of it.
    pub(super) fn is_share_at_rest(&self, now: Now) -> bool {
        let Some(share) = self.share() else { return true };
        let has_expired = |pool| match pool {
            Pool::Lot(grant) => share.grant(grant).is_none_or(|lot| !lot.is_there(now)),
            _ => false,
        };
        let is_used = |claim: &Claim| {
            is_told(claim.pool) || has_expired(claim.pool) || claim.lent == self.used_here(share, claim)
        };
        !share.stirred && share.calling.is_none() && share.claims.iter().all(is_used)
    }
}

/// Of what is told only, nothing is lent.
fn is_told(pool: Pool) -> bool {
    matches!(pool, Pool::Overage(_) | Pool::Credits(_))
}

/// One allocation more on a node of a fleet; nothing more on one alone.
const _: () = assert!(size_of::<Option<Box<Share>>>() == 8 && size_of::<Rare>() <= 256);

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
