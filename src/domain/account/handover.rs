//! What an account holds in memory alone, for a process that takes its place.
//!
//! Everything else of it is in the store once the ledger is folded. The heir holds the same units for requests that are
//! still with the one before, and settles or releases them by cost and key: [`Account::settle`], [`Account::release`].

use serde::{Deserialize, Serialize};

use super::{Account, ByMeter};
use crate::domain::idempotency::{Digest, Flight};
use crate::domain::rate::Bucket;
use crate::domain::route::RouteId;
use crate::domain::units::MeterId;
use crate::domain::usage::{MemberId, Now};

/// The units in flight, the rates that were spent, and the keys of what is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// By meter, with those of keys.
    pub reserved: ByMeter,
    pub rate: Bucket,
    pub route_rates: Vec<(RouteId, Bucket)>,
    pub keys: Vec<Flight>,
    /// Where the tier caps members.
    pub members: Vec<HeldByMember>,
    /// Whose units a key holds.
    pub member_keys: Vec<(Digest, MemberId)>,
}

/// What one member holds and has spent; `None`: all who have no counts of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldByMember {
    pub id: Option<MemberId>,
    /// By meter, with those of keys.
    pub reserved: ByMeter,
    pub rate: Bucket,
}

impl InFlight {
    /// Whatever is in flight has ended; the rates stay spent.
    pub fn end(&mut self) {
        self.reserved.clear();
        self.keys.clear();
        self.members.iter_mut().for_each(|member| member.reserved.clear());
        self.member_keys.clear();
    }

    /// Nothing is in flight.
    pub fn is_over(&self) -> bool {
        self.reserved.iter().all(|units| *units == 0) && self.keys.is_empty()
    }

    /// The same, and every rate has been earned back.
    pub fn is_at_rest(&self, now: Now) -> bool {
        let is_full = |bucket: &Bucket| bucket.is_full(now.nanos());
        self.is_over()
            && is_full(&self.rate)
            && self.route_rates.iter().all(|(_, bucket)| is_full(bucket))
            && self.members.iter().all(|member| is_full(&member.rate))
    }
}

impl Account {
    /// None where the store knows all of it.
    pub fn in_flight(&self, now: Now) -> Option<InFlight> {
        if self.is_at_rest(now) {
            return None;
        }
        let rare = self.rare.as_deref();
        Some(InFlight {
            reserved: self.counts.iter().map(|count| count.reserved).collect(),
            rate: self.rate,
            route_rates: rare.map(|rare| rare.route_rates.clone()).unwrap_or_default(),
            keys: rare.map(|rare| rare.keys.flights()).unwrap_or_default(),
            members: self.members_held(now),
            member_keys: self.member_keys(),
        })
    }

    /// Holds what another process has in flight, beside what is in flight here. Of rates the fuller bucket stands.
    pub fn take_over(&mut self, theirs: InFlight) {
        for (meter, units) in (0..).map(MeterId).zip(theirs.reserved) {
            if let Some(count) = self.counts.get_mut(meter.index()) {
                count.reserved = count.reserved.saturating_add(units);
            }
        }
        self.rate = self.rate.or_later(theirs.rate);
        for (route, bucket) in theirs.route_rates {
            let known = self.route_bucket(route);
            self.spend_route(route, |here| *here = known.or_later(bucket));
        }
        self.take_over_members(theirs.members, theirs.member_keys);
        if !theirs.keys.is_empty() {
            self.rare().keys.take_over(theirs.keys);
        }
    }
}
