//! One customer in memory. What is decided with lies together, in as few cache lines as it fits.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;

use crate::domain::account::{Account, By, ByMember};
use crate::domain::idempotency::Digest;
use crate::domain::refusal::Refusal;
use crate::domain::route::Route;
use crate::domain::subscription::Outline;
use crate::domain::tier::TierId;
use crate::domain::units::Cost;
use crate::domain::usage::{MemberId, Now};

use super::anonymous;
use super::reservation::Reservation;

/// A customer: number and name never change, what is decided with is under the lock. There may be millions.
pub struct Entry {
    /// In place up to 23 bytes.
    pub name: SmolStr,
    /// The store's number; what records carry.
    pub number: u32,
    /// In seconds since the epoch, until 2106.
    last_seen: AtomicU32,
    /// Behind the last record of this customer; it must be folded before the entry leaves.
    next_record: AtomicU64,
    account: Mutex<Account>,
}

/// With the counts of an [`Arc`]: two cache lines, and a size that the allocator has.
const _: () = assert!(size_of::<Entry>() + 16 <= 128, "a customer has grown");

/// Why an entry does not admit a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Refused(Refusal),
    /// The token claims another Stripe customer than the entry knows. Load it.
    Stale,
    /// One of several nodes holds less than this needs, or does not know: ask the fleet.
    Refill,
}

impl Entry {
    pub(super) fn new(name: SmolStr, number: u32, account: Account, now: Now) -> Self {
        anonymous::came(&name);
        Self {
            name,
            number,
            last_seen: AtomicU32::new(whole_seconds(now)),
            next_record: AtomicU64::new(0),
            account: Mutex::new(account),
        }
    }

    /// Reserves the cost of one request, or says why not and spends nothing.
    pub fn admit(
        self: &Arc<Self>,
        claimed: Option<&str>,
        route: &Route,
        by: impl Into<By>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let by = by.into();
        let mut account = self.account();
        if !account.terms().are_linked_as(claimed) {
            return Err(Denied::Stale);
        }
        self.last_seen.store(whole_seconds(now), Ordering::Relaxed);
        if let Some(is_awake) = account.notes().map(|notes| notes.is_awake)
            && (!is_awake || account.lacks(route, by, now))
        {
            return Err(Denied::Refill);
        }
        let admitted = account.admit(route, by, now).map_err(Denied::Refused)?;
        drop(account);
        Ok(Reservation::new(self.clone(), admitted, route.cost.clone()))
    }

    /// What was refused, or could not be asked, is served all the same: a permission that holds nothing. None: it is
    /// not in shadow.
    pub fn pass_in_shadow(
        self: &Arc<Self>,
        route: &Route,
        member: Option<MemberId>,
        now: Now,
    ) -> Option<Reservation> {
        let admitted = self.account().pass_in_shadow(route.mode(), member, now)?;
        Some(Reservation::new(self.clone(), admitted, route.cost.clone()))
    }

    /// Reserves more for an exchange that is open, or says why not.
    pub fn extend(
        self: &Arc<Self>,
        cost: &Cost,
        member: Option<ByMember>,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let mut account = self.account();
        if let Some(is_awake) = account.notes().map(|notes| notes.is_awake)
            && (!is_awake || account.lacks_more(cost, member, now))
        {
            return Err(Denied::Refill);
        }
        let admitted = account.extend(cost, member, now).map_err(Denied::Refused)?;
        drop(account);
        self.last_seen.store(whole_seconds(now), Ordering::Relaxed);
        Ok(Reservation::new(self.clone(), admitted, cost.clone()))
    }

    /// Who stands for the customer at Stripe.
    pub fn stripe_customer(&self) -> Option<SmolStr> {
        self.account().terms().stripe_customer.clone()
    }

    /// The best of the customer's subscriptions.
    pub fn outline(&self) -> Option<Outline> {
        self.account().terms().subscription
    }

    /// The tier that the customer's subscription gives, whatever an operator has set.
    pub fn own_tier(&self) -> Option<TierId> {
        self.account().terms().entitlement.tier.as_ref().map(|tier| tier.id)
    }

    /// By an operator.
    pub fn is_blocked(&self) -> bool {
        self.account().is_blocked()
    }

    /// Whether a request with this key that comes now is the first of them on this node.
    pub fn is_first(&self, key: Digest, now: Now) -> bool {
        self.account().is_first(key, now)
    }

    /// Another node has charged the key at that instant.
    pub fn note_charged(&self, key: Digest, at: Now) {
        self.account().note_charged(key, at);
    }

    /// Notes that a record of this customer has been appended.
    pub fn recorded(&self, number: u64) {
        self.next_record.fetch_max(number + 1, Ordering::Relaxed);
    }

    /// Nobody has asked for so long.
    pub(super) fn is_quiet(&self, seconds: i64, now: Now) -> bool {
        i64::from(self.last_seen.load(Ordering::Relaxed)) + seconds <= now.seconds()
    }

    /// Whether it can leave memory: nobody has asked for so many seconds, and the store knows all of it.
    pub(super) fn can_leave(&mut self, folded_next_record: u64, idle_seconds: u32, now: Now) -> bool {
        let account = self.account.get_mut().unwrap_or_else(PoisonError::into_inner);
        *self.last_seen.get_mut() <= whole_seconds(now).saturating_sub(idle_seconds)
            && *self.next_record.get_mut() <= folded_next_record
            && account.is_at_rest(now)
    }

    /// Every change under the lock is complete when a panic elsewhere could poison it.
    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        anonymous::left(&self.name);
    }
}

fn whole_seconds(now: Now) -> u32 {
    u32::try_from(now.seconds()).unwrap_or(u32::MAX)
}
