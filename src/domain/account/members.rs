//! Members: what each of those who call for one customer may use of it, where the tier caps that.
//!
//! A cap is on units used, whatever pays for them. It is asked with all other limits and spent with them, so a refusal
//! of any limit takes nothing of another.
//!
//! # What it promises
//!
//! - Of a capped meter, what a member has used in the customer's period and has in flight is within the cap, in any
//!   order of requests. Beyond it comes only what an exchange turns out to cost beyond its hold, and what settles in a
//!   period or under terms that it was not admitted in.
//! - [`MOST`] members have counts of their own in a period. All who come behind them have those of one together: nobody
//!   is without a limit.
//! - A customer whose tier has no such caps has nothing of this.
//!
//! On a node of a fleet, members are counted by the node alone: its part of a cap is the cap by the nodes that are there.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{Account, Count};
use crate::domain::idempotency::{Digest, Role};
use crate::domain::period::Period;
use crate::domain::rate::{Bucket, Permission, Rate};
use crate::domain::refusal::Refusal;
use crate::domain::tier::{Allowance, MemberTerms};
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Correction, Draws, MemberId, Now, signed};

/// Members of a customer with counts of their own.
pub const MOST: usize = 10_000;

/// What members have used of a period, by meter; under `None` those together who have no counts of their own.
pub type MemberUnits = BTreeMap<(Option<MemberId>, MeterId), u64>;

/// Who a request is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByMember {
    pub id: MemberId,
    /// Its units in flight are held against the member's caps. Those of an idempotency key are the key's.
    holds: bool,
}

impl From<MemberId> for ByMember {
    fn from(id: MemberId) -> Self {
        Self { id, holds: false }
    }
}

/// What a request goes by, beside its customer and its route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct By {
    pub key: Option<Digest>,
    /// None where nobody says, or no tier caps members.
    pub member: Option<ByMember>,
}

impl From<Option<Digest>> for By {
    fn from(key: Option<Digest>) -> Self {
        Self { key, member: None }
    }
}

/// All members of one customer.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    known: BTreeMap<MemberId, Member>,
    /// All who found no place among those.
    beyond: Member,
    /// Whose units an idempotency key in flight holds.
    keys: BTreeMap<Digest, MemberId>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    /// By meter, as far as one was used.
    counts: SmallVec<[Count; 1]>,
    rate: Bucket,
}

/// A member's permission to pass.
#[must_use = "a member who is let through must spend its permission"]
pub(super) struct Asked {
    id: MemberId,
    rate: Option<Permission>,
}

impl Member {
    fn count(&self, meter: MeterId) -> Count {
        self.counts.get(meter.index()).copied().unwrap_or_default()
    }

    fn count_mut(&mut self, meter: MeterId) -> &mut Count {
        if self.counts.len() <= meter.index() {
            self.counts.resize(meter.index() + 1, Count::default());
        }
        &mut self.counts[meter.index()]
    }

    fn has_in_flight(&self) -> bool {
        self.counts.iter().any(|count| count.reserved > 0)
    }

    fn forget_use(&mut self) {
        self.counts.iter_mut().for_each(|count| count.used = 0);
    }

    fn used(&self) -> impl Iterator<Item = (MeterId, u64)> {
        (0..)
            .map(MeterId)
            .zip(&self.counts)
            .map(|(meter, count)| (meter, count.used))
            .filter(|(_, used)| *used > 0)
    }
}

impl Members {
    /// The member's own counts, or those of all who have no place; none of who has used nothing.
    fn of(&self, id: MemberId) -> Option<&Member> {
        self.known.get(&id).or_else(|| (self.known.len() >= MOST).then_some(&self.beyond))
    }

    /// The same, with a place for whoever has none as long as there are any.
    fn of_mut(&mut self, id: MemberId) -> &mut Member {
        if self.known.len() < MOST {
            return self.known.entry(id).or_default();
        }
        self.known.get_mut(&id).unwrap_or(&mut self.beyond)
    }

    fn place(&mut self, id: Option<MemberId>) -> &mut Member {
        match id {
            Some(id) => self.of_mut(id),
            None => &mut self.beyond,
        }
    }

    fn reserve(&mut self, id: MemberId, cost: &Cost) {
        let member = self.of_mut(id);
        for (meter, units) in cost.iter() {
            member.count_mut(meter).reserved += units;
        }
    }

    fn give_back(&mut self, id: MemberId, cost: &Cost) {
        let member = self.of_mut(id);
        for (meter, units) in cost.iter() {
            let reserved = &mut member.count_mut(meter).reserved;
            *reserved = reserved.saturating_sub(units);
        }
    }

    fn change(&mut self, id: MemberId, meter: MeterId, change: i64) {
        let used = &mut self.of_mut(id).count_mut(meter).used;
        *used = used.saturating_add_signed(change);
    }

    /// Another period is current: takes in what members have used of it, and answers what they used of the one before.
    /// Who has no place keeps none as long as anything of those is in flight: it comes back to where it was held.
    fn turn(&mut self, next: MemberUnits, now: Now) -> MemberUnits {
        let left = self.units();
        self.known.values_mut().chain([&mut self.beyond]).for_each(Member::forget_use);
        if !self.beyond.has_in_flight() {
            self.known.retain(|_, member| member.has_in_flight() || !member.rate.is_full(now.nanos()));
        }
        self.put(next);
        left
    }

    fn put(&mut self, units: MemberUnits) {
        for ((id, meter), units) in units {
            let used = &mut self.place(id).count_mut(meter).used;
            *used = used.saturating_add(units);
        }
    }

    fn units(&self) -> MemberUnits {
        let of = |id: Option<MemberId>, member: &Member| {
            member.used().map(|(meter, used)| ((id, meter), used)).collect::<SmallVec<[_; 2]>>()
        };
        let known = self.known.iter().flat_map(|(id, member)| of(Some(*id), member));
        known.chain(of(None, &self.beyond)).collect()
    }

    fn is_at_rest(&self, now: Now) -> bool {
        self.known.values().chain([&self.beyond]).all(|member| member.rate.is_full(now.nanos()))
    }
}

impl Account {
    fn members(&self) -> Option<&Members> {
        self.rare.as_ref()?.members.as_deref()
    }

    pub(super) fn members_mut(&mut self) -> Option<&mut Members> {
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
        match self.members_mut() {
            Some(members) => members.turn(next, now),
            None => {
                self.put_members(next);
                MemberUnits::new()
            }
        }
    }

    pub(super) fn put_members(&mut self, units: MemberUnits) {
        if !units.is_empty() {
            self.members_made().put(units);
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
}

impl Account {
    /// Of the units of a meter that the terms cap.
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
