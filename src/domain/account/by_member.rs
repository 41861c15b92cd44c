//! What an account asks of its members' caps, holds and counts for them.

use serde::{Deserialize, Serialize};

use super::members::{Member, MemberUnits, Members};
use super::{Account, Count, HeldByMember};
use crate::domain::idempotency::{Digest, Role};
use crate::domain::period::Period;
use crate::domain::rate::{Permission, Rate};
use crate::domain::refusal::Refusal;
use crate::domain::tier::{Allowance, MemberTerms, TierId};
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Correction, Draws, MemberId, Now, signed};

/// Who a request is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByMember {
    pub id: MemberId,
    /// Its units in flight are held against the member's caps. Those of an idempotency key are the key's.
    holds: bool,
}

impl ByMember {
    /// The member whose units are held with the request's own.
    pub fn holder(self) -> Option<MemberId> {
        self.holds.then_some(self.id)
    }

    /// The same for units that somebody holds.
    pub fn holding(id: MemberId) -> Self {
        Self { id, holds: true }
    }
}

impl From<MemberId> for ByMember {
    fn from(id: MemberId) -> Self {
        Self { id, holds: false }
    }
}

/// What a request goes by, beside its customer and its route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    pub key: Option<Digest>,
    /// None where nobody says, or no tier caps members.
    pub member: Option<ByMember>,
    /// A limit has refused it: it holds nothing.
    #[serde(default)]
    pub in_shadow: bool,
}

impl From<Option<Digest>> for By {
    fn from(key: Option<Digest>) -> Self {
        Self { key, ..Self::default() }
    }
}

/// The answer to a request that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    pub tier: TierId,
    /// The key that the request goes by; to be given again when it settles or is released.
    pub key: Option<Digest>,
    /// The same of who made it.
    pub member: Option<ByMember>,
    /// A limit has refused it: it holds nothing.
    #[serde(default)]
    pub in_shadow: bool,
}

impl Admitted {
    pub fn by(&self) -> By {
        By { key: self.key, member: self.member, in_shadow: self.in_shadow }
    }
}

/// A member's permission to pass.
#[must_use = "a member who is let through must spend its permission"]
pub(super) struct Asked {
    id: MemberId,
    rate: Option<Permission>,
}

impl Account {
    fn members(&self) -> Option<&Members> {
        self.rare.as_ref()?.members.as_deref()
    }

    fn members_mut(&mut self) -> Option<&mut Members> {
        self.rare.as_mut()?.members.as_deref_mut()
    }

    fn members_made(&mut self) -> &mut Members {
        self.rare().members.get_or_insert_default()
    }

    /// What this node has of the terms.
    fn part(&self, terms: &MemberTerms, meter: MeterId) -> Option<u64> {
        match terms.included.get(meter.index()) {
            Some(Allowance::Units(units)) => Some(units.div_ceil(u64::from(self.nodes()))),
            Some(Allowance::Unlimited) | None => None,
        }
    }

    fn part_of_rate(&self, terms: &MemberTerms) -> Option<Rate> {
        terms.rate.map(|rate| rate.shared_by(self.nodes()))
    }

    /// Of a fleet, as last seen.
    fn nodes(&self) -> u32 {
        self.notes().map_or(1, |notes| notes.nodes.max(1))
    }

    fn with_member<T>(&self, id: MemberId, read: impl FnOnce(&Member) -> T) -> T {
        let nobody = Member::default();
        read(self.members().and_then(|members| members.of(id)).unwrap_or(&nobody))
    }

    /// Whether a member may make a request that costs so much, or one that costs nothing. Nothing is spent.
    pub(super) fn ask_member(
        &self,
        terms: &MemberTerms,
        member: Option<ByMember>,
        cost: Option<&Cost>,
        now: Now,
    ) -> Result<Option<Asked>, Refusal> {
        let Some(ByMember { id, .. }) = member else { return Ok(None) };
        let rate = self.part_of_rate(terms).map(|rate| {
            let asked = self.with_member(id, |member| member.rate.ask(rate, now.nanos()));
            asked.map_err(|wait_nanos| Refusal::MemberRateLimited { wait_nanos })
        });
        let rate = rate.transpose()?;
        if let Some(cost) = cost {
            self.ask_member_units(terms, member, cost)?;
        }
        Ok(Some(Asked { id, rate }))
    }

    /// The same of more for an exchange that is open.
    pub(super) fn ask_member_units(
        &self,
        terms: &MemberTerms,
        member: Option<ByMember>,
        cost: &Cost,
    ) -> Result<(), Refusal> {
        let Some(ByMember { id, .. }) = member else { return Ok(()) };
        for (meter, units) in cost.iter() {
            let Some(part) = self.part(terms, meter) else { continue };
            let Count { used, reserved } = self.with_member(id, |member| member.count(meter));
            if used.saturating_add(reserved).saturating_add(units) > part {
                return Err(Refusal::MemberQuotaExceeded { meter });
            }
        }
        Ok(())
    }

    /// Spends what was asked for, and holds the units of who holds any.
    pub(super) fn enter_member(
        &mut self,
        asked: &Asked,
        cost: &Cost,
        key: Option<Digest>,
        role: Role,
    ) -> ByMember {
        let id = asked.id;
        let members = self.members_made();
        if let Some(permission) = asked.rate {
            members.of_mut(id).rate.spend(permission);
        }
        if role != Role::Repeat {
            members.reserve(id, cost);
        }
        if let (Some(key), Role::First) = (key, role) {
            members.keys.insert(key, id);
        }
        ByMember { id, holds: role == Role::Unkeyed }
    }

