//! What is held for requests of the process before.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;

use crate::domain::account::{Account, Admitted, By, ByMember, InFlight};
use crate::domain::idempotency::Digest;
use crate::domain::tier::TierId;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{MemberId, Now};
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
    /// By the member who holds them, if one does, and by meter; without those of keys.
    units: BTreeMap<Option<MemberId>, Vec<u64>>,
    /// So many requests of each key.
    keys: HashMap<Digest, u32>,
}

impl Held {
    fn of(in_flight: &InFlight) -> Self {
        let mut held = Self::default();
        held.units.insert(None, in_flight.reserved.to_vec());
        let holders: HashMap<Digest, MemberId> = in_flight.member_keys.iter().copied().collect();
        for member in &in_flight.members {
            // Those who have no counts of their own hold what is of nobody here.
            let Some(id) = member.id else { continue };
            held.units.insert(Some(id), member.reserved.to_vec());
            held.move_out(None, (0..).map(MeterId).zip(member.reserved.iter().copied()));
        }
        for flight in &in_flight.keys {
            held.keys.insert(flight.key, flight.requests);
            let holder = holders.get(&flight.key).copied();
            held.move_out(holder, flight.held.iter().flat_map(Cost::iter));
        }
        held
    }

    fn move_out(&mut self, of: Option<MemberId>, units: impl Iterator<Item = (MeterId, u64)>) {
        for (meter, units) in units {
            let held = self.unit(of, meter);
            *held = held.saturating_sub(units);
        }
    }

    fn unit(&mut self, of: Option<MemberId>, meter: MeterId) -> &mut u64 {
        let units = self.units.entry(of).or_default();
        if units.len() <= meter.index() {
            units.resize(meter.index() + 1, 0);
        }
        &mut units[meter.index()]
    }

    fn take(&mut self, cost: &Cost, by: By) -> bool {
        if let Some(key) = by.key {
            let requests = self.keys.get_mut(&key).filter(|requests| **requests > 0);
            return requests.map(|requests| *requests -= 1).is_some();
        }
        let holders = [by.member.and_then(ByMember::holder), None];
        let mut able = holders
            .into_iter()
            .filter(|holder| cost.iter().all(|(meter, units)| self.units_of(*holder, meter) >= units));
        let Some(holder) = able.next() else { return false };
        self.move_out(holder, cost.iter());
        true
    }

    fn units_of(&self, holder: Option<MemberId>, meter: MeterId) -> u64 {
        let units = self.units.get(&holder).and_then(|units| units.get(meter.index()));
        units.copied().unwrap_or_default()
    }

    fn hold(&mut self, cost: &Cost, by: By) {
        if let Some(key) = by.key {
            *self.keys.entry(key).or_default() += 1;
            return;
        }
        let holder = by.member.and_then(ByMember::holder);
        cost.iter().for_each(|(meter, units)| *self.unit(holder, meter) += units);
    }

    /// Gives back all of it.
    fn release(self, account: &mut Account) {
        for (holder, units) in self.units {
            let by = By { member: holder.map(ByMember::holding), ..By::default() };
            account.release(&Cost::new((0..).map(MeterId).zip(units)), by);
        }
        for (key, requests) in self.keys {
            (0..requests).for_each(|_| account.release(&Cost::default(), Some(key)));
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
    pub fn take(&self, entry: &Arc<Entry>, cost: &Cost, by: By) -> Option<Reservation> {
        let taken = by.in_shadow || self.held().get_mut(&entry.name)?.take(cost, by);
        let By { key, member, in_shadow } = by;
        let admitted = Admitted { tier: TierId(0), key, member, in_shadow };
        taken.then(|| Reservation::new(entry.clone(), admitted, cost.clone()))
    }

    /// Holds what has been reserved for one of their requests.
    pub fn hold(&self, reservation: Reservation) {
        if reservation.is_in_shadow() {
            return;
        }
        let (entry, cost, by) = reservation.leave();
        self.held().entry(entry.name.clone()).or_default().hold(&cost, by);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<SmolStr, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        for (name, held) in std::mem::take(&mut *self.held()) {
            self.customers.end_inherited(&name, |account| held.release(account));
        }
    }
}
