//! Subscriptions: read again, stored, put into force; and who they are linked to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock;
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::domain::subscription::{Facts, Status, Subscription};
use crate::domain::usage::Now;
use crate::live::Live;
use crate::metrics::METRICS;
use crate::store::{NewLink, Store, StoreError, Upsert};
use crate::stripe::{CallError, SubscriptionObject, Transport, list_subscriptions, retrieve_subscription};

use super::read::{amount, facts, reread_at};
use super::{fleet, second, transitions};

/// Re-reads that share a lock: one at a time for each Stripe customer.
const STRIPES: usize = 64;
/// Subscriptions that are counted at once: there may be millions.
const PAGE: u32 = 1_000;

#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    Stripe(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApplyError {
    /// Waiting cures it: Stripe is away or its key is being changed, or our disk is.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Stripe(error) => error.is_transient() || error.is_key_problem(),
            // Time changes nothing in what lies there.
            Self::Store(StoreError::Unreadable(_)) => false,
            Self::Store(_) => true,
        }
    }
}

/// What became of subscriptions that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub understood: u64,
    /// Of a status that does not exist yet.
    pub unknown: u64,
}

/// Reads subscriptions from Stripe and puts them into force.
pub(super) struct Applier {
    pub store: Arc<Store>,
    pub customers: Arc<Customers>,
    pub catalogue: Arc<Live<Catalogue>>,
    pub transport: Arc<Transport>,
    /// Events change nothing, and nobody is told of anything.
    pub shadow: bool,
    /// The last version given to a read.
    version: Arc<AtomicU64>,
    /// `None`: this node is the only one.
    pub facts: Option<Arc<fleet::Facts>>,
    /// A subscription has changed since they were counted.
    recount: AtomicBool,
    stripes: [tokio::sync::Mutex<()>; STRIPES],
}

impl Applier {
    pub fn new(
        store: Arc<Store>,
        customers: Arc<Customers>,
        catalogue: Arc<Live<Catalogue>>,
        transport: Arc<Transport>,
        shadow: bool,
        meeting: Option<Arc<dyn fleet::Meeting>>,
    ) -> Result<Self, StoreError> {
        let version = Arc::new(AtomicU64::new(store.last_version()?));
        let facts = meeting.map(|meeting| {
            let (store, customers, catalogue) = (store.clone(), customers.clone(), catalogue.clone());
            Arc::new(fleet::Facts::new(meeting, store, customers, catalogue, version.clone()))
        });
        let stripes = std::array::from_fn(|_| tokio::sync::Mutex::new(()));
        let recount = AtomicBool::new(false);
        Ok(Self { store, customers, catalogue, transport, shadow, version, facts, recount, stripes })
    }

    /// Reads one subscription again. What Stripe no longer has is left as it is known.
    pub async fn reread(&self, id: &str, stripe_customer: Option<&str>, now: Now) -> Result<(), ApplyError> {
        let _one_at_a_time = self.alone(stripe_customer.unwrap_or(id)).await;
        let version = self.next_version();
        let Some(object) = retrieve_subscription(&self.transport, id).await? else {
            tracing::info!(subscription = id, "Stripe no longer has this subscription");
            self.store.forget_reread(id.to_owned()).await?;
            return Ok(());
        };
        self.put(&object, version, now).await?;
        // The call may have taken its time: a window must not be turned back over an edge.
        self.customers.refresh(&object.customer, clock::now()).await?;
        self.announce(&object.customer).await?;
        Ok(())
    }

    /// Reads all subscriptions of a Stripe customer; answers how many were understood, and how many were not.
    pub async fn list(&self, stripe_customer: &str, now: Now) -> Result<Taken, ApplyError> {
        self.listed(stripe_customer, now).await.map(|(_, taken)| taken)
    }

