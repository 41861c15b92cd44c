//! From one process to the next: what this one has in flight, and what the other one then settles or releases for it.
//!
//! # What it promises
//!
//! - What an account is held against is the same before and after: what the store does not know of it goes over.
//! - The heir keeps account of what it holds for requests of the other process. When that has ended, however it ended,
//!   what nobody settled is released.
//! - Configurations may differ between the two, so meters, routes and tiers go by name ([`Match`]).

mod guests;
mod matching;

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::account::{Account, InFlight, MemberUnits, Window};
use crate::domain::usage::Now;

use super::{Customers, Entry};

pub use guests::Guests;
pub use matching::{Match, Names};

/// What no store knows of all customers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Estate {
    names: Names,
    customers: Vec<(SmolStr, InFlight)>,
}

impl Estate {
    pub fn customers(&self) -> usize {
        self.customers.len()
    }
}

impl Customers {
    /// Somebody whom another process decides over: known here by name and number alone.
    pub fn stand_in(&self, name: &str, number: u32, now: Now) -> Arc<Entry> {
        if let Some(entry) = self.get(name) {
            return entry;
        }
        let book = self.book();
        let terms = book.fallback.clone();
        let window = Window {
            period: terms.entitlement.windows.at(now.seconds()),
            used: smallvec::smallvec![0; book.catalogue.meters.by_number().len()],
            unbilled: smallvec::SmallVec::new(),
            members: MemberUnits::new(),
        };
        Arc::new(Entry::new(SmolStr::new(name), number, Account::new(terms, window), now))
    }

    /// All that is in flight here.
    pub fn estate(&self, now: Now) -> Estate {
        let held = |name: SmolStr| {
            let entry = self.get(&name)?;
            let in_flight = entry.account().in_flight(now)?;
            Some((name, in_flight))
        };
        let names = Names::of(&self.book().catalogue);
        Estate { names, customers: self.entries.names().into_iter().filter_map(held).collect() }
    }

    /// Holds what another process has in flight. The store must have all that it has settled. Nobody is loaded for it:
    /// what is held of a customer is there when they are.
    pub fn inherit(self: &Arc<Self>, estate: Estate) -> Guests {
        let book = self.book();
        let guests = Guests::new(self.clone(), Match::new(&estate.names, &book.catalogue));
        let mut inherited = self.inherited();
        for (name, in_flight) in estate.customers {
            let in_flight = guests.matched().in_flight(in_flight, book.catalogue.meters.by_number().len());
            guests.come(&name, &in_flight);
            inherited.insert(name, in_flight);
        }
        drop(inherited);
        guests
    }

    /// Puts a customer in memory with what was inherited of them.
    pub(super) fn put_in(&self, entry: Arc<Entry>, put: impl FnOnce(Arc<Entry>)) {
        let mut inherited = self.inherited();
        if let Some(in_flight) = inherited.remove(&entry.name) {
            entry.account().take_over(in_flight);
        }
        put(entry);
    }

    /// What was inherited in flight of a customer has ended.
    fn end_inherited(&self, name: &SmolStr, release: impl FnOnce(&mut Account)) {
        let mut inherited = self.inherited();
        if let Some(in_flight) = inherited.get_mut(name) {
            in_flight.end();
        } else if let Some(entry) = self.get(name) {
            release(&mut entry.account());
        }
    }

    /// Forgets what was inherited of a customer, unless some of it is in flight: answers whether nothing is.
    pub(super) fn gives_up(&self, name: &str) -> bool {
        let mut inherited = self.inherited();
        let is_over = inherited.get(name).is_none_or(InFlight::is_over);
        if is_over {
            inherited.remove(name);
        }
        is_over
    }

    /// Forgets what was inherited of customers of whom nothing is in flight, and whose rates are earned back.
    pub(super) fn forget_inherited(&self, now: Now) {
        self.inherited().retain(|_, in_flight| !in_flight.is_at_rest(now));
    }

    fn inherited(&self) -> MutexGuard<'_, HashMap<SmolStr, InFlight>> {
        self.inherited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
