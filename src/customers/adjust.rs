//! What operators change: in force when it has been answered.

use std::sync::Arc;

use crate::domain::tier::Tier;
use crate::domain::usage::Now;
use crate::store::{Erased, StoreError};

use super::Customers;
use super::entry::Entry;

/// What became of the wish to erase a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// By the store.
    Asked(Erased),
    /// Requests are under way, or what they cost is not in the store yet.
    Busy,
}

impl Customers {
    /// Puts into force what the store now knows of one customer, if they are in memory, and of their keys. The store
    /// must know them.
    pub async fn refresh_customer(&self, name: &str, now: Now) -> Result<(), StoreError> {
        let _one_at_a_time = self.stripe(name).lock().await;
        self.set_keys(name, now).await?;
        self.refresh_in_memory(name, now).await
    }

    /// The stripe is held.
    async fn refresh_in_memory(&self, name: &str, now: Now) -> Result<(), StoreError> {
        let Some(entry) = self.get(name) else { return Ok(()) };
        let loaded = self.read(name, None, false, now).await?;
        self.renew(&entry, loaded, now);
        Ok(())
    }

    /// The tier that a customer's subscription gives, and that Stripe bills; not what an override makes of it.
    pub fn billed_tier(&self, entry: &Entry) -> Option<Arc<Tier>> {
        entry.account().terms().entitlement.tier.clone()
    }

    /// Lets one customer's entry go, so that the next request loads it; one that has to stay is read anew.
    pub async fn clear(&self, name: &str, now: Now) -> Result<(), StoreError> {
        let _one_at_a_time = self.stripe(name).lock().await;
        self.let_go(name, now);
        self.refresh_in_memory(name, now).await
    }

    /// The same for all. Answers how many had to stay.
    pub async fn clear_all(&self, now: Now) -> Result<usize, StoreError> {
        let folded = self.folded_next_record();
        self.entries.sweep(&|entry| entry.can_leave(folded, 0, now));
        self.count();
        let stay = self.entries.names();
        for name in &stay {
            self.refresh_customer(name, now).await?;
        }
        Ok(stay.len())
    }

    /// Erases a customer; nobody loads them meanwhile. A later token of that name stands for somebody new.
    pub async fn erase(&self, name: &str, now: Now) -> Result<Erasure, StoreError> {
        // Others who share the lock do not wait for it.
        let events = self.store.events_of_customer(name.to_owned(), now.seconds()).await?;
        let _one_at_a_time = self.stripe(name).lock().await;
        if !self.let_go(name, now) {
            return Ok(Erasure::Busy);
        }
        let erased = self.store.erase_customer(name.to_owned(), events, now.seconds()).await?;
        self.set_keys(name, now).await?;
        Ok(Erasure::Asked(erased))
    }

    /// Answers whether the entry is not in memory any more.
    fn let_go(&self, name: &str, now: Now) -> bool {
        let folded = self.folded_next_record();
        let gone = self.gives_up(name) && self.entries.remove(name, |entry| entry.can_leave(folded, 0, now));
        self.count();
        gone
    }
}