    /// The same, and answers what was read as well.
    pub async fn listed(
        &self,
        stripe_customer: &str,
        now: Now,
    ) -> Result<(Vec<SubscriptionObject>, Taken), ApplyError> {
        let _one_at_a_time = self.alone(stripe_customer).await;
        let version = self.next_version();
        let objects = list_subscriptions(&self.transport, stripe_customer).await?;
        let taken = self.put_all(&objects, version, now).await?;
        self.store.set_listed(stripe_customer.to_owned(), now.seconds()).await?;
        self.customers.refresh(stripe_customer, clock::now()).await?;
        self.announce(stripe_customer).await?;
        Ok((objects, taken))
    }

    /// Changes a subscription at Stripe, and puts into force what has become of it. The change counts as a read that
    /// began before it: one that begins later wins.
    pub async fn change(
        &self,
        stripe_customer: &str,
        change: impl Future<Output = Result<SubscriptionObject, CallError>>,
    ) -> Result<SubscriptionObject, ApplyError> {
        let _one_at_a_time = self.alone(stripe_customer).await;
        let version = self.next_version();
        let object = change.await?;
        self.put(&object, version, clock::now()).await?;
        self.customers.refresh(stripe_customer, clock::now()).await?;
        self.announce(stripe_customer).await?;
        Ok(object)
    }

    /// Puts into force what has been read of one Stripe customer, under a version that was taken before.
    pub async fn take_in(
        &self,
        stripe_customer: &str,
        objects: &[SubscriptionObject],
        version: u64,
        now: Now,
    ) -> Result<Taken, StoreError> {
        let _one_at_a_time = self.alone(stripe_customer).await;
        let taken = self.put_all(objects, version, now).await?;
        self.customers.refresh(stripe_customer, clock::now()).await?;
        self.announce(stripe_customer).await?;
        Ok(taken)
    }

    /// Looks again at what is known of a Stripe customer. Answers whether somebody's tier or status is another one.
    pub async fn look_again(&self, stripe_customer: &str) -> Result<bool, StoreError> {
        let _one_at_a_time = self.alone(stripe_customer).await;
        self.customers.refresh(stripe_customer, clock::now()).await?;
        self.announce(stripe_customer).await
    }

