//! All subscriptions, page by page; behind them those that are known here and that no page has brought.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock;
use crate::stripe::{CallError, SubscriptionObject, SubscriptionPage, Transport, subscription_page};

use super::{Progress, Synced, pause_after};
use crate::billing::apply::{Applier, ApplyError, Taken};

/// Where a run goes on.
const MARK: &str = "sync";
/// A run that has not gone on for longer begins anew.
const GOES_ON_WITHIN_SECONDS: i64 = 3_600;
/// Customers whose subscriptions are stored at once: their writes share transactions.
const CONCURRENCY: usize = 16;
/// Subscriptions that are read one by one at the end. More are a sign of another account.
const MOST_SINGLE: u32 = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mark {
    /// The subscription behind which the next page begins.
    after: Option<String>,
    /// Of the first page's read: what the run has brought has no smaller one.
    version: u64,
    synced: u64,
    failed: u64,
    /// When the last page was stored.
    at: i64,
}

/// Reads all of them, from the first or from where an earlier run was.
pub(super) async fn read(applier: &Applier, progress: &watch::Sender<Progress>) -> Result<(), ApplyError> {
    let known = applier.store.count_subscriptions().await?;
    let mut mark = begin_or_go_on(applier).await?;
    loop {
        show(progress, known, &mark);
        let version = applier.next_version();
        let page = match ask(&applier.transport, mark.after.as_deref()).await {
            Err(error) if error.is_missing() && mark.after.is_some() => {
                tracing::warn!(%error, "the subscription at which a sync was to go on is gone: it begins anew");
                mark = fresh(applier);
                continue;
            }
            page => page?,
        };
        let taken = take_in(applier, page.subscriptions, version).await?;
        mark.synced += taken.understood;
        mark.failed += taken.unknown + page.unreadable;
        mark.at = clock::now().seconds();
        mark.after = page.next;
        if mark.after.is_none() {
            break;
        }
        applier.store.set_mark(MARK, Some(&mark)).await?;
    }
    mark.failed += read_the_rest(applier, mark.version).await?;
    show(progress, known, &mark);
    applier.store.set_mark::<Mark>(MARK, None).await?;
    Ok(())
}

async fn ask(transport: &Transport, after: Option<&str>) -> Result<SubscriptionPage, CallError> {
    let mut tries = 0;
    loop {
        let page = subscription_page(transport, after).await;
        tries += 1;
        let Some(pause) = pause_after(&page, tries) else { return page };
        tokio::time::sleep(pause).await;
    }
}

async fn begin_or_go_on(applier: &Applier) -> Result<Mark, ApplyError> {
    let oldest = clock::now().seconds() - GOES_ON_WITHIN_SECONDS;
    let left = applier.store.mark::<Mark>(MARK).await?.filter(|mark| mark.at >= oldest);
    if let Some(mark) = &left {
        tracing::info!(synced = mark.synced, "a sync goes on where an earlier one was");
    }
    Ok(left.unwrap_or_else(|| fresh(applier)))
}

fn fresh(applier: &Applier) -> Mark {
    Mark { after: None, version: applier.next_version(), synced: 0, failed: 0, at: clock::now().seconds() }
}

fn show(progress: &watch::Sender<Progress>, known: u64, mark: &Mark) {
    let done = Synced { synced: mark.synced, failed: mark.failed };
    progress.send_modify(|progress| {
        progress.known = known;
        progress.done = done;
    });
}

/// Stores a page, and puts it into force, Stripe customer by Stripe customer.
async fn take_in(
    applier: &Applier,
    page: Vec<SubscriptionObject>,
    version: u64,
) -> Result<Taken, ApplyError> {
    let mut by_customer: BTreeMap<String, Vec<SubscriptionObject>> = BTreeMap::new();
    for object in page {
        by_customer.entry(object.customer.clone()).or_default().push(object);
    }
    let now = clock::now();
    let mut storing = stream::iter(by_customer)
        .map(|(customer, objects)| async move { applier.take_in(&customer, &objects, version, now).await })
        .buffer_unordered(CONCURRENCY);
    let mut sum = Taken::default();
    while let Some(taken) = storing.next().await {
        let Taken { understood, unknown } = taken?;
        sum.understood += understood;
        sum.unknown += unknown;
    }
    Ok(sum)
}

/// What is known here as alive, and is in no page: of a page that could not be read, or of another account. Answers how
/// many could not be read.
async fn read_the_rest(applier: &Applier, version: u64) -> Result<u64, ApplyError> {
    let rest = applier.store.subscriptions_not_read(version, MOST_SINGLE).await?;
    let mut failed = 0;
    for missed in rest {
        let read = applier.reread(&missed.id, Some(&missed.stripe_customer), clock::now()).await;
        if let Err(error) = read {
            tracing::warn!(%error, subscription = missed.id, "a subscription that is in no list cannot be read");
            failed += 1;
        }
    }
    Ok(failed)
}
