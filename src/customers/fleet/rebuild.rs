//! What Redis has lost is put back: all that this node knows, and what it last saw of the others.
//!
//! Those in memory come first: they are the ones who are asked for. Then those whose use is in the store alone.

use std::sync::Arc;

use super::Leases;
use super::calls::Job;
use crate::customers::Customers;
use crate::customers::entry::Entry;
use crate::domain::account::Purpose;
use crate::domain::usage::Now;
use crate::fleet::Fleet;
use crate::store::StoreError;

/// Customers who are read from the store before they are told.
const PAGE: u32 = 500;

/// Why not all was put back.
#[derive(Debug, thiserror::Error)]
pub enum NotPutBack {
    #[error("Redis does not answer")]
    Away,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Customers {
    /// Puts back all that is known of the customers of some buckets.
    pub async fn put_back(&self, buckets: &[u8], now: Now) -> Result<(), NotPutBack> {
        let Some(leases) = &self.fleet else { return Ok(()) };
        let is_lost = |name: &str| buckets.contains(&Fleet::bucket(name));
        let known = self.entries.names();
        let mut in_memory: Vec<_> =
            known.iter().filter(|name| is_lost(name)).filter_map(|name| self.get(name)).collect();
        while !in_memory.is_empty() {
            in_memory = leases.put_back(in_memory, now).await?;
        }
        let mut after = 0;
        loop {
            let page = self.store.customers_with_use(after, PAGE, now.seconds()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            let mut jobs = Vec::new();
            for row in page.iter().filter(|row| is_lost(&row.name)) {
                jobs.extend(self.as_stored(&row.name, now).await?);
            }
            heard(leases.send_in_parts(jobs).await)?;
        }
    }

    /// What the store knows of somebody who is not in memory. Nobody loads them while it is read: whatever they say
    /// themselves comes later.
    async fn as_stored(&self, name: &str, now: Now) -> Result<Option<Job>, StoreError> {
        let _one_at_a_time = self.stripe(name).lock().await;
        if self.get(name).is_some() {
            return Ok(None);
        }
        let loaded = self.read(name, None, false, now).await?;
        Ok(Job::alone(&Arc::new(self.entry(loaded, now)), now))
    }
}

impl Leases {
    /// Answers those for whom a call was under way that Redis may have lost: it has ended by then.
    async fn put_back(
        self: &Arc<Self>,
        entries: Vec<Arc<Entry>>,
        now: Now,
    ) -> Result<Vec<Arc<Entry>>, NotPutBack> {
        // Who sleeps keeps what was used; who is awake goes on.
        let is_awake = |entry: &Entry| entry.account().notes().is_some_and(|notes| notes.is_awake);
        let purpose = |entry: &Entry| if is_awake(entry) { Purpose::Publish } else { Purpose::Return };
        let (all, busy) = self.call_for(entries, purpose, Job::with_others, now).await;
        heard(all).map(|()| busy)
    }
}

fn heard(all: bool) -> Result<(), NotPutBack> {
    if all { Ok(()) } else { Err(NotPutBack::Away) }
}
