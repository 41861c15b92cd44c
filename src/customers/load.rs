//! Loading customers from the store, and refreshing those whose state at Stripe has changed.

use std::sync::Arc;

use smallvec::smallvec;

use crate::domain::account::{Account, ByMeter, Window};
use crate::domain::idempotency::{Charged, Digest, Keys, REMEMBERED_SECONDS};
use crate::domain::period::Period;
use crate::domain::subscription::{Entitlement, Subscription};
use crate::domain::usage::Now;
use crate::metrics::METRICS;
use crate::store::{CustomerRow, StoreError};

use super::Customers;
use super::entry::Entry;

impl Customers {
    /// The customer, read from the store if not in memory. `claimed` is the Stripe customer of a verified token:
    /// it replaces another link.
    pub async fn load(&self, name: &str, claimed: Option<&str>, now: Now) -> Result<Arc<Entry>, StoreError> {
        let _one_at_a_time = self.stripe(name).lock().await;
        let known = self.get(name);
        if let Some(entry) = known.filter(|entry| entry.hot().is_linked_as(claimed)) {
            return Ok(entry);
        }
        let row = self.store.customer(name.to_owned(), claimed.map(str::to_owned), now.seconds()).await?;
        self.ask_about(row.stripe_customer.as_deref()).await?;
        if let Some(entry) = self.get(name) {
            self.renew(&entry, &row, now).await?;
            return Ok(entry);
        }
        let subscription = self.best_subscription(row.stripe_customer.as_deref()).await?;
        let entitlement = Entitlement::of(subscription.as_ref(), &self.catalogue);
        let window = self.window(row.number, entitlement.windows.at(now.seconds())).await?;
        let keys = self.keys(row.number, now).await?;
        let name: Arc<str> = row.name.into();
        let entry = Arc::new(Entry::new(
            name.clone(),
            row.number,
            Account::new(entitlement, window).with_keys(keys),
            row.stripe_customer.map(Into::into),
            subscription,
            now,
        ));
        self.entries.insert(name, entry.clone());
        METRICS.customers_loaded.inc();
        Ok(entry)
    }

    /// The number under which a member is recorded.
    pub async fn member_number(&self, member: &str) -> Result<u32, StoreError> {
        self.store.number_member(member.to_owned()).await
    }

    /// Puts into force what the store now knows of a Stripe customer, for all of ours that it stands for.
    pub async fn refresh(&self, stripe_customer: &str, now: Now) -> Result<(), StoreError> {
        for row in self.store.customers_of(stripe_customer.to_owned()).await? {
            let _one_at_a_time = self.stripe(&row.name).lock().await;
            if let Some(entry) = self.get(&row.name) {
                self.renew(&entry, &row, now).await?;
            }
        }
        Ok(())
    }

    /// The store has found more in a customer's current period than was counted here: an edge was learned late.
    pub async fn raise(&self, number: u32, now: Now) -> Result<(), StoreError> {
        let Some(name) = self.store.customer_name(number).await? else { return Ok(()) };
        let _one_at_a_time = self.stripe(&name).lock().await;
        if let Some(entry) = self.get(&name) {
            let period = entry.hot().account.window(now).period;
            let stored = self.window(number, period).await?;
            entry.hot().account.raise(&stored);
        }
        Ok(())
    }

    /// Stripe customers that were never heard of are asked about in the background.
    async fn ask_about(&self, stripe_customer: Option<&str>) -> Result<(), StoreError> {
        let Some(stripe_customer) = stripe_customer else { return Ok(()) };
        if !self.store.is_listed(stripe_customer.to_owned()).await? {
            // Nobody listens only while everything is being shut down.
            let _ = self.unknown.send(stripe_customer.to_owned());
        }
        Ok(())
    }

    async fn renew(&self, entry: &Entry, row: &CustomerRow, now: Now) -> Result<(), StoreError> {
        let subscription = self.best_subscription(row.stripe_customer.as_deref()).await?;
        let entitlement = Entitlement::of(subscription.as_ref(), &self.catalogue);
        let lacking = entry.hot().account.lacks_window(&entitlement, now);
        let window = match lacking {
            Some(period) => Some(self.window(entry.number, period).await?),
            None => None,
        };
        let mut hot = entry.hot();
        let before = hot.account.entitlement().tier.clone();
        let after = entitlement.tier.clone();
        hot.account.entitle(entitlement, window, now);
        hot.subscription = subscription;
        hot.stripe_customer = row.stripe_customer.as_deref().map(Into::into);
        drop(hot);
        if let (Some(before), Some(after)) = (before, after)
            && before.id != after.id
        {
            METRICS.tier_changes.with_label_values(&[&*before.name, &*after.name]).inc();
            tracing::info!(
                customer = entry.number,
                from = &*before.name,
                to = &*after.name,
                "subscription_updated"
            );
        }
        Ok(())
    }

    async fn best_subscription(
        &self,
        stripe_customer: Option<&str>,
    ) -> Result<Option<Subscription>, StoreError> {
        let Some(stripe_customer) = stripe_customer else { return Ok(None) };
        let facts = self.store.subscriptions_of(stripe_customer.to_owned()).await?;
        let all: Vec<_> = facts.iter().map(|facts| Subscription::read(facts, &self.catalogue)).collect();
        Ok(Subscription::best(&all).cloned())
    }

    /// The idempotency keys that the store remembers.
    async fn keys(&self, number: u32, now: Now) -> Result<Keys, StoreError> {
        let mut keys = Keys::new(self.key_limits);
        let after = now.seconds().saturating_sub(REMEMBERED_SECONDS);
        for row in self.store.keys(number, after, self.key_limits.keys).await? {
            let charged = Charged { at: Now::from_seconds(row.at), repeats: row.repeats };
            keys.remember(Digest(row.key), charged);
        }
        Ok(keys)
    }

    /// What the store knows of a period. Everything of this customer that is not folded yet is in memory.
    async fn window(&self, number: u32, period: Period) -> Result<Window, StoreError> {
        let mut used: ByMeter = smallvec![0; self.meter_numbers.len()];
        for total in self.store.totals(number, period.start).await? {
            if let Some(at) = self.meter_numbers.iter().position(|meter| *meter == total.meter) {
                used[at] = total.used;
            }
        }
        Ok(Window { period, used })
    }
}
