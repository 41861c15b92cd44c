//! What this node must know at once: who wants units back, what Redis has lost, that it has come back.
//!
//! Each `next_…` is for one listener; what is not waited for is kept up to a bound.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use smol_str::SmolStr;
use tokio::sync::Notify;

use super::{FactsKey, Fleet, Question, Version, lock};

/// Recalls, hints and questions that wait for their listener. What comes beyond is dropped: who is short asks again,
/// and facts are found by other ways.
const WAITING: usize = 4_096;

/// One life of a bucket's customers in Redis: what this node has put into an earlier one is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Of the customers for whom [`Fleet::bucket`] answers it.
    pub bucket: u8,
    pub(super) marker: SmolStr,
}

/// One return of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoin(u64);

#[derive(Default)]
pub(super) struct Signals {
    recalls: Queue<SmolStr>,
    pub(super) hints: Queue<(FactsKey, Version)>,
    pub(super) questions: Queue<Question>,
    losses: Queue<Generation>,
    rejoins: Queue<Rejoin>,
    pub(super) hears: AtomicBool,
}

/// What waits for one listener.
pub(super) struct Queue<T> {
    waiting: Mutex<VecDeque<T>>,
    come: Notify,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), come: Notify::new() }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&self, item: T) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() < WAITING {
            waiting.push_back(item);
            self.come.notify_one();
        }
    }

    pub(super) fn extend(&self, item: Option<T>) {
        if let Some(item) = item {
            self.push(item);
        }
    }

    /// In the place of those that it makes void.
    fn replace(&self, item: T, is_void: impl Fn(&T) -> bool) {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|waiting| !is_void(waiting));
        waiting.push_back(item);
        self.come.notify_one();
    }

    pub(super) async fn next(&self) -> T {
        loop {
            // A statement of its own: the lock is not held while waiting.
            let first = lock(&self.waiting).pop_front();
            match first {
                Some(item) => return item,
                None => self.come.notified().await,
            }
        }
    }
}

impl Signals {
    pub(super) fn recall(&self, customer: SmolStr) {
        self.recalls.push(customer);
    }

    pub(super) fn lose(&self, generation: Generation) {
        let bucket = generation.bucket;
        self.losses.replace(generation, |waiting| waiting.bucket == bucket);
    }

    pub(super) fn rejoin(&self, turn: u64) {
        self.rejoins.replace(Rejoin(turn), |_| true);
    }
}

impl Fleet {
    /// Another node is short of what this one may hold of the customer: call, keeping no more than is in flight.
    pub async fn next_recall(&self) -> SmolStr {
        self.signals.recalls.next().await
    }

    /// A bucket in which Redis does not have what this node knows: call for all its customers, with what was last seen
    /// of the others, then say [`Fleet::put_back`].
    pub async fn next_loss(&self) -> Generation {
        self.signals.losses.next().await
    }

    /// Redis is there (again): call for all who have changed, put all facts that wait, then say [`Fleet::rejoined`].
    pub async fn next_rejoin(&self) -> Rejoin {
        self.signals.rejoins.next().await
    }

    /// What waited has been told. Nothing happens if Redis has been lost since.
    pub fn rejoined(&self, rejoin: Rejoin) {
        self.link.settle_in(rejoin.0);
    }

    /// This node does not hear what is published: it must keep no more than it uses until it does.
    pub fn is_deaf(&self) -> bool {
        !self.signals.hears.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(bucket: u8, marker: &str) -> Generation {
        Generation { bucket, marker: marker.into() }
    }

    #[tokio::test]
    async fn a_later_loss_of_a_bucket_makes_the_earlier_one_void() {
        let signals = Signals::default();
        signals.lose(generation(1, "a"));
        signals.lose(generation(2, "b"));
        signals.lose(generation(1, "c"));
        assert_eq!(signals.losses.next().await, generation(2, "b"));
        assert_eq!(signals.losses.next().await, generation(1, "c"));
        assert!(lock(&signals.losses.waiting).is_empty());
    }

    #[tokio::test]
    async fn what_nobody_listens_to_is_bounded() {
        let signals = Signals::default();
        for n in 0..WAITING + 10 {
            signals.recall(SmolStr::new(n.to_string()));
        }
        assert_eq!(lock(&signals.recalls.waiting).len(), WAITING);
        assert_eq!(signals.recalls.next().await, "0");
    }
}
