//! Calls to the fleet, settled in Redis: one script for many customers of a bucket.
//!
//! Each bucket in Redis has a *marker*: the life that its customers are in. One that this node has not seen means that
//! what it knows is not there ([`Fleet::next_loss`]); while Redis waits for the nodes to put it back, nothing is lent.
//! With another process of Redis a new life begins: a replica, or a file, may lack the last that was lent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream;
use redis::Value;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::link::Lane;
use super::wire::{self, Line};
use super::{
    Answered, Away, Fleet, Generation, Lender, LinkState, Named, Unsettled, keys, lock, scripts, values,
};
use crate::metrics::METRICS;

/// Customers in one script: it holds up all others for so long (3 ms).
const BATCH: usize = 64;
/// Scripts under way at once for one who asks.
const AT_ONCE: usize = 16;
/// Nodes that are there but have not put back what they know are waited for so long.
const REBUILD_WITHIN: Duration = Duration::from_secs(30);

/// What was last seen of a bucket's marker.
#[derive(Clone, Debug, Default)]
pub(super) struct Marker {
    id: SmolStr,
    calls: i64,
    /// It could not be said that all is back: asked for again as soon as Redis answers.
    is_owed: bool,
}

/// What a node has seen of the lives of all buckets, for the next process on its ledger: it finds out what Redis has
/// lost between the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lives {
    slot: u32,
    /// Of each bucket its marker, and the count of the last answer.
    seen: [(String, i64); 16],
}

impl Lender for Fleet {
    fn settle(&self, calls: Vec<Named>) -> BoxFuture<'_, Vec<Result<Answered, Unsettled>>> {
        Box::pin(self.settle_all(calls))
    }

    fn state(&self) -> LinkState {
        self.link.state()
    }

    fn nodes(&self) -> u32 {
        let live = self.members.load().iter().filter(|member| member.is_live).count();
        u32::try_from(live).unwrap_or(u32::MAX).max(1)
    }
}

/// Calls for customers of one bucket.
struct Batch<'a> {
    bucket: u8,
    calls: Vec<(usize, &'a Named, Line)>,
}

impl Fleet {
    /// The bucket of a customer: 0 to 15.
    pub fn bucket(customer: &str) -> u8 {
        keys::bucket(customer)
    }

    pub fn lives(&self) -> Lives {
        let markers = lock(&self.markers).clone();
        Lives { slot: self.slot, seen: markers.map(|marker| (marker.id.into(), marker.calls)) }
    }

    /// What an earlier process has seen; before this one joins. Another ledger's tells nothing.
    pub fn remember(&self, lives: Lives) {
        if lives.slot == self.slot {
            let marker = |(id, calls): (String, i64)| Marker { id: id.into(), calls, is_owed: false };
            *lock(&self.markers) = lives.seen.map(marker);
        }
    }

    async fn settle_all(&self, calls: Vec<Named>) -> Vec<Result<Answered, Unsettled>> {
        let batches = batches(&calls);
        let live = self.live_slots();
        let mut each = Vec::with_capacity(batches.len());
        for batch in &batches {
            each.push(self.settle_batch(batch, &live));
        }
        let answers: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
        let mut placed: Vec<Result<Answered, Unsettled>> = Vec::new();
        placed.resize_with(calls.len(), || Err(Unsettled::Away));
        for (batch, answers) in batches.iter().zip(answers) {
            for ((at, ..), answer) in batch.calls.iter().zip(answers.unwrap_or_default()) {
                placed[*at] = answer;
            }
        }
        placed
    }

    /// What cannot be settled for one customer, since somebody has put something else at their key, is for the others.
    async fn settle_batch(
        &self,
        batch: &Batch<'_>,
        live: &str,
    ) -> Result<Vec<Result<Answered, Unsettled>>, Away> {
        METRICS.fleet_lease_calls.inc();
        let answer = self.ask_bucket(batch, live).await.inspect_err(|Away| {
            tracing::debug!(bucket = batch.bucket, calls = batch.calls.len(), "a lease has no answer");
        })?;
        let read = |(_, named, line): &(usize, &Named, Line), answer| {
            let answered = wire::answered(named, line, answer).map_err(|why| {
                self.link.say("redis_answers_strangely", why);
                Unsettled::Unreadable
            });
            let settled = answered.as_ref().map(|answered| &answered.settled);
            tracing::debug!(customer = %named.customer, asks = ?named.call.asks, ?settled, "a lease is settled");
            answered
        };
        match self.read_header(batch.bucket, &answer, false) {
            Some(answers) if answers.len() == batch.calls.len() => {
                Ok(batch.calls.iter().zip(answers).map(|(call, answer)| read(call, answer)).collect())
            }
            _ => Err(strange("a lease")),
        }
    }

