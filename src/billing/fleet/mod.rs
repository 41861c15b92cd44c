//! The fleet's part in what is known of customers: subscriptions, links, blocks, overrides, credits.
//!
//! # What it promises
//!
//! - Every node has all of it in its own store, and goes on with that where Redis is away. What changes here is noted
//!   in the transaction that changes it, and put until Redis has it; nothing that another node has put meanwhile is
//!   lost.
//! - What another node has put is heard of at once; who does not hear reads it within a second, or with the next call
//!   for a customer's limits, which names the version that they follow from.
//! - What Redis has lost is put there again by whoever has it.
//! - An event of Stripe's is applied by one node, and others are told of something by one, as long as Redis answers.
//!   Without it two may apply an event: that changes nothing twice.
//! - Of what Stripe rejects of meter events every node is told, since each has rows of its own.

mod once;
mod reports;
mod send;
mod take_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::clock;
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::domain::facts::Holder;
use crate::fleet::{Away, Claim, FactsKey, Fleet, LinkState, News, Put, Report, Version};
use crate::live::Live;
use crate::store::{FactsVersion, Store, StoreError};

/// Between two tries of what has failed.
const RETRY: Duration = Duration::from_millis(250);

/// Facts as they lie in Redis, with their version.
pub type Told = (Version, Box<[u8]>);

/// Some of all versions, and from where on there are more.
pub type Versions = (Vec<(FactsKey, Version)>, String);

/// What is used of the fleet here.
pub trait Meeting: Send + Sync {
    /// `versions`: of those that these were made from, and the one above which the new one is.
    fn put<'a>(
        &'a self,
        key: &'a FactsKey,
        versions: (Version, Version),
        expires_millis: i64,
        facts: &'a [u8],
    ) -> BoxFuture<'a, Result<Put, Away>>;
    /// In the order of the keys.
    fn read<'a>(&'a self, keys: &'a [FactsKey]) -> BoxFuture<'a, Result<Vec<Option<Told>>, Away>>;
    fn news_since<'a>(&'a self, position: &'a str) -> BoxFuture<'a, Result<News, Away>>;
    fn all<'a>(&'a self, cursor: &'a str) -> BoxFuture<'a, Result<Versions, Away>>;
    fn next_hint(&self) -> BoxFuture<'_, (FactsKey, Version)>;
    fn states(&self) -> watch::Receiver<LinkState>;
    fn claim<'a>(&'a self, what: &'a str, kept: Duration) -> BoxFuture<'a, Result<Claim, Away>>;
    fn done<'a>(&'a self, what: &'a str, kept: Duration) -> BoxFuture<'a, Result<(), Away>>;
    fn unclaim<'a>(&'a self, what: &'a str) -> BoxFuture<'a, Result<(), Away>>;
    fn reports(&self) -> BoxFuture<'_, Result<Vec<Report>, Away>>;
    /// Some that are new, and no more some that are old.
    fn name_reports<'a>(&'a self, new: &'a [Report], old: &'a [Report]) -> BoxFuture<'a, Result<(), Away>>;
}

impl Meeting for Fleet {
    fn put<'a>(
        &'a self,
        key: &'a FactsKey,
        versions: (Version, Version),
        expires_millis: i64,
        facts: &'a [u8],
    ) -> BoxFuture<'a, Result<Put, Away>> {
        Box::pin(self.put_facts(key, versions, expires_millis, facts))
    }

    fn read<'a>(&'a self, keys: &'a [FactsKey]) -> BoxFuture<'a, Result<Vec<Option<Told>>, Away>> {
        Box::pin(self.read_facts(keys))
    }

    fn news_since<'a>(&'a self, position: &'a str) -> BoxFuture<'a, Result<News, Away>> {
        Box::pin(Fleet::news_since(self, position))
    }

    fn all<'a>(&'a self, cursor: &'a str) -> BoxFuture<'a, Result<Versions, Away>> {
        Box::pin(self.all_facts(cursor))
    }

    fn next_hint(&self) -> BoxFuture<'_, (FactsKey, Version)> {
        Box::pin(Fleet::next_hint(self))
    }

    fn states(&self) -> watch::Receiver<LinkState> {
        Fleet::states(self)
    }

    fn claim<'a>(&'a self, what: &'a str, kept: Duration) -> BoxFuture<'a, Result<Claim, Away>> {
        Box::pin(Fleet::claim(self, what, kept))
    }

    fn done<'a>(&'a self, what: &'a str, kept: Duration) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(Fleet::done(self, what, "", kept))
    }

    fn unclaim<'a>(&'a self, what: &'a str) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(Fleet::unclaim(self, what))
    }

    fn reports(&self) -> BoxFuture<'_, Result<Vec<Report>, Away>> {
        Box::pin(Fleet::reports(self))
    }

    fn name_reports<'a>(&'a self, new: &'a [Report], old: &'a [Report]) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(Fleet::name_reports(self, new, old))
    }
}

/// What this node knows and the others should, and the other way round.
pub struct Facts {
    meeting: Arc<dyn Meeting>,
    store: Arc<Store>,
    customers: Arc<Customers>,
    catalogue: Arc<Live<Catalogue>>,
    /// The last version that was given to a reading of Stripe's, here or elsewhere.
    version: Arc<AtomicU64>,
    /// What others have put has changed a subscription.
    pub(super) has_changed: AtomicBool,
}

impl Facts {
    /// `version`: the last one that was given to a reading.
    pub fn new(
        meeting: Arc<dyn Meeting>,
        store: Arc<Store>,
        customers: Arc<Customers>,
        catalogue: Arc<Live<Catalogue>>,
        version: Arc<AtomicU64>,
    ) -> Self {
        Self { meeting, store, customers, catalogue, version, has_changed: AtomicBool::default() }
    }

    /// Puts what changes here, and takes in what others put; for ever.
    pub async fn run(self: Arc<Self>) {
        while let Err(error) = self.gather().await {
            tracing::error!(%error, "what is known could not be gathered for the fleet; it is tried again");
            tokio::time::sleep(RETRY).await;
        }
        tokio::join!(self.keep_putting(), self.hear(), self.keep_reading(), self.keep_reporting());
    }

    /// All that was known before this node was one of several.
    async fn gather(&self) -> Result<(), StoreError> {
        self.store.share_facts().await?;
        while !self.store.gather_facts().await? {}
        Ok(())
    }

    /// A reading's version: the fleet's time in microseconds, above all before it.
    pub(super) fn next_version(&self) -> u64 {
        let now = u64::try_from(clock::now().micros()).unwrap_or(0);
        let next = |last: u64| Some(now.max(last + 1));
        // It always answers something.
        self.version
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map_or(now, |last| now.max(last + 1))
    }

    /// What is in memory of a holder follows what the store knows, and its version.
    async fn refresh(&self, holder: &Holder) -> Result<(), StoreError> {
        match holder {
            Holder::Customer(name) => self.customers.refresh_customer(name, clock::now()).await,
            Holder::Stripe(id) => self.customers.refresh(id, clock::now()).await,
        }
    }
}

fn key(holder: &Holder) -> FactsKey {
    match holder {
        Holder::Customer(name) => FactsKey::Customer(name.as_str().into()),
        Holder::Stripe(id) => FactsKey::Stripe(id.as_str().into()),
    }
}

fn holder(key: &FactsKey) -> Holder {
    match key {
        FactsKey::Customer(name) => Holder::Customer(name.to_string()),
        FactsKey::Stripe(id) => Holder::Stripe(id.to_string()),
    }
}

fn of_fleet(version: FactsVersion) -> Version {
    Version(version)
}

#[cfg(test)]
mod tests;
