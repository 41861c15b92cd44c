//! One customer in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::account::Account;
use crate::domain::idempotency::Digest;
use crate::domain::refusal::Refusal;
use crate::domain::route::Route;
use crate::domain::subscription::Subscription;
use crate::domain::usage::Now;

use super::reservation::Reservation;

/// A customer: number and name never change, the rest is under the lock.
pub struct Entry {
    pub name: Arc<str>,
    /// The store's number; what records carry.
    pub number: u32,
    hot: Mutex<Hot>,
    /// Behind the last record of this customer; it must be folded before the entry leaves.
    next_record: AtomicU64,
}

pub(super) struct Hot {
    pub account: Account,
    pub stripe_customer: Option<Arc<str>>,
    /// The best of the customer's subscriptions.
    pub subscription: Option<Subscription>,
    last_seen: Now,
}

/// Why an entry does not admit a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Refused(Refusal),
    /// The token claims another Stripe customer than the entry knows. Load it.
    Stale,
}

impl Entry {
    pub(super) fn new(
        name: Arc<str>,
        number: u32,
        account: Account,
        stripe_customer: Option<Arc<str>>,
        subscription: Option<Subscription>,
        now: Now,
    ) -> Self {
        let hot = Hot { account, stripe_customer, subscription, last_seen: now };
        Self { name, number, hot: Mutex::new(hot), next_record: AtomicU64::new(0) }
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
        hot.last_seen = now;
        let admitted = hot.account.admit(route, key, now).map_err(Denied::Refused)?;
        drop(hot);
        Ok(Reservation::new(self.clone(), admitted, route.cost.clone()))
    }

    /// Notes that a record of this customer has been appended.
    pub fn recorded(&self, number: u64) {
        self.next_record.fetch_max(number + 1, Ordering::Relaxed);
    }

    /// Whether it can leave memory: nobody has asked for a while, and the store knows all of it.
    pub(super) fn can_leave(&self, folded_next_record: u64, idle_since: Now, now: Now) -> bool {
        let hot = self.hot();
        hot.last_seen < idle_since
            && hot.account.is_at_rest(now)
            && self.next_record.load(Ordering::Relaxed) <= folded_next_record
    }

    /// Every change under the lock is complete when a panic elsewhere could poison it.
    pub(super) fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hot {
    /// A token without the claim goes with any link.
    pub fn is_linked_as(&self, claimed: Option<&str>) -> bool {
        claimed.is_none() || self.stripe_customer.as_deref() == claimed
    }
}
