//! Requests with an idempotency key: [`Keys`] says what each is among its like, the account moves the units.
//!
//! Units of a key go from reserved to used and back in one step, so that no limit can be overrun between.

use super::{Account, ByMember};
use crate::domain::idempotency::{Charged, Digest, Role};
use crate::domain::units::Cost;
use crate::domain::usage::{Charge, Draws, Now};

impl Account {
    /// The same account, which knows these keys.
    #[must_use]
    pub fn with_keys(mut self, known: impl IntoIterator<Item = (Digest, Charged)>) -> Self {
        for (key, charged) in known {
            self.rare().keys.remember(key, charged);
        }
        self
    }

    pub(super) fn role(&self, key: Digest, now: Now) -> Role {
        match &self.rare {
            Some(rare) => rare.keys.role(key, now),
            None => Role::First,
        }
    }

    /// The key of a request that has been admitted without one, since its body was not known yet. Answers whether it
    /// goes by the key from now on: its own units then belong to the key, or are given back where it is a repeat.
    pub fn identify(&mut self, cost: &Cost, key: Digest, member: Option<ByMember>, now: Now) -> bool {
        match self.role(key, now) {
            Role::First => {
                self.rare().keys.begin(key, cost.clone());
                self.key_holds(key, member);
            }
            Role::Repeat => {
                self.rare().keys.join(key);
                self.give_back(cost, member);
            }
            Role::Unkeyed => return false,
        }
        true
    }

    /// Whether a request of this key that comes now is the first of them here.
    pub fn is_first(&self, key: Digest, now: Now) -> bool {
        self.role(key, now) == Role::First
    }

    /// Whether the next of this key that settles is charged.
    pub fn would_charge(&self, key: Digest) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.keys.holds(key))
    }

    /// Another node has charged the key at that instant: here are repeats only, which hold nothing.
    pub fn note_charged(&mut self, key: Digest, at: Now) {
        if let Some(reserved) = self.rare().keys.yield_to(key, at) {
            let holder = self.holder_of(key);
            self.give_back(&reserved, holder);
        }
    }

    pub(super) fn hold(&mut self, cost: &Cost, key: Option<Digest>, role: Role) {
        match (key, role) {
            (Some(key), Role::Repeat) => return self.rare().keys.join(key),
            (Some(key), Role::First) => self.rare().keys.begin(key, cost.clone()),
            _ => {}
        }
        self.reserve(cost);
    }

    pub(super) fn settle_keyed(
        &mut self,
        key: Digest,
        member: Option<ByMember>,
        now: Now,
        charge: impl FnOnce(&mut Self, &Cost, Option<ByMember>) -> Charge,
    ) -> Charge {
        let charge = if let Some(reserved) = self.rare().keys.settle(key, now) {
            let holder = self.holder_of(key).or(member);
            charge(self, &reserved, holder)
        } else {
            self.roll(now);
            let (draws, lots) = (Draws::new(), Vec::new());
            Charge { period: self.period, at: now, draws, lots, key: None, member: None, in_shadow: false }
        };
        Charge { key: Some(key), ..charge }
    }

    pub(super) fn release_keyed(&mut self, key: Digest) {
        if let Some(reserved) = self.rare().keys.release(key) {
            let holder = self.holder_of(key);
            self.give_back(&reserved, holder);
        }
    }

    /// After the units of a charge have been taken back: whoever is in flight under its key holds them from now on.
    /// Where they no longer fit, those stay repeats: what they get is free, and no limit is overrun.
    pub(super) fn undo_keyed(&mut self, key: Digest, charge: &Charge, now: Now) {
        let Some(rare) = self.rare.as_deref().filter(|rare| rare.keys.is_charged_at(key, charge.at)) else {
            return;
        };
        let in_flight = rare.keys.is_in_flight(key);
        let cost = Cost::new(charge.draws.iter().map(|draw| (draw.meter, draw.units())));
        if in_flight {
            let tier = self.terms.entitlement.tier_at(now.seconds());
            if tier.is_none_or(|tier| self.ask_units(tier, &cost, now).is_err()) {
                return;
            }
            let member = charge.member.map(ByMember::from);
            let terms = self.member_terms(now);
            if terms.is_some_and(|terms| self.ask_member_units(terms, member, &cost).is_err()) {
                return;
            }
            let holder =
                member.filter(|_| terms.is_some()).map(|member| self.hold_for_member(member.id, &cost));
            self.key_holds(key, holder);
            self.reserve(&cost);
        }
        self.rare().keys.undo(key, cost);
    }
}