    /// Holds units of a member.
    pub(super) fn hold_for_member(&mut self, id: MemberId, cost: &Cost) -> ByMember {
        self.members_made().reserve(id, cost);
        ByMember { id, holds: true }
    }

    /// The units that a request holds are its key's from now on.
    pub(super) fn key_holds(&mut self, key: Digest, member: Option<ByMember>) {
        if let Some(ByMember { id, holds: true }) = member {
            self.members_made().keys.insert(key, id);
        }
    }

    /// Who held the units of a key that holds them no more; `None`: nobody.
    pub(super) fn holder_of(&mut self, key: Digest) -> Option<ByMember> {
        let id = self.members_mut()?.keys.remove(&key)?;
        Some(ByMember { id, holds: true })
    }

    pub(super) fn give_back_member(&mut self, member: Option<ByMember>, cost: &Cost) {
        if let Some(ByMember { id, holds: true }) = member
            && let Some(members) = self.members_mut()
        {
            members.give_back(id, cost);
        }
    }

    /// Counts what was drawn for a member, where the tier in force caps members. Answers whose it then is.
    pub(super) fn count_member(
        &mut self,
        member: Option<ByMember>,
        draws: &Draws,
        now: Now,
    ) -> Option<MemberId> {
        let ByMember { id, .. } = member?;
        self.member_terms(now)?;
        let members = self.members_made();
        draws.iter().for_each(|draw| members.change(id, draw.meter, signed(draw.units())));
        Some(id)
    }

    pub(super) fn member_terms(&self, now: Now) -> Option<&MemberTerms> {
        self.terms.entitlement.tier_at(now.seconds())?.member.as_deref()
    }

    /// Takes back what was counted for a member.
    pub(super) fn undo_member(&mut self, member: Option<MemberId>, draws: &Draws, period: Period) {
        let Some(id) = member else { return };
        for draw in draws {
            self.change_member(id, draw.meter, -signed(draw.units()), period);
        }
    }

    pub(super) fn correct_member(&mut self, member: Option<MemberId>, correction: &Correction) {
        let Some(id) = member else { return };
        for change in &correction.draws {
            self.change_member(id, change.meter, change.units(), correction.period);
        }
    }

    fn change_member(&mut self, id: MemberId, meter: MeterId, change: i64, period: Period) {
        if self.period.start == period.start {
            return self.members_made().change(id, meter, change);
        }
        let mut others = self.rare().others.iter_mut();
        let Some(window) = others.find(|window| window.period.start == period.start) else { return };
        let own = Some(id).filter(|id| window.members.contains_key(&(Some(*id), meter)));
        let used = window.members.entry((own, meter)).or_default();
        *used = used.saturating_add_signed(change);
    }

    /// What the store has found a period to hold of a member, where that is more.
    pub(super) fn raise_members(&mut self, period: Period, stored: &MemberUnits) {
        if stored.is_empty() || self.period.start != period.start {
            return;
        }
        let members = self.members_made();
        for ((id, meter), units) in stored {
            let used = &mut members.place(*id).count_mut(*meter).used;
            *used = (*used).max(*units);
        }
    }

    /// Another period is current.
    pub(super) fn turn_members(&mut self, next: MemberUnits, now: Now) -> MemberUnits {
        if let Some(members) = self.members_mut() {
            members.turn(next, now)
        } else {
            self.put_members(next);
            MemberUnits::new()
        }
    }

    pub(super) fn put_members(&mut self, units: MemberUnits) {
        if !units.is_empty() {
            self.members_made().put(units);
        }
    }

    /// What members hold, and have spent of their rates.
    pub(super) fn members_held(&self, now: Now) -> Vec<HeldByMember> {
        self.members().map(|members| members.held(now)).unwrap_or_default()
    }

    pub(super) fn member_keys(&self) -> Vec<(Digest, MemberId)> {
        self.members()
            .map(|members| members.keys.iter().map(|(key, id)| (*key, *id)).collect())
            .unwrap_or_default()
    }

    /// Holds what members hold elsewhere, beside what they hold here.
    pub(super) fn take_over_members(&mut self, held: Vec<HeldByMember>, keys: Vec<(Digest, MemberId)>) {
        if !held.is_empty() || !keys.is_empty() {
            let members = self.members_made();
            for held in held {
                members.take_over(held);
            }
            members.keys.extend(keys);
        }
    }

    pub(super) fn are_members_at_rest(&self, now: Now) -> bool {
        self.members().is_none_or(|members| members.is_at_rest(now))
    }

    /// A member's units in flight.
    #[cfg(test)]
    pub(super) fn held_for(&self, id: MemberId, meter: MeterId) -> u64 {
        self.with_member(id, |member| member.count(meter).reserved)
    }

    /// What members have used of the period in force, on this node.
    pub fn member_units(&mut self, now: Now) -> MemberUnits {
        self.roll(now);
        self.members().map(Members::units).unwrap_or_default()
    }

    /// What is left of the units of a meter that the terms cap.
    pub(super) fn member_units_left(&self, terms: &MemberTerms, id: MemberId, meter: MeterId) -> Option<u64> {
        let part = self.part(terms, meter)?;
        let Count { used, reserved } = self.with_member(id, |member| member.count(meter));
        Some(part.saturating_sub(used.saturating_add(reserved)))
    }

    /// Permits, and nanoseconds until there is one more than now.
    pub(super) fn member_permits_left(
        &self,
        terms: &MemberTerms,
        id: MemberId,
        now: u64,
    ) -> Option<(u64, u64)> {
        let rate = self.part_of_rate(terms)?;
        Some(
            self.with_member(id, |member| (member.rate.remaining(rate, now), member.rate.next_in(rate, now))),
        )
    }
}
