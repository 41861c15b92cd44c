//! A Redis for copies and fences, in memory: it does what the scripts do, and loses what it is told to lose.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::fleet::Away;
use crate::fleet::copy::{Changes, Copied, Copies, Fence, FenceHead, FenceState, Fields, LostNode, Written};

/// What is there of one node.
#[derive(Clone, Default)]
pub struct Slot {
    copy: Option<(u64, BTreeMap<String, String>)>,
    fence: Option<(FenceHead, BTreeMap<String, String>)>,
}

/// How a node's commands fare.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Fine,
    /// Done, and the answer is lost.
    Silent,
    /// A write comes later.
    Late,
    Cut,
}

#[derive(Default)]
pub struct State {
    pub slots: BTreeMap<u32, Slot>,
    /// Writes that are still on their way.
    pub late: Vec<(u32, Changes)>,
    pub now: i64,
    pub lost: Vec<u32>,
}

/// Where an operation stops, and whether it has.
#[derive(Default)]
pub struct Stops {
    pub left: Option<u32>,
    pub is_stopped: bool,
}

pub struct Connection {
    pub slot: u32,
    pub ledger: String,
    pub redis: Arc<Mutex<State>>,
    pub stops: Arc<Mutex<Stops>>,
    pub fate: Mutex<Fate>,
    /// Since when Redis has been there; long ago, unless a test says something else.
    pub back_at: Mutex<i64>,
}

pub fn ledger_of(slot: u32) -> String {
    format!("{slot:032x}")
}

/// A point at which the machine may stop: for ever, or for a while.
pub async fn point(stops: &Mutex<Stops>) {
    {
        let mut stops = stops.lock().expect("stops");
        match &mut stops.left {
            None => return,
            Some(0) => stops.is_stopped = true,
            Some(left) => {
                *left -= 1;
                return;
            }
        }
    }
    poll_fn(|_| if stops.lock().expect("stops").is_stopped { Poll::Pending } else { Poll::Ready(()) }).await;
}

impl State {
    pub fn write(&mut self, slot: u32, changes: &Changes) -> Written {
        let slot = self.slots.entry(slot).or_default();
        if slot.fence.as_ref().is_some_and(|(head, _)| head.state != FenceState::Settled) {
            return Written::Fenced;
        }
        if slot.copy.is_none() && !changes.begins {
            return Written::Lost;
        }
        let (number, fields) = slot.copy.get_or_insert_default();
        if *number >= changes.number && *number > 0 {
            return Written::Overtaken;
        }
        *number = changes.number;
        fields.extend(changes.set.iter().cloned());
        for field in &changes.removed {
            fields.remove(field);
        }
        Written::Done
    }

    fn take(&mut self, slot: u32, by: &str) -> bool {
        let (now, lost) = (self.now, self.lost.clone());
        let slot = self.slots.entry(slot).or_default();
        if let Some((head, _)) = slot.fence.as_mut().filter(|(head, _)| head.state != FenceState::Settled) {
            let is_lost = lost.iter().any(|node| ledger_of(*node) == head.by);
            if head.by != by && is_lost && head.state != FenceState::Sent {
                (head.by, head.inherited) = (by.to_owned(), true);
            }
            return head.by == by;
        }
        let Some((_, fields)) = slot.copy.take() else { return false };
        let at_millis = now * 1_000;
        slot.fence = Some((
            FenceHead { by: by.to_owned(), at_millis, inherited: false, state: FenceState::Taken },
            fields,
        ));
        true
    }

    fn note(&mut self, slot: u32, at_millis: i64, to: Option<FenceState>, answers: &Fields) {
        let slot = self.slots.entry(slot).or_default();
        let Some((head, fields)) = slot.fence.as_mut().filter(|(head, _)| head.at_millis == at_millis) else {
            return;
        };
        match to {
            Some(FenceState::Settled) => head.state = FenceState::Settled,
            Some(FenceState::Sent) if head.state == FenceState::Taken => head.state = FenceState::Sent,
            _ => {}
        }
        for (field, answer) in answers {
            if fields.get(field).is_none_or(|known| known != "accepted") {
                fields.insert(field.clone(), answer.clone());
            }
        }
    }

