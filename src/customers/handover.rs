//! From one process to the next: what this one has in flight, and what the other one then settles or releases for it.
//!
//! Configurations may differ between them, so meters and routes go by name. What the heir does not have it does not hold:
//! no limit of its own knows it.
//!
//! The heir keeps account of what it holds for the other one, by customer. When that has ended, however it ended, what
//! nobody settled is released.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::account::InFlight;
use crate::domain::catalogue::Catalogue;
use crate::domain::idempotency::{Digest, Flight};
use crate::domain::rate::Bucket;
use crate::domain::route::RouteId;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::Now;
use crate::store::StoreError;

use super::Customers;

/// What no store knows of all customers. Numbers below stand for places in the two lists of names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Estate {
    meters: Vec<SmolStr>,
    routes: Vec<SmolStr>,
    customers: Vec<Held>,
}

/// Of one customer.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    name: SmolStr,
    reserved: Vec<u64>,
    rate: u64,
    route_rates: Vec<(u16, u64)>,
    keys: Vec<HeldKey>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeldKey {
    key: u128,
    requests: u32,
    held: Option<Units>,
}

/// By meter.
pub type Units = Vec<(u16, u64)>;

impl Estate {
    pub fn customers(&self) -> usize {
        self.customers.len()
    }
}

impl Customers {
    /// All that is in flight here. Nothing may be admitted, settled or released meanwhile.
    pub fn estate(&self, now: Now) -> Estate {
        let held = |name: SmolStr| {
            let entry = self.get(&name)?;
            let in_flight = entry.account().in_flight(now)?;
            Some(Held::new(name, in_flight))
        };
        Estate {
            meters: self.catalogue.meters.iter().map(|meter| SmolStr::new(&*meter.name)).collect(),
            routes: route_names(&self.catalogue).collect(),
            customers: self.entries.names().into_iter().filter_map(held).collect(),
        }
    }

    /// Holds what another process has in flight. The store must have all that it has settled.
    pub async fn inherit(&self, estate: Estate, now: Now) -> Result<(), StoreError> {
        let Estate { meters, routes, customers } = estate;
        let here = Places {
            meters: places(&meters, self.catalogue.meters.iter().map(|meter| SmolStr::new(&*meter.name))),
            routes: places(&routes, route_names(&self.catalogue)),
        };
        for held in customers {
            let name = held.name.clone();
            let entry = self.load(&name, None, now).await?;
            entry.account().take_over(held.placed(&here, self.catalogue.meters.len()));
        }
        Ok(())
    }
}

/// A route's pattern may stand there several times, for other methods.
fn route_names(catalogue: &Catalogue) -> impl Iterator<Item = SmolStr> + '_ {
    catalogue.routes.iter().map(|route| SmolStr::new(format!("{} {}", route.methods, route.pattern)))
}

/// Where what the other process has stands here, by its places there.
struct Places {
    meters: Vec<Option<u16>>,
    routes: Vec<Option<u16>>,
}

fn places(theirs: &[SmolStr], ours: impl Iterator<Item = SmolStr>) -> Vec<Option<u16>> {
    let ours: BTreeMap<SmolStr, u16> = ours.zip(0..).collect();
    theirs.iter().map(|name| ours.get(name).copied()).collect()
}

fn here(places: &[Option<u16>], there: u16) -> Option<u16> {
    places.get(usize::from(there)).copied().flatten()
}

impl Held {
    fn new(name: SmolStr, in_flight: InFlight) -> Self {
        let InFlight { reserved, rate, route_rates, keys } = in_flight;
        let key = |flight: Flight| HeldKey {
            key: u128::from_be_bytes(flight.key.0),
            requests: flight.requests,
            held: flight.held.map(|cost| cost.iter().map(|(meter, units)| (meter.0, units)).collect()),
        };
        Self {
            name,
            reserved: reserved.into_vec(),
            rate: rate.nanos(),
            route_rates: route_rates.into_iter().map(|(route, bucket)| (route.0, bucket.nanos())).collect(),
            keys: keys.into_iter().map(key).collect(),
        }
    }

    fn placed(self, places: &Places, meters: usize) -> InFlight {
        let mut reserved = smallvec::smallvec![0; meters];
        for (there, units) in (0..).zip(self.reserved) {
            if let Some(at) = here(&places.meters, there) {
                reserved[usize::from(at)] = units;
            }
        }
        let route_rates = self.route_rates.into_iter().filter_map(|(there, nanos)| {
            here(&places.routes, there).map(|route| (RouteId(route), Bucket::until(nanos)))
        });
        let keys = self.keys.into_iter().map(|held| Flight {
            key: Digest(held.key.to_be_bytes()),
            requests: held.requests,
            held: held.held.map(|units| placed_cost(units, places)),
        });
        InFlight {
            reserved,
            rate: Bucket::until(self.rate),
            route_rates: route_rates.collect(),
            keys: keys.collect(),
        }
    }
}

fn placed_cost(units: Units, places: &Places) -> Cost {
    let placed = units.into_iter().filter_map(|(there, units)| Some((MeterId(here(&places.meters, there)?), units)));
    Cost::new(placed)
}
