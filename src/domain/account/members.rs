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
//! On a node of a fleet, members are counted by the node alone: its part of a cap is the cap divided by the nodes that
//! are there. What an account asks of all this is in `by_member`.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::Count;
use crate::domain::idempotency::Digest;
use crate::domain::rate::Bucket;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{MemberId, Now};

/// Members of a customer with counts of their own.
pub const MOST: usize = 10_000;

/// What members have used of a period, by meter; under `None` those together who have no counts of their own.
pub type MemberUnits = BTreeMap<(Option<MemberId>, MeterId), u64>;

/// All members of one customer.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    known: BTreeMap<MemberId, Member>,
    /// All who found no place among those.
    beyond: Member,
    /// Whose units an idempotency key in flight holds.
    pub keys: BTreeMap<Digest, MemberId>,
}

/// What one of them has used and holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    /// By meter, as far as one was used.
    counts: SmallVec<[Count; 1]>,
    pub rate: Bucket,
}

impl Member {
    pub fn count(&self, meter: MeterId) -> Count {
        self.counts.get(meter.index()).copied().unwrap_or_default()
    }

    pub fn count_mut(&mut self, meter: MeterId) -> &mut Count {
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
    pub fn of(&self, id: MemberId) -> Option<&Member> {
        self.known.get(&id).or_else(|| (self.known.len() >= MOST).then_some(&self.beyond))
    }

    /// The same, with a place for whoever has none as long as there are any.
    pub fn of_mut(&mut self, id: MemberId) -> &mut Member {
        if self.known.len() < MOST {
            return self.known.entry(id).or_default();
        }
        self.known.get_mut(&id).unwrap_or(&mut self.beyond)
    }

    pub fn place(&mut self, id: Option<MemberId>) -> &mut Member {
        match id {
            Some(id) => self.of_mut(id),
            None => &mut self.beyond,
        }
    }

    pub fn reserve(&mut self, id: MemberId, cost: &Cost) {
        let member = self.of_mut(id);
        for (meter, units) in cost.iter() {
            member.count_mut(meter).reserved += units;
        }
    }

    pub fn give_back(&mut self, id: MemberId, cost: &Cost) {
        let member = self.of_mut(id);
        for (meter, units) in cost.iter() {
            let reserved = &mut member.count_mut(meter).reserved;
            *reserved = reserved.saturating_sub(units);
        }
    }

    pub fn change(&mut self, id: MemberId, meter: MeterId, change: i64) {
        let used = &mut self.of_mut(id).count_mut(meter).used;
        *used = used.saturating_add_signed(change);
    }

    /// Another period is current: takes in what members have used of it, and answers what they used of the one before.
    /// Who has no place keeps none as long as anything of those is in flight: it comes back to where it was held.
    pub fn turn(&mut self, next: MemberUnits, now: Now) -> MemberUnits {
        let left = self.units();
        self.known.values_mut().chain([&mut self.beyond]).for_each(Member::forget_use);
        if !self.beyond.has_in_flight() {
            self.known.retain(|_, member| member.has_in_flight() || !member.rate.is_full(now.nanos()));
        }
        self.put(next);
        left
    }

    pub fn put(&mut self, units: MemberUnits) {
        for ((id, meter), units) in units {
            let used = &mut self.place(id).count_mut(meter).used;
            *used = used.saturating_add(units);
        }
    }

    pub fn units(&self) -> MemberUnits {
        let of = |id: Option<MemberId>, member: &Member| {
            member.used().map(|(meter, used)| ((id, meter), used)).collect::<SmallVec<[_; 2]>>()
        };
        let known = self.known.iter().flat_map(|(id, member)| of(Some(*id), member));
        known.chain(of(None, &self.beyond)).collect()
    }

    pub fn is_at_rest(&self, now: Now) -> bool {
        self.known.values().chain([&self.beyond]).all(|member| member.rate.is_full(now.nanos()))
    }
}
