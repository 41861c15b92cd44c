//! One customer in memory.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::account::Account;
use crate::domain::idempotency::Digest;
use crate::domain::refusal::Refusal;
use crate::domain::route::Route;
use crate::domain::subscription::Subscription;
use crate::domain::usage::Now;

use super::reservation::Reservation;

/// A customer: number and name never change, what is decided with is under the lock. There may be millions.
pub struct Entry {
    pub name: Box<str>,
    /// The store's number; what records carry.
    pub number: u32,
    /// In seconds since the epoch, until 2106.
    last_seen: AtomicU32,
    /// Behind the last record of this customer; it must be folded before the entry leaves.
    next_record: AtomicU64,
    hot: Mutex<Hot>,
}

/// With the counts of an [`Arc`], so that the allocator's next larger size is not needed.
const _: () = assert!(size_of::<Entry>() + 16 <= 160, "a customer has grown");

pub(super) struct Hot {
    pub account: Account,
    pub stripe_customer: Option<Box<str>>,
    /// The best of the customer's subscriptions.
    pub subscription: Option<Box<Subscription>>,
}

/// Why an entry does not admit a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Refused(Refusal),
    /// The token claims another Stripe customer than the entry knows. Load it.
    Stale,
}

impl Entry {
    pub(super) fn new(name: Box<str>, number: u32, hot: Hot, now: Now) -> Self {
        Self {
            name,
            number,
            last_seen: AtomicU32::new(whole_seconds(now)),
            next_record: AtomicU64::new(0),
            hot: Mutex::new(hot),
        }
    }

    /// Reserves the cost of one request, or says why not and spends nothing. `key` is its idempotency key.
    pub fn admit(
        self: &Arc<Self>,
        claimed: Option<&str>,
        route: &Route,
        key: Option<Digest>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let mut hot = self.hot();
        if !hot.is_linked_as(claimed) {
            return Err(Denied::Stale);
        }
        self.last_seen.store(whole_seconds(now), Ordering::Relaxed);
        let admitted = hot.account.admit(route, key, now).map_err(Denied::Refused)?;
        drop(hot);
        Ok(Reservation::new(self.clone(), admitted, route.cost.clone()))
    }

    /// Notes that a record of this customer has been appended.
    pub fn recorded(&self, number: u64) {
        self.next_record.fetch_max(number + 1, Ordering::Relaxed);
    }

    /// Whether it can leave memory: nobody has asked for so many seconds, and the store knows all of it.
    pub(super) fn can_leave(&mut self, folded_next_record: u64, idle_seconds: u32, now: Now) -> bool {
        let hot = self.hot.get_mut().unwrap_or_else(PoisonError::into_inner);
        *self.last_seen.get_mut() <= whole_seconds(now).saturating_sub(idle_seconds)
            && *self.next_record.get_mut() <= folded_next_record
            && hot.account.is_at_rest(now)
    }

    /// Every change under the lock is complete when a panic elsewhere could poison it.
    pub(super) fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole_seconds(now: Now) -> u32 {
    u32::try_from(now.seconds()).unwrap_or(u32::MAX)
}

impl Hot {
    /// A token without the claim goes with any link.
    pub fn is_linked_as(&self, claimed: Option<&str>) -> bool {
        claimed.is_none() || self.stripe_customer.as_deref() == claimed
    }
}
