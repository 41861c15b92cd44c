//! What is held for requests of the process before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;

use crate::domain::account::{Admitted, InFlight};
use crate::domain::idempotency::Digest;
use crate::domain::tier::TierId;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::Now;
use crate::store::StoreError;

use super::super::{Customers, Entry, Reservation};
use super::Match;

/// Requests of the process before, and what is held for them until this is dropped.
pub struct Guests {
    customers: Arc<Customers>,
    matched: Match,
    held: Mutex<HashMap<SmolStr, Held>>,
}

/// Of one customer.
#[derive(Default)]
struct Held {
    /// By meter, without those of keys.
    units: Vec<u64>,
    /// So many requests of each key.
    keys: HashMap<Digest, u32>,
}

impl Held {
    fn of(in_flight: &InFlight) -> Self {
        let mut held = Self { units: in_flight.reserved.to_vec(), keys: HashMap::new() };
        for flight in &in_flight.keys {
            held.keys.insert(flight.key, flight.requests);
            for (meter, units) in flight.held.iter().flat_map(Cost::iter) {
                *held.unit(meter) = held.unit(meter).saturating_sub(units);
            }
        }
        held
    }

    fn unit(&mut self, meter: MeterId) -> &mut u64 {
        if self.units.len() <= meter.index() {
            self.units.resize(meter.index() + 1, 0);
        }
        &mut self.units[meter.index()]
    }

    fn take(&mut self, cost: &Cost, key: Option<Digest>) -> bool {
        if let Some(key) = key {
            let requests = self.keys.get_mut(&key).filter(|requests| **requests > 0);
            return requests.map(|requests| *requests -= 1).is_some();
        }
        if cost.iter().any(|(meter, units)| *self.unit(meter) < units) {
            return false;
        }
        cost.iter().for_each(|(meter, units)| *self.unit(meter) -= units);
        true
    }

    fn hold(&mut self, cost: &Cost, key: Option<Digest>) {
        match key {
            Some(key) => *self.keys.entry(key).or_default() += 1,
            None => cost.iter().for_each(|(meter, units)| *self.unit(meter) += units),
        }
    }
}

impl Guests {
    pub(super) fn new(customers: Arc<Customers>, matched: Match) -> Self {
        Self { customers, matched, held: Mutex::default() }
    }

    pub fn matched(&self) -> &Match {
        &self.matched
    }

    /// What an account will hold for them.
    pub(super) fn come(&self, name: &SmolStr, in_flight: &InFlight) {
        self.held().insert(name.clone(), Held::of(in_flight));
    }

    /// A customer of theirs.
    pub async fn customer(&self, name: &str, now: Now) -> Result<Arc<Entry>, StoreError> {
        match self.customers.get(name) {
            Some(entry) => Ok(entry),
            None => self.customers.load(name, None, now).await,
        }
    }

    /// What is held for one of a customer's requests, for us to settle or release. None: nothing is.
    pub fn take(&self, entry: &Arc<Entry>, cost: &Cost, key: Option<Digest>) -> Option<Reservation> {
        let taken = self.held().get_mut(&entry.name)?.take(cost, key);
        let admitted = Admitted { tier: TierId(0), key };
        taken.then(|| Reservation::new(entry.clone(), admitted, cost.clone()))
    }

    /// Holds what has been reserved for one of their requests.
    pub fn hold(&self, reservation: Reservation) {
        let (entry, cost, key) = reservation.leave();
        self.held().entry(entry.name.clone()).or_default().hold(&cost, key);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<SmolStr, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        for (name, Held { units, keys }) in std::mem::take(&mut *self.held()) {
            self.customers.end_inherited(&name, |account| {
                account.release(&Cost::new((0..).map(MeterId).zip(units)), None);
                for (key, requests) in keys {
                    (0..requests).for_each(|_| account.release(&Cost::default(), Some(key)));
                }
            });
        }
    }
}
