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
//! - Memory follows those who are active. An entry that could leave stays for ten minutes while there are at most
//!   [`ROOMY`], for less time the more there are, and not at all where a quarter more are there: whoever comes then
//!   makes others go. Beyond that there are only entries that cannot leave.
//! - Loading and refreshing one customer never overlap, so that no load brings back what a refresh replaced.

mod adjust;
mod anonymous;
mod book;
mod credits;
mod entry;
pub mod fleet;
mod keys;
mod load;
mod position;
mod reached;
mod reservation;
mod table;
mod view;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use tokio::sync::mpsc;

use crate::auth::keys::KeyTable;
use crate::domain::catalogue::Catalogue;
use crate::domain::idempotency::Limits;
use crate::domain::usage::Now;
use crate::metrics::METRICS;
use crate::store::Store;

pub use adjust::Erasure;
pub use credits::Taken;
pub use entry::{Denied, Entry};
pub use position::Position;
pub use reached::{Reached, ReachedLimit};
pub use reservation::{Reservation, Settled};
pub use view::{MemberUsage, MeterUsage, Snapshot};

use book::Book;
use fleet::Leases;
use table::Table;

/// Customers that share a lock while they are loaded or refreshed.
const STRIPES: usize = 64;
/// An entry that nobody asked for during this time may leave.
const IDLE_SECONDS: u32 = 600;
/// Up to so many entries there is room for those who rest: some 300 MB of them.
pub const ROOMY: usize = 1 << 20;

/// All customers in memory.
pub struct Customers {
    /// Written to by a reload alone, and read where somebody is loaded or shown.
    book: RwLock<Arc<Book>>,
    store: Arc<Store>,
    entries: Table,
    /// [`ROOMY`], but in tests.
    roomy: usize,
    /// Every record below this number is known to have been folded.
    folded_next_record: AtomicU64,
    stripes: [tokio::sync::Mutex<()>; STRIPES],
    /// Stripe customers of whom nothing is known yet: their subscriptions should be listed.
    unknown: mpsc::UnboundedSender<String>,
    /// Told of limits that are reached.
    reached: Option<mpsc::UnboundedSender<Reached>>,
    /// `None`: this node is the only one.
    fleet: Option<Arc<Leases>>,
    /// Which API keys are accepted; `None`: none is.
    keys: Option<Arc<KeyTable>>,
    /// [`anonymous::MOST`], but in tests.
    most_anonymous: usize,
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
            book: RwLock::new(Arc::new(Book::new(catalogue, meter_numbers, key_limits))),
            store,
            entries: Table::new(),
            roomy: ROOMY,
            folded_next_record: AtomicU64::new(0),
            stripes: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            unknown,
            reached: None,
            fleet: None,
            keys: None,
            most_anonymous: anonymous::MOST,
        }
    }

    /// The customer, if in memory.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.get(name)
    }

    /// Notes that every record below this number has been folded: those who have none beyond it may leave.
    pub fn folded(&self, next_record: u64) {
        self.folded_next_record.fetch_max(next_record, Ordering::Relaxed);
    }

    /// Lets entries go that have rested for long enough, and whose records are all folded.
    pub fn evict(&self, now: Now) {
        self.entries.sweep(&|entry| self.may_leave(entry, now));
        self.count();
    }

    /// Takes in a customer who is not there; where they are many, others leave for it. `read_by`: the book that the
    /// entry was made by.
    fn take_in(&self, entry: Arc<Entry>, read_by: &Arc<Book>, now: Now) {
        let book = self.held_book();
        if !Arc::ptr_eq(&book, read_by) {
            let mut account = entry.account();
            account.widen(book.meter_numbers.len());
            let terms = book.renewed(&entry.name, account.terms());
            account.entitle(terms, None, now);
        }
        let may_leave = |entry: &mut Entry| self.may_leave(entry, now);
        let crowded = self.entries.len() >= self.roomy;
        self.entries.insert(entry, crowded.then_some(&may_leave));
        self.count();
    }

    fn may_leave(&self, entry: &mut Entry, now: Now) -> bool {
        entry.can_leave(self.folded_next_record(), self.rest_seconds(), now)
    }

    fn folded_next_record(&self) -> u64 {
        self.folded_next_record.load(Ordering::Relaxed)
    }

    /// How long an entry may rest in memory where there are so many.
    fn rest_seconds(&self) -> u32 {
        let crowd = (self.roomy / 4).max(1);
        let room = (self.roomy + crowd).saturating_sub(self.entries.len()).min(crowd);
        u32::try_from(room * IDLE_SECONDS as usize / crowd).unwrap_or(IDLE_SECONDS)
    }

    fn count(&self) {
        METRICS.customers_loaded.set(i64::try_from(self.entries.len()).unwrap_or(i64::MAX));
    }

    fn stripe(&self, name: &str) -> &tokio::sync::Mutex<()> {
        let hash = usize::try_from(self.entries.hash(name) % STRIPES as u64).unwrap_or(0);
        &self.stripes[hash]
    }
}

#[cfg(test)]
mod book_tests;
#[cfg(test)]
mod credits_tests;
#[cfg(test)]
mod crowd_tests;
#[cfg(test)]
mod tests;
