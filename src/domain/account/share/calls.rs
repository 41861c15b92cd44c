//! Calls and their answers.

use smallvec::SmallVec;

use super::super::Account;
use super::need::window_of;
use super::scale::Scale;
use super::{Claim, Purpose, Share, is_told};
use crate::domain::credits::HELD_SECONDS;
use crate::domain::lease::size::{ahead, top_up};
use crate::domain::lease::{Ask, Call, Lent, Pool, Settled, UNLIMITED};
use crate::domain::tier::Overage;
use crate::domain::usage::Now;

/// For so long nothing more is asked of a pool that has no more: what others give back meanwhile is there later.
const DRY: u64 = 200_000_000;
/// The same where units go on as overage without bound.
const DRY_UNBOUNDED: u64 = 1_000_000_000;
/// What was asked for a waiting request is not given back before it could come to it.
const PLEDGED: u64 = 20_000_000;
/// Clocks differ by less: what has ended for so long has ended everywhere.
const ENDED_SECONDS: i64 = 60;
/// A grant without end is kept in mind for so long behind its last use.
const FOR_EVER: i64 = 10 * 366 * 86_400;

impl Account {
    /// What to say to the fleet; `None` where a call is under way, or nothing is shared.
    pub fn call(&mut self, purpose: Purpose<'_>, now: Now) -> Option<Call> {
        self.roll(now);
        if self.share().is_none_or(|share| share.calling.is_some()) {
            return None;
        }
        let gives_back = matches!(purpose, Purpose::Return);
        let needs = self.needs_of(purpose, now);
        let asked = match purpose {
            Purpose::Request(route) => self.short_rates(route, now).unwrap_or_default(),
            _ => SmallVec::new(),
        };
        self.open_pools(&needs, now);
        if gives_back {
            self.give_back_unheld(now);
        }
        let mut asks = self.asks(now);
        let (expires, window) = (self.expires(now), self.period.start);
        let share = self.share_mut()?;
        for (ask, claim) in asks.iter_mut().zip(&mut share.claims) {
            let needed = ask.want;
            let drawn = claim.drawn(ask.used, now);
            let recent = claim.recent.max(drawn);
            let need =
                needs.iter().find(|need| need.0 == ask.pool && window_of(need.0, window) == ask.window);
            ask.want = ask.keep;
            if matches!(ask.pool, Pool::Included(_) | Pool::Extra(_)) && ask.limit < UNLIMITED {
                claim.lent = claim.lent.min(ask.keep.saturating_add(claim.allowed));
            }
            if let Some((_, least)) = need {
                ask.least = (*least).max(ask.keep);
                ask.want = ask.least.saturating_add(ahead(ask.least - ask.keep, recent, ask.limit));
            } else if matches!(purpose, Purpose::Publish) {
                if ask.limit < UNLIMITED {
                    ask.want = top_up(needed, ask.keep, recent, ask.limit);
                }
                (claim.recent, claim.published, claim.published_at) = (drawn, ask.used, now.nanos());
            }
        }
        let millis = now.nanos() / 1_000_000;
        share.seq = millis.max(share.seq.saturating_add(1)).saturating_add(share.skip);
        share.calling = Some(share.seq);
        share.stirred = false;
        let late = now.seconds() - ENDED_SECONDS;
        let ended =
            share.ended.iter().filter(|(.., at)| *at <= late).map(|(pool, window, _)| (*pool, *window));
        let ended = ended.collect();
        let rates = share.rate_asks(&asked, gives_back, now);
        asks.sort_by_key(|ask| rank(ask.pool));
        Some(Call { seq: share.seq, asks, rates, ended, expires, wants_others: false, sent: now })
    }

    /// There was no answer.
    pub fn call_failed(&mut self, call: &Call) {
        if let Some(share) = self.share_mut().filter(|share| share.calling == Some(call.seq)) {
            share.calling = None;
            share.stirred = true;
        }
    }

    /// Takes an answer in. `false`: ask again when the terms have been learned.
    pub fn take(&mut self, call: &Call, settled: &Settled, now: Now) -> bool {
        self.roll(now);
        let Some(share) = self.share_mut().filter(|share| share.calling == Some(call.seq)) else {
            return true;
        };
        share.calling = None;
        let Settled::Lent { asks, rates, lends } = settled else {
            share.stirred = true;
            let is_old = *settled == Settled::Old;
            // Whoever stated the later number was this node, by another clock.
            share.skip = if is_old { (share.skip * 2).clamp(1, 1 << 32) } else { 0 };
            return is_old;
        };
        share.skip = 0;
        share.ended.retain(|(pool, window, _)| !call.ended.contains(&(*pool, *window)));
        let marks = self.marks(now);
        for (ask, lent) in call.asks.iter().zip(asks) {
            self.take_claim(ask, *lent, *lends, now);
        }
        let has_reached = self.marks(now) != marks;
        if let Some(share) = self.share_mut() {
            share.has_reached |= has_reached;
            if *lends {
                (share.alone, share.turned) = (None, false);
            }
            for (ask, lent) in call.rates.iter().zip(rates) {
                share.take_permits(ask, lent, *lends, call.sent, now);
            }
        }
        true
    }

