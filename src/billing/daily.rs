//! A daily look over all subscriptions: what ends soon is told, and what should have moved on is read again. It goes on
//! where it was after a restart, and a day is looked at once. Each week it reports what the last one brought.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock;
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::domain::notice::NoticeKind;
use crate::domain::period::rfc3339;
use crate::domain::subscription::Facts;
use crate::live::Live;
use crate::store::{NewNotice, Store, StoreError};

use super::{ending, weekly};

/// Subscriptions that are looked at together: there may be millions.
const PAGE: u32 = 1_000;
/// Whether a day is over is asked this often; and what went wrong is tried again.
const PAUSE: Duration = Duration::from_mins(10);
const DAY_SECONDS: i64 = 86_400;
/// Causes of notices are known for this long, so that nothing is told twice in a period of a year.
const CAUSES_KEPT_SECONDS: i64 = 400 * DAY_SECONDS;

/// The name of its mark.
const WORK: &str = "daily";

/// How far a day's look has come.
#[derive(Debug, Serialize, Deserialize)]
struct Reached {
    day: i64,
    /// The last subscription that was looked at.
    after: String,
    done: bool,
}

pub(super) struct Daily {
    store: Arc<Store>,
    customers: Arc<Customers>,
    catalogue: Arc<Live<Catalogue>>,
    kept_seconds: i64,
}

impl Daily {
    pub fn new(
        store: Arc<Store>,
        customers: Arc<Customers>,
        catalogue: Arc<Live<Catalogue>>,
        kept_seconds: i64,
    ) -> Self {
        Self { store, customers, catalogue, kept_seconds }
    }

    pub async fn run(&self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::error!(%error, "the daily look did not end; it goes on soon");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let day = clock::now().seconds().div_euclid(DAY_SECONDS);
        let reached: Option<Reached> = self.store.mark(WORK).await?;
        let fresh = || Reached { day, after: String::new(), done: false };
        let mut reached = reached.filter(|reached| reached.day == day).unwrap_or_else(fresh);
        if reached.done {
            return Ok(());
        }
        loop {
            let page = self.store.subscriptions_after(reached.after, PAGE).await?;
            self.look_at(&page).await?;
            let last = page.into_iter().next_back().map(|facts| facts.id);
            reached = Reached { day, done: last.is_none(), after: last.unwrap_or_default() };
            if reached.done {
                break;
            }
            self.store.set_mark(WORK, Some(&reached)).await?;
        }
        weekly::report(&self.store, clock::now().seconds()).await?;
        self.prune().await?;
        self.store.set_mark(WORK, Some(&reached)).await
    }

    async fn look_at(&self, page: &[Facts]) -> Result<(), StoreError> {
        let now = clock::now().seconds();
        let overdue = page.iter().filter(|facts| ending::is_overdue(facts, now));
        let overdue: Vec<_> = overdue.map(|facts| facts.id.clone()).collect();
        if !overdue.is_empty() {
            tracing::info!(
                overdue = overdue.len(),
                "subscriptions should have moved on: they are read again"
            );
            self.store.read_again_soon(overdue, now).await?;
        }
        let mut notices = Vec::new();
        for facts in page {
            for ending in ending::of(facts, &self.catalogue.now(), now) {
                let mut more = json!({ "subscription": facts.id });
                more[ending.told_as] = json!(rfc3339(ending.at));
                notices
                    .extend(self.notices(&facts.stripe_customer, ending.kind, &ending.cause, &more).await?);
            }
        }
        self.store.notify_unknown(notices, now).await.map(drop)
    }

    /// One for each of ours that a Stripe customer stands for.
    async fn notices(
        &self,
        stripe_customer: &str,
        kind: NoticeKind,
        cause: &str,
        more: &serde_json::Value,
    ) -> Result<Vec<NewNotice>, StoreError> {
        let mut notices = Vec::new();
        for row in self.store.customers_of(stripe_customer.to_owned()).await? {
            let position = self.customers.position(&row.name, clock::now()).await?;
            let mut data = more.clone();
            data["customer"] = json!(row.name);
            data["tier"] = json!(position.tier.as_ref().map(|tier| &*tier.name));
            data["status"] = json!(position.status());
            let cause = format!("{cause}:{}", row.number);
            notices.push(NewNotice { kind, customer: Some(row.number), cause, data });
        }
        Ok(notices)
    }

    async fn prune(&self) -> Result<(), StoreError> {
        let now = clock::now().seconds();
        let told_before = now.saturating_sub(self.kept_seconds.max(CAUSES_KEPT_SECONDS));
        while self.store.prune_notices(now.saturating_sub(self.kept_seconds), told_before).await? {}
        Ok(())
    }
}