    /// One after the other for each Stripe customer.
    async fn alone(&self, stripe_customer: &str) -> tokio::sync::MutexGuard<'_, ()> {
        self.stripes[stripe_of(stripe_customer)].lock().await
    }

    async fn put_all(
        &self,
        objects: &[SubscriptionObject],
        version: u64,
        now: Now,
    ) -> Result<Taken, StoreError> {
        let mut taken = Taken::default();
        for object in objects {
            if self.put(object, version, now).await? {
                taken.understood += 1;
            } else {
                taken.unknown += 1;
            }
        }
        Ok(taken)
    }

    /// Keeps what has become of all that a Stripe customer stands for, and tells of it. Answers whether anything has
    /// changed.
    async fn announce(&self, stripe_customer: &str) -> Result<bool, StoreError> {
        let mut changed = false;
        for row in self.store.customers_of(stripe_customer.to_owned()).await? {
            let noted =
                transitions::note_state(&self.store, &self.customers, row.clone(), self.shadow).await?;
            if !self.shadow {
                second::tell(&self.store, &self.catalogue.now(), stripe_customer, &row, &noted.state).await?;
            }
            changed |= noted.changed;
        }
        Ok(changed)
    }

    /// Answers whether it was understood; else the state stays as it is known.
    async fn put(&self, object: &SubscriptionObject, version: u64, now: Now) -> Result<bool, StoreError> {
        let Some(facts) = facts(object) else {
            tracing::error!(
                subscription = object.id,
                status = object.status,
                "the status is unknown: the subscription was left as it is known"
            );
            self.store.forget_reread(object.id.clone()).await?;
            return Ok(false);
        };
        let status = facts.status;
        let named = object.metadata_tollgate.as_ref().or(object.customer_metadata_tollgate.as_ref());
        // One that has ended makes nobody known: whoever was erased would be here again with the next sync.
        if let Some(customer) = named.filter(|_| status.is_live()) {
            self.link(customer, &object.customer, now).await?;
        }
        let upsert = as_read(facts, version, &self.catalogue.now(), now.seconds());
        let stored = self.store.upsert_subscription(upsert, now.seconds()).await?;
        if stored {
            let event =
                if status == Status::Active { "subscription_activated" } else { "subscription_updated" };
            tracing::info!(subscription = object.id, status = status.as_str(), "{event}");
            self.recount.store(true, Ordering::Relaxed);
        }
        Ok(true)
    }

    /// Answers whether the link is new.
    pub async fn link(&self, customer: &str, stripe_customer: &str, now: Now) -> Result<bool, StoreError> {
        if !is_name(customer) {
            tracing::warn!(stripe_customer, "metadata names a customer whom no token and no key can name");
            return Ok(false);
        }
        let link = NewLink { customer: customer.to_owned(), stripe_customer: stripe_customer.to_owned() };
        let new = self.store.link(link, now.seconds()).await?.is_some();
        if new {
            self.customers.refresh(stripe_customer, clock::now()).await?;
        }
        Ok(new)
    }

    /// Shows the subscriptions by tier and status, if any of them or the tiers have changed since the last time.
    /// `counted_by` is what they were counted by then, and are now.
    pub async fn count(&self, counted_by: &mut Option<Arc<Catalogue>>) -> Result<(), StoreError> {
        let catalogue = self.catalogue.now();
        let heard = self.facts.as_ref().is_some_and(|facts| facts.has_changed.swap(false, Ordering::Relaxed));
        let has_changed = self.recount.swap(false, Ordering::Relaxed) || heard;
        // None until this ends well.
        if let Some(before) = counted_by.take()
            && !has_changed
            && Arc::ptr_eq(&before, &catalogue)
        {
            *counted_by = Some(before);
            return Ok(());
        }
        let mut counts: HashMap<(&str, &str), i64> = HashMap::new();
        let mut last = String::new();
        loop {
            let page = self.store.subscriptions_after(last, PAGE).await?;
            for facts in &page {
                let tier = Subscription::read(facts, &catalogue).tier;
                let tier = tier.map_or("none", |id| &*catalogue.tier(id).name);
                *counts.entry((tier, facts.status.as_str())).or_default() += 1;
            }
            let Some(facts) = page.into_iter().next_back() else { break };
            last = facts.id;
        }
        // Those that no configuration lists any more as well: at 0.
        let tiers = catalogue.tiers.by_number().iter().map(|tier| &*tier.name).chain(["none"]);
        for (tier, status) in tiers.flat_map(|tier| Status::ALL.map(|status| (tier, status.as_str()))) {
            let count = counts.get(&(tier, status)).copied().unwrap_or(0);
            METRICS.subscriptions.with_label_values(&[tier, status]).set(count);
        }
        *counted_by = Some(catalogue);
        Ok(())
    }

    /// To be taken before Stripe is asked: of two reads that overlap, the one that began later wins.
    pub fn next_version(&self) -> u64 {
        if let Some(facts) = &self.facts {
            return facts.next_version();
        }
        self.version.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What a subscription that has been read means now.
pub(super) fn as_read(facts: Facts, version: u64, catalogue: &Catalogue, now: i64) -> Upsert {
    let read = Subscription::read(&facts, catalogue);
    let counts = read.tier.is_some() && read.status.entitles();
    Upsert {
        version,
        reread_at: reread_at(&facts, now),
        window: counts.then(|| read.windows.at(now)),
        rank: read.rank.map_or(0, |rank| u16::try_from(rank).unwrap_or(u16::MAX)),
        tier: read.tier.map(|tier| catalogue.tier(tier).name.to_string()),
        amount: amount(&facts),
        paid_until: read.paid_until,
        facts,
    }
}

/// As a token's claim must be, or as a customer is called whom nothing but an API key stands for.
pub(super) fn is_name(customer: &str) -> bool {
    let name = customer.strip_prefix("key ").unwrap_or(customer);
    (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn stripe_of(key: &str) -> usize {
    key.bytes().fold(0, |hash: usize, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte))) % STRIPES
}
