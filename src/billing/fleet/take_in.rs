//! Taking in what others have put: heard, read, or brought by a call for limits.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smol_str::SmolStr;

use super::send::NotPut;
use super::{Facts, RETRY, holder, key};
use crate::billing::apply::as_read;
use crate::billing::transitions;
use crate::clock;
use crate::customers::Erasure;
use crate::customers::fleet::Learner;
use crate::domain::facts::{Entries, Holder};
use crate::fleet::{FactsKey, Version};
use crate::store::{Erased, Merged, StoreError};

/// News are read this often.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Hints that are followed together.
const TOGETHER: usize = 64;
const PAGE: u32 = 500;
/// The mark of how far news have been read.
const NEWS: &str = "facts_news";

impl Facts {
    /// Merges what Redis has of a holder, and puts it into force.
    pub(super) async fn take_in(
        &self,
        holder: Holder,
        version: Version,
        told: Box<[u8]>,
    ) -> Result<(), StoreError> {
        if let (Holder::Customer(name), Some(entries)) = (&holder, Entries::read(&told)) {
            self.take_erasure(name, &entries).await?;
        }
        let Some(merged) = self.merge(holder.clone(), version, told).await? else {
            tracing::error!(?holder, "a later version of the program has written facts: update this node");
            return self.refresh(&holder).await;
        };
        self.version.fetch_max(merged.latest, Ordering::Relaxed);
        self.refresh(&holder).await?;
        if !merged.changed {
            return Ok(());
        }
        self.has_changed.store(true, Ordering::Relaxed);
        self.note_states(&holder).await
    }

    async fn merge(
        &self,
        holder: Holder,
        version: Version,
        told: Box<[u8]>,
    ) -> Result<Option<Merged>, StoreError> {
        let (catalogue, now) = (self.catalogue.now(), clock::now());
        let understand = move |facts, version| as_read(facts, version, &catalogue, now.seconds());
        self.store.merge_facts(holder, version.0, told, now.seconds(), understand).await
    }

    /// Somebody new may have the name since: they are not erased, and what is told of them comes behind it.
    async fn take_erasure(&self, name: &str, told: &Entries) -> Result<(), StoreError> {
        let Some(erasure) = told.erasure() else { return Ok(()) };
        let holder = Holder::Customer(name.to_owned());
        let known = self.store.facts_of(holder.clone()).await?;
        if known.and_then(|known| known.entries.erased_at()) >= told.erased_at() {
            return Ok(());
        }
        self.merge(holder.clone(), Version::NONE, erasure.write().into()).await?;
        let merged = self.store.facts_of(holder).await?;
        if merged.is_some_and(|merged| merged.entries.is_erased()) { self.erase(name).await } else { Ok(()) }
    }

    /// What has become of those whom it is about, for lists here. Whoever changed it has told others.
    async fn note_states(&self, holder: &Holder) -> Result<(), StoreError> {
        let rows = match holder {
            Holder::Customer(name) => self.store.find_customer(name.clone()).await?.into_iter().collect(),
            Holder::Stripe(id) => self.store.customers_of(id.clone()).await?,
        };
        for row in rows {
            transitions::note_state(&self.store, &self.customers, row, true).await?;
        }
        Ok(())
    }

    /// Another node has erased a customer.
    async fn erase(&self, name: &str) -> Result<(), StoreError> {
        match self.customers.erase(name, clock::now()).await? {
            Erasure::Asked(Erased::As(_) | Erased::Unknown) => {}
            Erasure::Asked(Erased::Refused(needed)) => {
                tracing::warn!(%needed, "a customer whom another node has erased is still needed here");
            }
            Erasure::Busy => {
                tracing::warn!(
                    "a customer whom another node has erased is busy here: erase them here as well"
                );
            }
        }
        Ok(())
    }

    pub(super) async fn hear(&self) {
        loop {
            let mut heard = vec![self.meeting.next_hint().await];
            while heard.len() < TOGETHER
                && let Some(more) = self.meeting.next_hint().now_or_never()
            {
                heard.push(more);
            }
            if let Err(NotPut::Store(error)) = self.fetch(heard).await {
                tracing::error!(%error, "what another node has told could not be stored");
            }
        }
    }