    async fn ask_bucket(&self, batch: &Batch<'_>, live: &str) -> Result<Value, Away> {
        let known = lock(&self.markers)[usize::from(batch.bucket)].clone();
        let mut script = scripts::LEASE.key(keys::marker(batch.bucket));
        for (_, named, _) in &batch.calls {
            script.key(keys::customer(&named.customer));
        }
        let rest = self.publish_interval * 2;
        script.arg(&self.slot_text).arg(live);
        script.arg(if known.id.is_empty() { "-" } else { known.id.as_str() }).arg(known.calls);
        script.arg(millis(rest)).arg(millis(REBUILD_WITHIN));
        for (_, _, line) in &batch.calls {
            script.arg(&line.text);
        }
        self.link.script(Lane::Bucket(batch.bucket), &script).await
    }

    /// Takes the marker in, and answers what follows it. A marker that was not known, or `is_asked` for and without
    /// this node's part, is told as a loss.
    fn read_header<'a>(&self, bucket: u8, answer: &'a Value, is_asked: bool) -> Option<&'a [Value]> {
        let [id, calls, _now, is_back, answers @ ..] = values::array(answer)? else { return None };
        let id = SmolStr::new(values::text(id)?);
        let calls = values::integer(calls)?;
        let is_back = values::integer(is_back)? == 1;
        let is_told = {
            let marker = &mut lock(&self.markers)[usize::from(bucket)];
            let is_new = marker.id != id;
            let seen = if is_new { 0 } else { marker.calls };
            let is_told = !is_back && (is_new || is_asked || marker.is_owed);
            *marker = Marker { id: id.clone(), calls: calls.max(seen), is_owed: false };
            is_told
        };
        if is_told {
            self.signals.lose(Generation { bucket, marker: id });
        }
        Some(answers)
    }

    /// Looks whether Redis has lost a bucket; `is_asked`: says so even if it is known, as who puts it back may have
    /// failed.
    pub(super) async fn touch(&self, bucket: u8, is_asked: bool) -> Result<(), Away> {
        let batch = Batch { bucket, calls: Vec::new() };
        let answer = self.ask_bucket(&batch, &self.live_slots()).await?;
        self.read_header(bucket, &answer, is_asked).map(|_| ()).ok_or_else(|| strange("a marker"))
    }

    pub(super) async fn touch_all(&self, is_asked: bool) {
        // Who is away shows at the next call.
        let _ = join_all((0..16).map(|bucket| self.touch(bucket, is_asked))).await;
    }

    /// All that this node knows of the bucket has been put back. `false`: it has been lost again. That, and that
    /// Redis did not answer, [`Fleet::next_loss`] says again.
    pub async fn put_back(&self, generation: &Generation) -> Result<bool, Away> {
        let mut script = scripts::BACK.key(keys::marker(generation.bucket));
        script.arg(&self.slot_text).arg(generation.marker.as_str());
        let answer = self.link.script(Lane::Bucket(generation.bucket), &script).await;
        let answer = answer.inspect_err(|_| self.owe(generation.bucket))?;
        let is_back = values::integer(&answer) == Some(1);
        if !is_back {
            self.touch(generation.bucket, false).await?;
        }
        Ok(is_back)
    }

    /// Not all that this node knows of the bucket could be put back: [`Fleet::next_loss`] says so again, once it
    /// answers.
    pub fn owe(&self, bucket: u8) {
        lock(&self.markers)[usize::from(bucket % 16)].is_owed = true;
    }

    /// Buckets of which it could not be said that all is back.
    pub(super) fn owed(&self) -> Vec<u8> {
        let markers = lock(&self.markers);
        (0..16).zip(&*markers).filter(|(_, marker)| marker.is_owed).map(|(bucket, _)| bucket).collect()
    }

    /// With commas; this node's is among them.
    fn live_slots(&self) -> Arc<String> {
        self.live.load_full()
    }
}

fn batches(calls: &[Named]) -> Vec<Batch<'_>> {
    let mut batches: Vec<Batch<'_>> = Vec::new();
    let mut open = [None; 16];
    for (at, named) in calls.iter().enumerate() {
        let bucket = keys::bucket(&named.customer);
        let open = &mut open[usize::from(bucket)];
        let has_room = |at: &usize| batches[*at].calls.len() < BATCH;
        let batch = open.filter(has_room).unwrap_or_else(|| {
            batches.push(Batch { bucket, calls: Vec::new() });
            batches.len() - 1
        });
        *open = Some(batch);
        batches[batch].calls.push((at, named, wire::line(named)));
    }
    batches
}

/// What cannot be read is no answer.
pub(super) fn strange(what: &str) -> Away {
    tracing::warn!(what, "redis_answers_strangely");
    Away
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
