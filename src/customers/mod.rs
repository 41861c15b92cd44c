//! Customers: the hot state of each, and the one place where units are reserved, settled and released.
//!
//! # What it promises
//!
//! - A customer is one entry, under one small lock whose critical sections are arithmetic only. Units admitted never
//!   pass a hard limit, under any concurrency.
//! - A [`Reservation`] settles or is released exactly once; one that is dropped is released.
//! - An entry is loaded from the store on first use. It leaves memory only when nobody holds it, nothing of it is in
//!   flight, its rates are earned back, and the fold has passed its last record: what is loaded next is what was there,
//!   idempotency keys included.
//! - Loading and refreshing one customer never overlap, so that no load brings back what a refresh replaced.

mod entry;
mod load;
mod reservation;
mod view;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::mpsc;

use crate::domain::catalogue::Catalogue;
use crate::domain::idempotency::Limits;
use crate::domain::usage::Now;
use crate::metrics::METRICS;
use crate::store::Store;

pub use entry::{Denied, Entry};
pub use reservation::{Reservation, Settled};
pub use view::{MeterUsage, Snapshot};

/// Customers that share a lock while they are loaded or refreshed.
const STRIPES: usize = 64;
/// An entry that nobody asked for during this time may leave.
const IDLE_NANOS: u64 = 600 * 1_000_000_000;

/// All customers in memory.
pub struct Customers {
    catalogue: Arc<Catalogue>,
    store: Arc<Store>,
    /// The store's number of each meter.
    meter_numbers: Vec<u32>,
    key_limits: Limits,
    entries: DashMap<Arc<str>, Arc<Entry>>,
    stripes: [tokio::sync::Mutex<()>; STRIPES],
    hasher: RandomState,
    /// Stripe customers of whom nothing is known yet: their subscriptions should be listed.
    unknown: mpsc::UnboundedSender<String>,
}

impl Customers {
    pub fn new(
        catalogue: Arc<Catalogue>,
        store: Arc<Store>,
        meter_numbers: Vec<u32>,
        key_limits: Limits,
        unknown: mpsc::UnboundedSender<String>,
    ) -> Self {
        Self {
            catalogue,
            store,
            meter_numbers,
            key_limits,
            entries: DashMap::new(),
            stripes: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            hasher: RandomState::new(),
            unknown,
        }
    }

    /// The customer, if in memory.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.get(name).map(|entry| entry.value().clone())
    }

    /// Lets entries go that rest and whose records before `folded` are all theirs.
    pub fn evict(&self, folded_next_record: u64, now: Now) {
        let idle_since = Now(now.nanos().saturating_sub(IDLE_NANOS));
        // The map's lock is held: an entry that nobody else holds cannot be taken meanwhile.
        let is_free = |entry: &Arc<Entry>| Arc::strong_count(entry) == 1;
        self.entries
            .retain(|_, entry| !(is_free(entry) && entry.can_leave(folded_next_record, idle_since, now)));
        METRICS.customers_loaded.set(i64::try_from(self.entries.len()).unwrap_or(i64::MAX));
    }

    fn stripe(&self, name: &str) -> &tokio::sync::Mutex<()> {
        let hash = usize::try_from(self.hasher.hash_one(name) % STRIPES as u64).unwrap_or(0);
        &self.stripes[hash]
    }
}

#[cfg(test)]
mod tests;
