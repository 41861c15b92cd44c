//! Events that no webhook has brought: what Stripe lists since the last time is put into the inbox, where most of it
//! is known already.

use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::clock;
use crate::metrics::METRICS;
use crate::store::{Store, StoreError, Stored};
use crate::stripe::{CallError, EVENTS_KEPT_SECONDS, Event, EventPage, MOST_KINDS, Transport, event_page};

use super::{Progress, pause_after};
use crate::billing::apply::{Applier, ApplyError};
use crate::billing::kinds::{arrival, listed};

/// How far the events have been read.
const MARK: &str = "events";
/// Read once more each time: what becomes visible late, and clocks that differ.
const MARGIN_SECONDS: i64 = 3_600;
/// Events that are stored at once: their writes share transactions.
const CONCURRENCY: usize = 32;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mark {
    /// When the first run began: nothing older is ever asked for.
    first: i64,
    /// When the last run began that has read all events until then.
    read_to: i64,
}

/// Takes in what has happened since the last run, as far as Stripe still tells.
pub(super) async fn take_in(
    applier: &Applier,
    progress: &watch::Sender<Progress>,
    arrived: &Notify,
) -> Result<(), ApplyError> {
    let now = clock::now().seconds();
    let known = applier.store.mark::<Mark>(MARK).await?;
    let mark = known.unwrap_or(Mark { first: now, read_to: now });
    if known.is_none() {
        // It must stand, however this run ends.
        applier.store.set_mark(MARK, Some(&mark)).await?;
    }
    let since = (mark.read_to - MARGIN_SECONDS).max(mark.first).max(now - EVENTS_KEPT_SECONDS);
    let listed: Vec<_> = listed().collect();
    for kinds in listed.chunks(MOST_KINDS) {
        let mut after = None;
        loop {
            let page = ask(&applier.transport, kinds, since, after.as_deref()).await?;
            let new = store_all(&applier.store, page.events, now).await?;
            if new > 0 {
                progress.send_modify(|progress| progress.events += new);
                arrived.notify_one();
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    applier.store.set_mark(MARK, Some(&Mark { read_to: now, ..mark })).await?;
    Ok(())
}

async fn ask(
    transport: &Transport,
    kinds: &[&str],
    since: i64,
    after: Option<&str>,
) -> Result<EventPage, CallError> {
    let mut tries = 0;
    loop {
        let page = event_page(transport, kinds, since, after).await;
        tries += 1;
        let Some(pause) = pause_after(&page, tries) else { return page };
        tokio::time::sleep(pause).await;
    }
}

/// Answers how many were new.
async fn store_all(store: &Store, events: Vec<Event>, now: i64) -> Result<u64, StoreError> {
    let mut storing = stream::iter(events)
        .map(|event| async move { store_one(store, &event, now).await })
        .buffer_unordered(CONCURRENCY);
    let mut new = 0;
    while let Some(stored) = storing.next().await {
        if stored? == Stored::New {
            new += 1;
        }
    }
    Ok(new)
}

async fn store_one(store: &Store, event: &Event, now: i64) -> Result<Stored, StoreError> {
    // A list is of the key's own mode.
    let stored = store.receive(arrival(event, event.livemode.unwrap_or_default(), now), now).await?;
    if stored == Stored::New {
        METRICS.webhooks.with_label_values(&[event.kind.as_str(), "backfilled"]).inc();
        tracing::info!(event = event.id, kind = event.kind, "an event that no webhook has brought");
    }
    Ok(stored)
}
