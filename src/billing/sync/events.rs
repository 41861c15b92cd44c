//! Events that no webhook has brought: what Stripe lists since the last time is put into the inbox, where most of it
//! is known already.

use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::metrics::METRICS;
use crate::store::{NewEvent, StoreError, Stored};
use crate::stripe::{
    CallError, EVENTS_KEPT_SECONDS, EventPage, ListedEvent, MOST_KINDS, Transport, event_page,
};

use super::{Sync, pause_after};
use crate::billing::apply::{Applier, ApplyError};
use crate::billing::kinds::{applied_kinds, arrival};

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

impl Sync {
    /// Takes in what has happened since the last run, as far as Stripe still tells.
    pub(super) async fn take_in_events(&self) -> Result<(), ApplyError> {
        let Applier { store, transport, .. } = &*self.applier;
        let now = clock::now().seconds();
        let known = store.mark::<Mark>(MARK).await?;
        let mark = known.unwrap_or(Mark { first: now, read_to: now });
        if known.is_none() {
            // It must stand, however this run ends.
            store.set_mark(MARK, Some(&mark)).await?;
        }
        let since = (mark.read_to - MARGIN_SECONDS).max(mark.first).max(now - EVENTS_KEPT_SECONDS);
        let listed: Vec<_> = applied_kinds().collect();
        for kinds in listed.chunks(MOST_KINDS) {
            let mut after = None;
            loop {
                let page = ask(transport, kinds, since, after.as_deref()).await?;
                let new = self.store_all(page.events, now).await?;
                if new > 0 {
                    self.progress.send_modify(|progress| progress.events += new);
                    self.arrived.notify_one();
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        store.set_mark(MARK, Some(&Mark { read_to: now, ..mark })).await?;
        Ok(())
    }

    /// Answers how many were new.
    async fn store_all(&self, events: Vec<ListedEvent>, now: i64) -> Result<u64, StoreError> {
        let mut storing = stream::iter(events)
            .map(|listed| async move { self.store_one(&listed, now).await })
            .buffer_unordered(CONCURRENCY);
        let mut new = 0;
        while let Some(stored) = storing.next().await {
            if stored? == Stored::New {
                new += 1;
            }
        }
        Ok(new)
    }

    async fn store_one(
        &self,
        ListedEvent { event, object }: &ListedEvent,
        now: i64,
    ) -> Result<Stored, StoreError> {
        let forward = self.outgoing.as_ref().map(|outgoing| {
            // Nothing of Stripe's signs it: what hands it on does.
            let body = outgoing.packed(&event.id, object.to_string().as_bytes()).ok_or_else(no_randomness)?;
            Ok::<_, StoreError>((String::new(), body))
        });
        // A list is of the key's own mode.
        let arrival = arrival(event, event.livemode.unwrap_or_default(), now);
        let stored =
            self.applier.store.receive(NewEvent { forward: forward.transpose()?, ..arrival }, now).await?;
        if stored == Stored::New {
            METRICS.webhooks.with_label_values(&[event.kind.as_str(), "backfilled"]).inc();
            tracing::info!(event = event.id, kind = event.kind, "an event that no webhook has brought");
            if let Some(outgoing) = &self.outgoing {
                outgoing.has_arrived();
            }
        }
        Ok(stored)
    }
}

fn no_randomness() -> StoreError {
    StoreError::Commit("the system has no randomness: an event could not be sealed".to_owned())
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