    pub(super) async fn keep_reading(&self) {
        let mut states = self.meeting.states();
        // What was not heard of meanwhile is in the news; what Redis has forgotten is not.
        let mut may_have_forgotten = true;
        loop {
            may_have_forgotten |= states.has_changed().unwrap_or(false);
            states.mark_unchanged();
            match self.catch_up(may_have_forgotten).await {
                Ok(()) => {
                    may_have_forgotten = false;
                    tokio::time::sleep(READ_EVERY).await;
                }
                Err(error) => {
                    if let NotPut::Store(error) = error {
                        tracing::error!(%error, "what other nodes have told could not be stored; it is tried again");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn catch_up(&self, may_have_forgotten: bool) -> Result<(), NotPut> {
        self.read_news().await?;
        if may_have_forgotten { self.compare_all().await } else { Ok(()) }
    }

    /// All news since the last time. Where some are not there any more, everything is compared.
    pub(super) async fn read_news(&self) -> Result<(), NotPut> {
        let mut position: String = self.store.mark(NEWS).await?.unwrap_or_default();
        loop {
            let news = self.meeting.news_since(&position).await?;
            if news.has_gap {
                self.compare_all().await?;
            }
            let is_last = news.changed.is_empty();
            self.fetch(news.changed).await?;
            if news.position != position {
                position = news.position;
                self.store.set_mark(NEWS, Some(&position)).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Reads those of which this node knows less. Of a late message it may know more.
    pub(super) async fn fetch(&self, changed: Vec<(FactsKey, Version)>) -> Result<(), NotPut> {
        let known = changed.iter().map(|(key, version)| (holder(key), version.0)).collect();
        let (older, _) = self.store.compare_facts(known).await?;
        self.read_all(older).await
    }

    async fn read_all(&self, mut holders: Vec<Holder>) -> Result<(), NotPut> {
        holders.sort_unstable();
        holders.dedup();
        let keys: Vec<FactsKey> = holders.iter().map(key).collect();
        for (holder, told) in holders.into_iter().zip(self.meeting.read(&keys).await?) {
            if let Some((version, told)) = told {
                self.take_in(holder, version, told).await?;
            }
        }
        Ok(())
    }

    /// Compares all that Redis has with all that is known here: what is missing on either side is made up for.
    pub(super) async fn compare_all(&self) -> Result<(), NotPut> {
        let (mut cursor, mut there) = (String::new(), HashSet::new());
        loop {
            let (found, next) = self.meeting.all(&cursor).await?;
            let known: Vec<_> = found.iter().map(|(key, version)| (holder(key), version.0)).collect();
            there.extend(known.iter().map(|(holder, _)| hash(holder)));
            let (older, newer) = self.store.compare_facts(known).await?;
            self.read_all(older).await?;
            self.put_again(newer).await?;
            cursor = next;
            if cursor.is_empty() {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = self.store.facts_holders(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let missing = page.into_iter().filter(|holder| !there.contains(&hash(holder))).collect();
            self.put_again(missing).await?;
        }
    }

    async fn put_again(&self, holders: Vec<Holder>) -> Result<(), StoreError> {
        if holders.is_empty() { Ok(()) } else { self.store.put_facts_again(holders).await }
    }
}

impl Learner for Facts {
    fn take_in(&self, customer: SmolStr, version: Version, told: Box<[u8]>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let taken = Self::take_in(self, Holder::Customer(customer.into()), version, told).await;
            if let Err(error) = taken {
                tracing::error!(%error, "what another node has told could not be stored");
            }
        })
    }

    fn put(&self, customer: SmolStr) {
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.put_facts_again(vec![Holder::Customer(customer.into())]).await {
                tracing::error!(%error, "what Redis has lost could not be marked");
            }
        });
    }
}

/// There may be millions: their names would fill the memory.
fn hash(holder: &Holder) -> u64 {
    let mut hasher = DefaultHasher::new();
    holder.hash(&mut hasher);
    hasher.finish()
}
