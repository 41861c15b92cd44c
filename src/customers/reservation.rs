//! Reservations: units in flight, which settle or are released exactly once.

use std::sync::Arc;

use crate::domain::account::{Account, Admitted, By, ByMember, Policies, Terms};
use crate::domain::idempotency::Digest;
use crate::domain::measure::TrueCost;
use crate::domain::money::Currency;
use crate::domain::period::Period;
use crate::domain::route::Route;
use crate::domain::tier::TierId;
use crate::domain::units::Cost;
use crate::domain::usage::{Charge, Correction, MemberId, Now};

use super::entry::Entry;

/// The permission to forward one request. Dropping it releases what has not been settled.
#[must_use = "dropping a reservation releases it"]
pub struct Reservation {
    entry: Arc<Entry>,
    admitted: Admitted,
    cost: Cost,
    held: bool,
}

/// A charge, and the tier that it was made under.
#[derive(Clone, Debug)]
pub struct Settled {
    pub charge: Charge,
    pub tier: Option<TierId>,
}

impl Reservation {
    pub(super) fn new(entry: Arc<Entry>, admitted: Admitted, cost: Cost) -> Self {
        Self { entry, admitted, cost, held: true }
    }

    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// What it was made for.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// What it was admitted with.
    pub fn admitted(&self) -> Admitted {
        self.admitted
    }

    pub fn by(&self) -> By {
        self.admitted.by()
    }

    /// The idempotency key that it goes by.
    pub fn key(&self) -> Option<Digest> {
        self.admitted.key
    }

    /// Whether it is neither settled nor released, nor held elsewhere.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Where it is held elsewhere, and goes by a key there.
    pub fn goes_by(&mut self, key: Digest) {
        self.admitted.key = Some(key);
    }

    /// Somebody else settles or releases it.
    pub(super) fn leave(mut self) -> (Arc<Entry>, Cost, By) {
        self.held = false;
        (self.entry.clone(), std::mem::take(&mut self.cost), self.admitted.by())
    }

    /// One that another process holds: nothing that is done with it here changes anything.
    pub fn elsewhere(entry: Arc<Entry>, admitted: Admitted, cost: Cost) -> Self {
        Self { entry, admitted, cost, held: false }
    }

    /// A limit has refused what it is for: it holds nothing.
    pub fn is_in_shadow(&self) -> bool {
        self.admitted.in_shadow
    }

    /// Another one, of nothing: for what a limit has refused, and is served all the same.
    pub fn in_shadow(&self) -> Self {
        let admitted = Admitted { key: None, in_shadow: true, ..self.admitted };
        Self::new(self.entry.clone(), admitted, Cost::default())
    }

    /// Another one, of nothing: for what is charged in any case.
    pub fn for_nothing(&self) -> Self {
        let admitted = Admitted { key: None, ..self.admitted };
        Self::new(self.entry.clone(), admitted, Cost::default())
    }

    /// The tier in force when the request was admitted.
    pub fn tier(&self) -> TierId {
        self.admitted.tier
    }

    /// Who made the request, as far as that is counted.
    pub fn member(&self) -> Option<ByMember> {
        self.admitted.member
    }

    fn member_id(&self) -> Option<MemberId> {
        self.admitted.member.map(|member| member.id)
    }

    /// The idempotency key, where it could not be known before the whole body was. What is settled or released stays.
    pub fn identify(&mut self, key: Digest, now: Now) {
        if self.held
            && !self.admitted.in_shadow
            && self.entry.account().identify(&self.cost, key, self.admitted.member, now)
        {
            self.admitted.key = Some(key);
        }
    }

    /// The idempotency key that settling it would charge; none for a repeat.
    pub fn key_to_charge(&self) -> Option<Digest> {
        self.admitted.key.filter(|key| self.held && self.entry.account().would_charge(*key))
    }

    /// Turns the reserved units into used ones; nothing for a repeat of what has been charged. A second call, or one
    /// after a release, charges nothing.
    pub fn settle(&mut self, now: Now) -> Option<Settled> {
        self.settle_and(now, |_| ()).map(|(settled, ())| settled)
    }

    /// The same, and every limit that a request on this route is held against as the charge has left it.
    pub fn settle_showing(
        &mut self,
        route: &Route,
        currency: Currency,
        now: Now,
    ) -> Option<(Settled, Policies)> {
        let member = self.member_id();
        self.settle_and(now, |account| account.policies(route, member, currency, now))
    }

    /// The same where an exchange has told what it cost, or holds that until it does. The terms that it is charged under
    /// are those to [correct](Self::correct) it by.
    pub fn settle_with(
        &mut self,
        truth: &TrueCost,
        route: &Route,
        currency: Currency,
        now: Now,
    ) -> Option<(Settled, Policies, Arc<Terms>)> {
        let member = self.member_id();
        let (settled, (policies, terms)) = self.settle_by(
            now,
            |account, cost, by| account.settle_with(cost, truth, by, now),
            |account| (account.policies(route, member, currency, now), account.terms().clone()),
        )?;
        Some((settled, policies, terms))
    }

    fn settle_and<T>(&mut self, now: Now, then: impl FnOnce(&mut Account) -> T) -> Option<(Settled, T)> {
        self.settle_by(now, |account, cost, by| account.settle(cost, by, now), then)
    }

    fn settle_by<T>(
        &mut self,
        now: Now,
        charge: impl FnOnce(&mut Account, &Cost, By) -> Charge,
        then: impl FnOnce(&mut Account) -> T,
    ) -> Option<(Settled, T)> {
        if !std::mem::take(&mut self.held) {
            return None;
        }
        let account = &mut *self.entry.account();
        let charge = charge(account, &self.cost, self.admitted.by());
        let tier = account.terms().entitlement.tier_at(now.seconds()).map(|tier| tier.id);
        Some((Settled { charge, tier }, then(account)))
    }

    /// Takes back a charge that this reservation settled; answers the period that this counts in.
    pub fn undo(&self, settled: &Settled, now: Now) -> Period {
        self.entry.account().undo(&settled.charge, now)
    }

    /// Puts what an exchange truly cost in the place of what was held for it until its end; once. `terms` are those that it
    /// was settled under.
    pub fn correct(&self, settled: &Settled, truth: &TrueCost, terms: &Arc<Terms>, now: Now) -> Correction {
        self.entry.account().correct(&settled.charge, truth, terms, now)
    }

    /// Gives the units back. What has settled stays settled.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.held) {
            self.entry.account().release(&self.cost, self.admitted.by());
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

impl Entry {
    /// What has been settled for a request that is not here.
    pub fn settled_before(self: &Arc<Self>) -> Reservation {
        let admitted = Admitted { tier: TierId(0), key: None, member: None, in_shadow: false };
        Reservation::elsewhere(self.clone(), admitted, Cost::default())
    }

    /// What it is entitled to now.
    pub fn terms(&self) -> Arc<Terms> {
        self.account().terms().clone()
    }

    /// Every limit that a request of a member on this route is held against, the tightest first.
    pub fn policies(
        &self,
        route: &Route,
        member: Option<MemberId>,
        currency: Currency,
        now: Now,
    ) -> Policies {
        self.account().policies(route, member, currency, now)
    }
}
