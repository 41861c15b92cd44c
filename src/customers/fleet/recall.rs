//! Another node is short of what this one may hold.

use std::sync::Arc;

use super::calls::Begun;
use crate::customers::Customers;
use crate::customers::entry::Entry;
use crate::domain::account::Purpose;
use crate::domain::usage::Now;
use crate::store::StoreError;

impl Customers {
    /// Gives back what is not in flight of one customer. Of one who is not in memory an earlier process of this node may
    /// have left a claim: what the store knows is all that it keeps of that.
    pub async fn recalled(&self, name: &str, now: Now) -> Result<(), StoreError> {
        let Some(leases) = &self.fleet else { return Ok(()) };
        let entry = match self.get(name) {
            Some(entry) => entry,
            None if self.store.find_customer(name.to_owned()).await?.is_none() => return Ok(()),
            None => self.load(name, None, now).await?,
        };
        if holds_nothing(&entry) {
            return Ok(());
        }
        if let Begun::Job(job) = leases.begin(&entry, Purpose::Return, now, None) {
            leases.enqueue(job);
        }
        Ok(())
    }
}

/// It has been called for, and given back since.
fn holds_nothing(entry: &Arc<Entry>) -> bool {
    let account = entry.account();
    account.notes().is_none_or(|notes| !notes.is_awake && notes.heard_at != Now::default())
}
