//! What stands at which place in the configurations of two processes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use crate::domain::account::{ByMeter, HeldByMember, InFlight};
use crate::domain::catalogue::Catalogue;
use crate::domain::idempotency::Flight;
use crate::domain::measure::TrueCost;
use crate::domain::refusal::Refusal;
use crate::domain::route::{Route, RouteId};
use crate::domain::tier::TierId;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::Charge;

/// What has a number in a catalogue, by it; the retired ones too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Names {
    meters: Vec<SmolStr>,
    routes: Vec<SmolStr>,
    tiers: Vec<SmolStr>,
}

impl Names {
    pub fn of(catalogue: &Catalogue) -> Self {
        let route = |route: &Route| format_smolstr!("{} {}", route.methods, route.pattern);
        Self {
            meters: catalogue.meters.by_number().iter().map(|meter| SmolStr::new(&meter.name)).collect(),
            routes: catalogue.routes.by_number().iter().map(route).collect(),
            tiers: catalogue.tiers.by_number().iter().map(|tier| SmolStr::new(&tier.name)).collect(),
        }
    }

    /// A meter that another catalogue does not have: what is in flight may cost units of it.
    pub fn meter_missing_in(&self, catalogue: &Catalogue) -> Option<&str> {
        let known = |name: &&SmolStr| catalogue.meters.iter().any(|meter| *meter.name == ***name);
        self.meters.iter().find(|name| !known(name)).map(SmolStr::as_str)
    }
}

/// The other process's numbers and ours.
#[derive(Debug)]
pub struct Match {
    meters: Numbers,
    routes: Numbers,
    tiers: Numbers,
}

#[derive(Debug)]
struct Numbers {
    /// Ours, by theirs.
    here: Vec<Option<u16>>,
    there: HashMap<u16, u16>,
}

impl Numbers {
    fn new(theirs: &[SmolStr], ours: &[SmolStr]) -> Self {
        let ours: HashMap<&SmolStr, u16> = ours.iter().zip(0..).collect();
        let here: Vec<Option<u16>> = theirs.iter().map(|name| ours.get(name).copied()).collect();
        let there = here.iter().zip(0..).filter_map(|(here, there)| here.map(|here| (here, there))).collect();
        Self { here, there }
    }

    fn here(&self, there: u16) -> Option<u16> {
        self.here.get(usize::from(there)).copied().flatten()
    }
}

impl Match {
    pub fn new(theirs: &Names, ours: &Catalogue) -> Self {
        let ours = Names::of(ours);
        Self {
            meters: Numbers::new(&theirs.meters, &ours.meters),
            routes: Numbers::new(&theirs.routes, &ours.routes),
            tiers: Numbers::new(&theirs.tiers, &ours.tiers),
        }
    }

    /// Ours; none where we have no such route.
    pub fn route(&self, theirs: RouteId) -> Option<RouteId> {
        self.routes.here(theirs.0).map(RouteId)
    }

    /// Theirs; none where they have no such tier.
    pub fn tier_there(&self, ours: TierId) -> Option<TierId> {
        self.tiers.there.get(&ours.0).copied().map(TierId)
    }

    /// What they say a request costs.
    pub fn cost(&self, theirs: &Cost) -> Cost {
        Cost::new(self.units(theirs.iter()))
    }

    /// What they say that an exchange truly cost.
    pub fn true_cost(&self, theirs: &TrueCost) -> TrueCost {
        TrueCost::new(&Cost::default(), self.units(theirs.iter()))
    }

    fn units(&self, theirs: impl Iterator<Item = (MeterId, u64)>) -> impl Iterator<Item = (MeterId, u64)> {
        theirs.filter_map(|(meter, units)| Some((MeterId(self.meters.here(meter.0)?), units)))
    }

    /// A refusal of ours as they know it; none where they do not know what it names.
    pub fn refusal_there(&self, ours: Refusal) -> Option<Refusal> {
        let there = |meter: MeterId| self.meters.there.get(&meter.0).copied().map(MeterId);
        Some(match ours {
            Refusal::QuotaExceeded { meter } => Refusal::QuotaExceeded { meter: there(meter)? },
            Refusal::MemberQuotaExceeded { meter } => Refusal::MemberQuotaExceeded { meter: there(meter)? },
            Refusal::FeatureNotIncluded { .. } => return None,
            refusal => refusal,
        })
    }

    /// A charge as they know it.
    pub fn charge(&self, mut theirs: Charge) -> Charge {
        theirs.draws.retain(|draw| match self.meters.here(draw.meter.0) {
            Some(here) => {
                draw.meter = MeterId(here);
                true
            }
            None => false,
        });
        theirs
    }

    /// A charge of ours as they know it.
    pub fn charge_there(&self, mut ours: Charge) -> Charge {
        ours.draws.retain(|draw| match self.meters.there.get(&draw.meter.0) {
            Some(there) => {
                draw.meter = MeterId(*there);
                true
            }
            None => false,
        });
        ours
    }

    /// What they have in flight of an account, where we have so many meters.
    pub fn in_flight(&self, theirs: InFlight, meters: usize) -> InFlight {
        let members = theirs.members.into_iter();
        let members =
            members.map(|member| HeldByMember { reserved: self.reserved(member.reserved, meters), ..member });
        let routes = theirs.route_rates.into_iter();
        let keys = theirs.keys.into_iter();
        InFlight {
            reserved: self.reserved(theirs.reserved, meters),
            rate: theirs.rate,
            route_rates: routes.filter_map(|(route, bucket)| Some((self.route(route)?, bucket))).collect(),
            keys: keys
                .map(|flight| Flight { held: flight.held.map(|cost| self.cost(&cost)), ..flight })
                .collect(),
            members: members.collect(),
            member_keys: theirs.member_keys,
        }
    }

    fn reserved(&self, theirs: ByMeter, meters: usize) -> ByMeter {
        let mut reserved = smallvec::smallvec![0; meters];
        for (there, units) in (0..).zip(theirs) {
            if let Some(here) = self.meters.here(there) {
                reserved[usize::from(here)] = units;
            }
        }
        reserved
    }
}
