//! Putting what has changed here, until Redis has it.

use std::time::Duration;

use futures_util::{TryStreamExt, stream};

use super::{Facts, RETRY, key, of_fleet};
use crate::clock;
use crate::domain::facts::Entries;
use crate::fleet::{Away, Put};
use crate::store::{FactsToPut, StoreError};

/// What has changed is looked for this often.
const LOOK: Duration = Duration::from_millis(50);
/// Holders that are read together, and put at once.
const PAGE: u32 = 500;
const AT_ONCE: usize = 16;
/// How often others may be quicker in one go.
const TRIES: u32 = 5;
const DAY_MILLIS: i64 = 86_400_000;
/// Redis may forget them so long after they were put last; and behind the end of the last credits.
const KEPT_DAYS: i64 = 400;
const KEPT_BEHIND_CREDITS_DAYS: i64 = 35;
/// Credits without an end.
const KEPT_FOR_EVER_DAYS: i64 = 3_653;
/// That somebody was erased need only be told to those who are there.
const ERASURE_KEPT_DAYS: i64 = 40;

/// Why facts are not put.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPut {
    #[error(transparent)]
    Away(#[from] Away),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Facts {
    pub(super) async fn keep_putting(&self) {
        loop {
            match self.put_all().await {
                Ok(()) => tokio::time::sleep(LOOK).await,
                Err(error) => {
                    if let NotPut::Store(error) = error {
                        tracing::error!(%error, "what the fleet should know could not be put; it is tried again");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Puts all that waits.
    pub(super) async fn put_all(&self) -> Result<(), NotPut> {
        let mut after = None;
        loop {
            let page = self.store.facts_to_put(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.holder.clone());
            let page = stream::iter(page.into_iter().map(Ok));
            page.try_for_each_concurrent(AT_ONCE, |row| self.put_one(row)).await?;
        }
    }

    pub(super) async fn put_one(&self, mut row: FactsToPut) -> Result<(), NotPut> {
        let key = key(&row.holder);
        let mut known = of_fleet(row.version);
        // Another Redis's clock may be behind: who knows these must not take the new ones for older.
        let mut least = known;
        for _ in 0..TRIES {
            let expires = expires_millis(&row.entries, clock::now().seconds());
            match self.meeting.put(&key, (known, least), expires, &row.entries.write()).await? {
                Put::Done(version) => {
                    self.store.facts_are_put(row.holder.clone(), row.changes, version.0).await?;
                    return Ok(self.refresh(&row.holder).await?);
                }
                Put::Other(version, told) => {
                    self.take_in(row.holder.clone(), version, told).await?;
                    match self.store.facts_of(row.holder.clone()).await? {
                        Some(merged) if merged.changes > 0 => row = merged,
                        _ => return Ok(()),
                    }
                    // Redis may have come back with older ones than are known here.
                    known = version;
                    least = least.max(version);
                }
            }
        }
        Ok(())
    }
}

fn expires_millis(facts: &Entries, now: i64) -> i64 {
    let from_now = |days: i64| now.saturating_mul(1_000).saturating_add(days * DAY_MILLIS);
    if facts.is_erased() {
        return from_now(ERASURE_KEPT_DAYS);
    }
    let behind_credits = match facts.ends_at() {
        Some(end) => end.saturating_mul(1_000).saturating_add(KEPT_BEHIND_CREDITS_DAYS * DAY_MILLIS),
        None => from_now(KEPT_FOR_EVER_DAYS),
    };
    behind_credits.max(from_now(KEPT_DAYS))
}
