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

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::account::{Account, InFlight, Window};
use crate::domain::usage::Now;
use crate::store::StoreError;

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

    /// Holds what another process has in flight. The store must have all that it has settled.
    pub async fn inherit(self: &Arc<Self>, estate: Estate, now: Now) -> Result<Guests, StoreError> {
        let book = self.book();
        let matched = Match::new(&estate.names, &book.catalogue);
        let mut guests = Guests::new(self.clone(), matched);
        for (name, in_flight) in estate.customers {
            let in_flight = guests.matched().in_flight(in_flight, book.catalogue.meters.by_number().len());
            let entry = self.load(&name, None, now).await?;
            guests.come(&entry, &in_flight);
            entry.account().take_over(in_flight);
        }
        Ok(guests)
    }
}

#[cfg(test)]
mod tests;