    fn take_claim(&mut self, ask: &Ask, lent: Lent, lends: bool, now: Now) {
        let is_unbounded = matches!(self.overage_terms(), Some(Overage::Priced { cap: None, .. }));
        let Some(share) = self.share_mut() else { return };
        let is_known = |claim: &&mut Claim| claim.pool == ask.pool && claim.window == ask.window;
        let Some(claim) = share.claims.iter_mut().find(is_known) else { return };
        claim.others = lent.used_by_all.saturating_sub(ask.used);
        if is_told(ask.pool) {
            return;
        }
        let before = claim.lent;
        if lends {
            (claim.heard, claim.free) = (true, lent.free);
            (claim.lent, claim.allowed) = (lent.held.max(claim.lent.saturating_sub(claim.allowed)), 0);
        } else {
            claim.lent = claim.lent.max(lent.held);
            claim.allowed = claim.allowed.min(claim.lent - lent.held.min(claim.lent));
        }
        claim.awaited = lends && lent.held < ask.least && lent.unused_by_others > 0;
        if ask.least > ask.keep && lent.held >= ask.least {
            (claim.dry_until, claim.pledge) = (0, ask.least);
            share.pledged_until = now.nanos().saturating_add(PLEDGED);
        } else if lends && lent.held < ask.least && lent.unused_by_others == 0 {
            let dry = if is_unbounded { DRY_UNBOUNDED } else { DRY };
            claim.dry_until = now.nanos().saturating_add(dry);
            claim.reach = lent.held.saturating_add(lent.free);
        }
        let more = claim.lent.saturating_sub(before);
        if let Pool::Lot(grant) = ask.pool
            && let Some(lot) = share.grant(grant).copied()
        {
            self.rare().purse.give_back(crate::domain::credits::Lot { units: more, ..lot });
        }
    }

    /// Claims on what is needed, and on what is told though nothing has been lent of it; grants that are long gone go.
    fn open_pools(&mut self, needs: &[(Pool, u64)], now: Now) {
        let window = self.period.start;
        let told: SmallVec<[Pool; 2]> = self
            .meters()
            .flat_map(|meter| {
                let overage = self.share().map_or(0, |share| self.overage_here(share, meter, window));
                let credits = self.unbilled(meter).credits;
                let told = [(Pool::Overage(meter), overage), (Pool::Credits(meter), credits)];
                told.into_iter().filter(|(_, units)| *units > 0).map(|(pool, _)| pool)
            })
            .collect();
        let Some(share) = self.share_mut() else { return };
        for pool in needs.iter().map(|need| need.0).chain(told) {
            share.claim_mut(pool, window_of(pool, window));
        }
        let Share { grants, claims, .. } = share;
        let long_gone = now.seconds().saturating_sub(HELD_SECONDS);
        grants.retain(|lot| lot.expires_at.is_none_or(|end| end > long_gone));
        claims.retain(|claim| match claim.pool {
            Pool::Lot(grant) => grants.iter().any(|lot| lot.grant == grant),
            _ => true,
        });
    }

