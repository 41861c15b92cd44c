//! The copy of this node's unsent usage in Redis, for the day on which its machine does not come back.
//!
//! # What it promises
//!
//! - **Nothing is sent before it is in the copy.** So whoever takes this node over sends the same rows under the same
//!   identifiers, and Stripe counts each once. While Redis is away what is in the copy already is sent on, for
//!   22 hours; the rest waits.
//! - Once the node is fenced nothing more gets into the copy, until it has reckoned with the fence.
//! - Usage that is in no row yet is in the copy at most a second after it has been folded; up to [`MOST`] totals and
//!   as many rows, those of the periods that end first.
//! - Redis may lose it: it is written again. A node that finds it lost after a long absence first waits until whoever
//!   may have taken it over has put the fence back.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::fleet::Away;
use crate::fleet::copy::{Changes, Copies, Written};
use crate::metrics::METRICS;
use crate::store::{Store, StoreError, UnsentRow};

use super::fence::{fenced_rows, row_field, row_text, texts, total_field_of};

/// Totals that are copied, and rows.
pub const MOST: u32 = 100_000;
/// Fields in one write: Redis answers others in between.
const CHUNK: usize = 500;
/// Takers look every ten seconds whether Redis has lost their fences.
const RESTORED_WITHIN: i64 = 30;
/// What Redis had is believed for so long without a word from it: if another node has sent it since then, Stripe
/// remembers that for a day. Behind it a pass begins, which has an hour ([`super::send`]).
const BELIEVED: i64 = 22 * 3600;
/// Stripe forgets identifiers after a day: what is unclear then is left to a person.
const GIVE_UP_AFTER: i64 = 24 * 3600;
/// Rows reckoned with in one transaction.
const SLICE: usize = 500;

/// Why the copy is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Away(#[from] Away),
    #[error("another node has taken over what this one had not sent, and Stripe's answers are awaited")]
    Fenced,
    #[error("the copy was lost in Redis: it is waited for whoever may have taken this node over")]
    Waits,
    #[error("a later write came first")]
    Overtaken,
}

#[derive(Clone, Debug)]
pub struct CopierOptions {
    /// `tg-` and the ledger's id.
    pub identifier_prefix: String,
    /// Meter number, and the name of its events at Stripe.
    pub event_names: Vec<(u32, String)>,
    pub take_over_after: Duration,
}

pub struct Copier {
    store: Arc<Store>,
    copies: Arc<dyn Copies>,
    options: CopierOptions,
    digests: RandomState,
    /// One write at a time, from what it is made of to its answer.
    redis: Mutex<Known>,
}

/// What Redis is known to have.
#[derive(Default)]
struct Known {
    /// Fields, with digests of their texts.
    fields: HashMap<String, u64>,
    /// It is all of it.
    is_whole: bool,
    /// The last write's.
    number: u64,
    heard_at: Option<i64>,
    missing_since: Option<i64>,
    told_of_cut: bool,
}

impl Copier {
    pub fn new(store: Arc<Store>, copies: Arc<dyn Copies>, options: CopierOptions) -> Self {
        Self { store, copies, options, digests: RandomState::new(), redis: Mutex::default() }
    }

    /// Brings the copy up to date; reckons with a fence, if there is one.
    pub async fn tick(&self, now: i64) -> Result<(), CopyError> {
        let mut known = self.redis.lock().await;
        match self.copy_all(&mut known, now).await {
            Err(CopyError::Fenced) => {
                self.reckon(&mut known, now).await?;
                self.copy_all(&mut known, now).await
            }
            outcome => outcome,
        }
    }

