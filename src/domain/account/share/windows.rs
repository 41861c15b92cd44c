//! Periods and terms begin and end: what is stated of them then.

use smallvec::SmallVec;

use super::super::Account;
use super::{Claim, Share};
use crate::domain::lease::Pool;
use crate::domain::subscription::Entitlement;
use crate::domain::tier::Overage;
use crate::domain::units::MeterId;
use crate::domain::usage::Now;

impl Account {
    /// Another window has become current, or what was beside it has ended: nothing is lent of those.
    pub(in super::super) fn turn_share(&mut self, now: Now) {
        if self.share().is_none() {
            return;
        }
        let Some(mut share) = self.rare.as_deref_mut().and_then(|rare| rare.share.take()) else { return };
        for place in 0..share.claims.len() {
            let claim = &share.claims[place];
            if claim.window != self.period.start && !matches!(claim.pool, Pool::Lot(_)) {
                let used = self.used_here(&share, claim);
                share.claims[place].lent = used;
                share.claims[place].forget_answers();
            }
        }
        let rare = self.rare();
        let others: SmallVec<[i64; 2]> = rare.others.iter().map(|window| window.period.start).collect();
        let current = self.period.start;
        share.stirred = true;
        if share.window != current {
            // What is under way was said of another window.
            (share.window, share.turned, share.calling) = (current, true, None);
        }
        let Share { claims, ended, .. } = &mut *share;
        claims.retain(|claim| {
            let known = claim.window == current || others.contains(&claim.window);
            let stays = known || matches!(claim.pool, Pool::Lot(_));
            if !stays {
                ended.push((claim.pool, claim.window, now.seconds()));
            }
            stays
        });
        self.rare().share = Some(share);
        self.open_window();
    }

    /// All that may have been told of the current window is told again: what a call does not name stays as it was, and
    /// may have been taken back since. What has been billed counts against the included units, where no claim says more.
    pub(super) fn open_window(&mut self) {
        let window = self.period.start;
        let terms = self.overage_terms();
        let is_priced = terms.is_some_and(|terms| *terms != Overage::Deny);
        let is_capped = terms.is_some_and(|terms| terms.cap().is_some());
        let has_extra = self.terms.entitlement.overridden.is_some();
        let counts = self.counts.clone();
        let extras: SmallVec<[u64; 2]> = self.meters().map(|meter| self.unbilled(meter).extra).collect();
        let Some(share) = self.share_mut() else { return };
        for ((meter, count), extra) in (0..).map(MeterId).zip(counts).zip(extras) {
            if share.claim(Pool::Included(meter), window).is_none() {
                share.claims.push(Claim::new(Pool::Included(meter), window, count.used));
            }
            if has_extra || extra > 0 {
                let claim = share.claim_mut(Pool::Extra(meter), window);
                claim.lent = claim.lent.max(extra);
            }
            if is_priced {
                share.claim_mut(Pool::Overage(meter), window);
            }
            if !share.grants.is_empty() {
                share.claim_mut(Pool::Credits(meter), window);
            }
        }
        if is_capped {
            share.claim_mut(Pool::Cap, window);
        }
    }

    /// Other terms are in force than those before: all that was billed counts against the included units first, and
    /// what is in flight keeps what it holds of them. The rest goes back, and what is under way means other terms.
    pub(in super::super) fn rebase(&mut self, before: &Entitlement, now: Now) {
        self.stir();
        if self.share().is_none() || *before == self.terms.entitlement {
            return;
        }
        let window = self.period.start;
        let counts = self.counts.clone();
        let extras: SmallVec<[u64; 2]> = self.meters().map(|meter| self.unbilled(meter).extra).collect();
        let Some(share) = self.share_mut() else { return };
        for claim in share.claims.iter_mut().filter(|claim| claim.window == window) {
            let (used, counted) = match claim.pool {
                Pool::Included(meter) => (counts[meter.index()].used, claim.used),
                Pool::Extra(meter) => (extras[meter.index()], extras[meter.index()]),
                _ => continue,
            };
            let (Pool::Included(meter) | Pool::Extra(meter)) = claim.pool else { continue };
            let left = claim.lent.saturating_sub(claim.allowed.saturating_add(counted));
            claim.lent = used.saturating_add(left.min(counts[meter.index()].reserved));
            claim.used = used;
            claim.forget_answers();
        }
        share.calling = None;
        share.stirred = true;
        share.permits.clear();
        self.open_window();
        let in_flight = self.cap_held(now);
        if let Some(share) = self.share_mut() {
            for claim in
                share.claims.iter_mut().filter(|claim| claim.pool == Pool::Cap && claim.window == window)
            {
                claim.lent = in_flight;
                claim.forget_answers();
            }
        }
    }
}