    fn whole_fence(&mut self, slot: u32) -> Option<Fence> {
        let (head, fields) = self.slots.entry(slot).or_default().fence.clone()?;
        Some(Fence { head, fields: fields.into_iter().collect() })
    }

    pub fn has_open_fence(&self) -> bool {
        let mut fences = self.slots.values().filter_map(|slot| slot.fence.as_ref());
        fences.any(|(head, _)| head.state != FenceState::Settled)
    }
}

impl Connection {
    async fn run<T: Send>(&self, command: impl FnOnce(&mut State) -> T + Send) -> Result<T, Away> {
        point(&self.stops).await;
        let fate = *self.fate.lock().expect("fate");
        if fate == Fate::Cut {
            return Err(Away);
        }
        let done = command(&mut self.redis.lock().expect("redis"));
        point(&self.stops).await;
        if fate == Fate::Fine { Ok(done) } else { Err(Away) }
    }
}

impl Copies for Connection {
    fn ledger(&self) -> &str {
        &self.ledger
    }

    fn write<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<Written, Away>> {
        let is_late = *self.fate.lock().expect("fate") == Fate::Late;
        Box::pin(self.run(move |redis| {
            if is_late {
                redis.late.push((self.slot, changes.clone()));
                return Written::Done;
            }
            redis.write(self.slot, changes)
        }))
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Copied>, Away>> {
        Box::pin(self.run(|redis| {
            let (number, fields) = redis.slots.entry(self.slot).or_default().copy.clone()?;
            Some(Copied { number, fields: fields.into_iter().collect() })
        }))
    }

    fn own_fence(&self) -> BoxFuture<'_, Result<Option<Fence>, Away>> {
        Box::pin(self.run(|redis| {
            redis.whole_fence(self.slot).filter(|fence| fence.head.state != FenceState::Settled)
        }))
    }

    fn settle_fence(&self, at_millis: i64) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(self.run(move |redis| {
            redis.note(self.slot, at_millis, Some(FenceState::Settled), &Fields::new());
        }))
    }

    fn lost_nodes(&self) -> Vec<LostNode> {
        let redis = self.redis.lock().expect("redis");
        let lost = redis.lost.iter().filter(|slot| **slot != self.slot);
        lost.map(|slot| LostNode { slot: *slot, ledger: ledger_of(*slot) }).collect()
    }

    fn here_for(&self) -> Duration {
        let since = *self.back_at.lock().expect("since");
        Duration::from_secs((self.redis.lock().expect("redis").now - since).unsigned_abs())
    }

    fn take_over(&self, slot: u32) -> BoxFuture<'_, Result<Option<Fence>, Away>> {
        Box::pin(async move {
            let taken = self.run(|redis| redis.take(slot, &self.ledger)).await?;
            if taken { self.run(|redis| redis.whole_fence(slot)).await } else { Ok(None) }
        })
    }

    fn fence(&self, slot: u32) -> BoxFuture<'_, Result<Option<FenceHead>, Away>> {
        Box::pin(self.run(move |redis| redis.whole_fence(slot).map(|fence| fence.head)))
    }

    fn put_fence<'a>(&'a self, slot: u32, fence: &'a Fence) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(self.run(move |redis| {
            let slot = redis.slots.entry(slot).or_default();
            slot.fence.get_or_insert_with(|| (fence.head.clone(), fence.fields.iter().cloned().collect()));
        }))
    }

    fn note_answers<'a>(
        &'a self,
        slot: u32,
        at_millis: i64,
        answers: &'a [(String, String)],
        is_sent: bool,
    ) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(self.run(move |redis| {
            redis.note(slot, at_millis, is_sent.then_some(FenceState::Sent), &answers.to_vec());
        }))
    }

    fn clear_fence(&self, slot: u32, at_millis: i64) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(self.run(move |redis| {
            let slot = redis.slots.entry(slot).or_default();
            let goes = |head: &FenceHead| head.at_millis == at_millis && head.state != FenceState::Taken;
            if slot.fence.as_ref().is_some_and(|(head, _)| goes(head)) {
                slot.fence = None;
            }
        }))
    }
}
