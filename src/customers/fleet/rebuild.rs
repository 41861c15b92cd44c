//! What Redis has lost is put back: all that this node knows, and what it last saw of the others.
//!
//! Those in memory come first: they are the ones who are asked for. Then those whose use is in the store alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::calls::{Job, Unheard};
use super::{Leases, later};
use crate::customers::Customers;
use crate::customers::entry::Entry;
use crate::domain::account::Purpose;
use crate::domain::usage::Now;
use crate::fleet::Fleet;
use crate::store::StoreError;

/// Customers who are read from the store before they are told.
const PAGE: u32 = 500;

impl Customers {
    /// Puts back all that is known of the customers of some buckets. Answers of which of these not all was heard.
    pub async fn put_back(&self, buckets: &BTreeSet<u8>, now: Now) -> Result<BTreeSet<u8>, StoreError> {
        let mut unheard = Unheard::new();
        let Some(leases) = &self.fleet else { return Ok(unheard) };
        let begun = Instant::now();
        let is_due = |name: &str, unheard: &Unheard| {
            let bucket = Fleet::bucket(name);
            buckets.contains(&bucket) && !unheard.contains(&bucket)
        };
        let mut in_memory = self.entries.names();
        in_memory.retain(|name| is_due(name, &unheard));
        let mut in_memory: Vec<_> = in_memory.iter().filter_map(|name| self.get(name)).collect();
        while !in_memory.is_empty() {
            let mut more;
            (more, in_memory) = leases.put_back(in_memory, later(now, begun.elapsed())).await;
            unheard.append(&mut more);
            in_memory.retain(|entry| is_due(&entry.name, &unheard));
        }
        let mut after = 0;
        while unheard.len() < buckets.len() {
            let at = later(now, begun.elapsed());
            let page = self.store.customers_with_use(after, PAGE, at.seconds()).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            let mut jobs = Vec::new();
            for row in page.iter().filter(|row| is_due(&row.name, &unheard)) {
                jobs.extend(self.as_stored(&row.name, at).await?);
            }
            unheard.append(&mut leases.send(jobs).await);
        }
        Ok(unheard)
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
    /// Answers what was not heard, and those for whom a call was under way that Redis may have lost: it has ended by then.
    async fn put_back(self: &Arc<Self>, entries: Vec<Arc<Entry>>, now: Now) -> (Unheard, Vec<Arc<Entry>>) {
        // Who sleeps keeps what was used; who is awake goes on.
        let is_awake = |entry: &Entry| entry.account().notes().is_some_and(|notes| notes.is_awake);
        let purpose = |entry: &Entry| if is_awake(entry) { Purpose::Publish } else { Purpose::Return };
        self.call_for(entries, purpose, Job::with_others, now).await
    }
}
