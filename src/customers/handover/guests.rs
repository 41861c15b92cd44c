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
struct Held {
    entry: Arc<Entry>,
    /// By meter, without those of keys.
    units: Vec<u64>,
    /// So many requests of each key.
    keys: HashMap<Digest, u32>,
}

impl Held {
    fn of(entry: &Arc<Entry>) -> Self {
        Self { entry: entry.clone(), units: Vec::new(), keys: HashMap::new() }
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
    pub(super) fn come(&mut self, entry: &Arc<Entry>, in_flight: &InFlight) {
        let mut held = Held::of(entry);
        held.units = in_flight.reserved.to_vec();
        for flight in &in_flight.keys {
            held.keys.insert(flight.key, flight.requests);
            for (meter, units) in flight.held.iter().flat_map(Cost::iter) {
                *held.unit(meter) = held.unit(meter).saturating_sub(units);
            }
        }
        self.held().insert(entry.name.clone(), held);
    }

    /// A customer of theirs.
    pub async fn customer(&self, name: &str, now: Now) -> Result<Arc<Entry>, StoreError> {
        match self.customers.get(name) {
            Some(entry) => Ok(entry),
            None => self.customers.load(name, None, now).await,
        }
    }

    /// What is held for one of their requests, for us to settle or release. None: nothing is.
    pub fn take(&self, customer: &str, cost: &Cost, key: Option<Digest>) -> Option<Reservation> {
        let mut all = self.held();
        let held = all.get_mut(customer)?;
        let admitted = Admitted { tier: TierId(0), key };
        held.take(cost, key).then(|| Reservation::new(held.entry.clone(), admitted, cost.clone()))
    }

    /// Holds what has been reserved for one of their requests.
    pub fn hold(&self, reservation: Reservation) {
        let (entry, cost, key) = reservation.leave();
        let mut all = self.held();
        all.entry(entry.name.clone()).or_insert_with(|| Held::of(&entry)).hold(&cost, key);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<SmolStr, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        for held in std::mem::take(&mut *self.held()).into_values() {
            let units = Cost::new((0..).map(MeterId).zip(held.units));
            let mut account = held.entry.account();
            account.release(&units, None);
            for (key, requests) in held.keys {
                (0..requests).for_each(|_| account.release(&Cost::default(), Some(key)));
            }
        }
    }
}