    /// All claims, as they are kept and nothing more is wanted of them; `want` is what is used and in flight.
    fn asks(&self, now: Now) -> SmallVec<[Ask; 2]> {
        let Some(share) = self.share() else { return SmallVec::new() };
        let holds = self.holds(now);
        let overage = self.overage_terms();
        let scale = overage.and_then(Scale::of);
        let tier = self.terms.entitlement.tier_at(now.seconds());
        let ask = |(claim, held): (&Claim, &u64)| {
            let used = self.used_here(share, claim);
            let pool = claim.pool;
            let (limit, price) = match pool {
                Pool::Included(meter) => {
                    let price = tier.map(|tier| tier.price_of(meter, 1));
                    let price = scale.zip(price).map_or(0, |(scale, price)| scale.parts(price));
                    (self.own_included(meter), price)
                }
                Pool::Extra(meter) => {
                    let all = tier.map_or(0, |tier| tier.included(meter).units());
                    (all.saturating_sub(self.own_included(meter)), 0)
                }
                Pool::Lot(grant) => (share.grant(grant).map_or(0, |lot| lot.units), 0),
                Pool::Cap => {
                    let cap = overage.and_then(Overage::cap);
                    (scale.zip(cap).map_or(0, |(scale, cap)| scale.parts(cap)), 0)
                }
                Pool::Overage(_) | Pool::Credits(_) => (0, 0),
            };
            let needed = used.saturating_add(*held);
            let is_lent = !is_told(pool) && limit < UNLIMITED;
            // What was lent under a higher limit is of no use.
            let lent = claim.lent.saturating_sub(claim.allowed).min(limit);
            let keep = if is_lent { needed.max(lent) } else { used };
            let want = if is_lent { needed } else { used };
            let limit = limit.min(UNLIMITED);
            Ask { pool, window: claim.window, used, keep, least: keep, want, limit, price }
        };
        share.claims.iter().zip(&holds).map(ask).collect()
    }

    /// What is in flight of each claim, in their order: as it would be drawn, and of the cap at its dearest.
    pub(super) fn holds(&self, now: Now) -> SmallVec<[u64; 4]> {
        let Some(share) = self.share() else { return SmallVec::new() };
        let tier = self.terms.entitlement.tier_at(now.seconds());
        let mut credits = tier.map_or(0, |tier| self.held_beyond(tier, |_| 0)).min(self.credits_here(now));
        let mut by_lot: SmallVec<[(i64, u64); 2]> = SmallVec::new();
        for lot in self.credit_lots() {
            // What has expired can be spent by what was in flight then, and is nobody else's.
            let held = if lot.is_there(now) { lot.units.min(credits) } else { lot.units };
            by_lot.push((lot.grant, held));
            credits -= if lot.is_there(now) { held } else { 0 };
        }
        let held = |claim: &Claim| {
            let Some(tier) = tier.filter(|_| claim.window == window_of(claim.pool, self.period.start)) else {
                return 0;
            };
            match claim.pool {
                Pool::Included(meter) => self.counts[meter.index()].reserved.min(self.left(tier, meter).0),
                Pool::Extra(meter) => {
                    let (included, extra) = self.left(tier, meter);
                    self.counts[meter.index()].reserved.saturating_sub(included).min(extra)
                }
                Pool::Lot(grant) => by_lot.iter().find(|lot| lot.0 == grant).map_or(0, |lot| lot.1),
                Pool::Cap => self.cap_held(now).saturating_sub(self.used_here(share, claim)),
                Pool::Overage(_) | Pool::Credits(_) => 0,
            }
        };
        share.claims.iter().map(held).collect()
    }

    /// Lowers the claims to what is used and in flight, and to what a request waits for.
    fn give_back_unheld(&mut self, now: Now) {
        let holds = self.holds(now);
        let Some(share) = self.share() else { return };
        let pledged = now.nanos() < share.pledged_until;
        let kept: SmallVec<[u64; 4]> = share
            .claims
            .iter()
            .zip(&holds)
            .map(|(claim, held)| {
                let needed = self.used_here(share, claim).saturating_add(*held);
                if pledged { needed.max(claim.pledge.min(claim.lent)) } else { needed }
            })
            .collect();
        let Some(share) = self.share_mut() else { return };
        let mut back: SmallVec<[(i64, u64); 2]> = SmallVec::new();
        for (claim, kept) in share.claims.iter_mut().zip(kept) {
            if let Pool::Lot(grant) = claim.pool {
                back.push((grant, claim.lent.saturating_sub(kept)));
            }
            claim.lent = kept;
            claim.allowed = 0;
        }
        for (grant, units) in back {
            self.rare().purse.put_aside(grant, units);
        }
    }

    /// When the last window of these ends, or the last grant.
    fn expires(&self, now: Now) -> i64 {
        let others = self.rare.iter().flat_map(|rare| &rare.others).map(|window| window.period.end);
        let grants = self.share().into_iter().flat_map(|share| &share.grants);
        let grants = grants.map(|lot| lot.expires_at.unwrap_or(now.seconds().saturating_add(FOR_EVER)));
        others.chain(grants).chain([self.period.end]).max().unwrap_or(self.period.end)
    }
}

/// The cap comes last: what lies beyond the others is taken off it.
fn rank(pool: Pool) -> u8 {
    match pool {
        Pool::Included(_) => 0,
        Pool::Extra(_) => 1,
        Pool::Overage(_) | Pool::Credits(_) => 2,
        Pool::Lot(_) => 3,
        Pool::Cap => 4,
    }
}