    /// Of these rows those that may be sent: they are in the copy, or have been.
    pub async fn cover(&self, rows: Vec<UnsentRow>, now: i64) -> Result<Vec<i64>, StoreError> {
        let mut known = self.redis.lock().await;
        if known.heard_at.is_some_and(|at| now - at >= BELIEVED) {
            known.is_whole = false;
            match self.learn(&mut known, now).await {
                Ok(()) => {}
                Err(CopyError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, waiting = rows.len(), "meter events wait for news of their copies");
                    return Ok(Vec::new());
                }
            }
        }
        let prefix = &self.options.identifier_prefix;
        let mut covered = Vec::with_capacity(rows.len());
        let mut news = Vec::new();
        for row in rows {
            let (field, text) = (row_field(&row), row_text(&row));
            if known.fields.get(&field) == Some(&self.digests.hash_one(&text)) {
                covered.push(row.sequence);
            } else {
                news.push((row, field, text));
            }
        }
        for chunk in news.chunks(CHUNK) {
            let set = chunk.iter().map(|(_, field, text)| (field.clone(), text.clone())).collect();
            let totals = chunk.iter().filter_map(|(row, ..)| total_field_of(&row.identifier, prefix));
            let removed = totals.filter(|total| known.fields.contains_key(total)).collect();
            let written = async {
                self.learn(&mut known, now).await?;
                self.write(&mut known, set, removed, now).await
            };
            match written.await {
                Ok(()) => covered.extend(chunk.iter().map(|(row, ..)| row.sequence)),
                Err(CopyError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, waiting = chunk.len(), "meter events wait to be copied");
                    break;
                }
            }
        }
        Ok(covered)
    }

    async fn copy_all(&self, known: &mut Known, now: i64) -> Result<(), CopyError> {
        self.learn(known, now).await?;
        let unsent = self.store.unsent(MOST).await?;
        METRICS.fleet_uncopied.set(i64::try_from(unsent.left_out).unwrap_or(i64::MAX));
        if unsent.left_out > 0 && !known.told_of_cut {
            tracing::warn!(
                left_out = unsent.left_out,
                "more usage is unsent than is copied for other nodes: Stripe or Redis was away"
            );
        }
        known.told_of_cut = unsent.left_out > 0;
        let wanted = texts(&unsent, &self.options.identifier_prefix, &self.options.event_names, now);
        let removed = known.fields.keys().filter(|field| !wanted.contains_key(*field)).cloned();
        let mut removed: Vec<String> = removed.collect();
        let digests = &self.digests;
        let has = |field: &str, text: &str| known.fields.get(field) == Some(&digests.hash_one(text));
        let mut set: Vec<_> = wanted.into_iter().filter(|(field, text)| !has(field, text)).collect();
        // Rows before the rest of their totals, and all before what they replace.
        set.sort_unstable();
        for chunk in set.chunks(CHUNK) {
            let last = removed.len() <= CHUNK && chunk.len() < CHUNK;
            let removed = if last { std::mem::take(&mut removed) } else { Vec::new() };
            self.write(known, chunk.to_vec(), removed, now).await?;
        }
        for chunk in removed.chunks(CHUNK) {
            self.write(known, Vec::new(), chunk.to_vec(), now).await?;
        }
        Ok(())
    }

    /// Finds out what Redis has, where that is not known.
    async fn learn(&self, known: &mut Known, now: i64) -> Result<(), CopyError> {
        if known.is_whole {
            return Ok(());
        }
        if let Some(copied) = self.copies.read().await? {
            known.number = copied.number;
            known.fields =
                copied.fields.into_iter().map(|(field, text)| (field, self.digests.hash_one(text))).collect();
        } else {
            if self.copies.own_fence().await?.is_some() {
                return Err(CopyError::Fenced);
            }
            self.may_begin(known, now).await?;
            self.store.note_copied().await?;
            known.fields.clear();
            let begun = Changes { number: known.number + 1, begins: true, ..Changes::default() };
            known.number += 1;
            match self.copies.write(&begun).await? {
                Written::Done => {}
                Written::Fenced => return Err(CopyError::Fenced),
                Written::Lost | Written::Overtaken => return Err(CopyError::Overtaken),
            }
        }
        known.missing_since = None;
        known.heard_at = Some(now);
        known.is_whole = true;
        Ok(())
    }

    /// A copy that Redis has lost may have been taken over before.
    async fn may_begin(&self, known: &mut Known, now: i64) -> Result<(), CopyError> {
        let patience = i64::try_from(self.options.take_over_after.as_secs()).unwrap_or(i64::MAX);
        let missing_since = *known.missing_since.get_or_insert(now);
        let was_here = known.heard_at.is_some_and(|at| now - at < patience);
        if was_here || now - missing_since >= RESTORED_WITHIN || !self.store.was_copied().await? {
            return Ok(());
        }
        Err(CopyError::Waits)
    }

    async fn write(
        &self,
        known: &mut Known,
        set: Vec<(String, String)>,
        removed: Vec<String>,
        now: i64,
    ) -> Result<(), CopyError> {
        known.number += 1;
        let changes = Changes { number: known.number, begins: false, set, removed };
        // What is on its way is not known to be there any more, nor to be gone.
        for field in &changes.removed {
            known.fields.remove(field);
        }
        let was_whole = std::mem::replace(&mut known.is_whole, false);
        match self.copies.write(&changes).await? {
            Written::Done => {}
            Written::Fenced => return Err(CopyError::Fenced),
            Written::Lost | Written::Overtaken => return Err(CopyError::Overtaken),
        }
        known.is_whole = was_whole;
        known.heard_at = Some(now);
        let digests = &self.digests;
        known.fields.extend(changes.set.into_iter().map(|(field, text)| (field, digests.hash_one(text))));
        Ok(())
    }

    /// Reckons with what was taken over of this node. Until that is done nothing new is copied, so nothing new is sent.
    async fn reckon(&self, known: &mut Known, now: i64) -> Result<(), CopyError> {
        let Some(fence) = self.copies.own_fence().await? else { return Ok(()) };
        let give_up = now - fence.head.at_millis / 1_000 > GIVE_UP_AFTER;
        let rows = fenced_rows(&fence.fields);
        let count = rows.len();
        let mut held = 0;
        for slice in rows.chunks(SLICE) {
            held += self.store.reckon(slice.to_vec(), give_up, now).await?;
        }
        if held > 0 {
            tracing::warn!(
                held,
                by = fence.head.by,
                "meter events wait for the answers of the node that took them over"
            );
            return Err(CopyError::Fenced);
        }
        self.copies.settle_fence(fence.head.at_millis).await?;
        tracing::warn!(rows = count, by = fence.head.by, "what another node had taken over is reckoned with");
        *known = Known { number: known.number, heard_at: Some(now), ..Known::default() };
        Ok(())
    }
}
