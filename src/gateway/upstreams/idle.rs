//! Idle connections to one server, kept for the next request.
//!
//! The newest is taken first, so that those beyond what the load needs grow old and are closed. What the server has
//! closed meanwhile is seen when it is taken.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;
use tokio::time::Sleep;

use crate::sharded;

/// A connection to a server, and the timer of what is waited for on it: re-arming one costs less than making one.
pub struct Link {
    pub stream: Stream,
    pub timer: Pin<Box<Sleep>>,
}

/// The idle connections to one server: each thread keeps its own, and takes another's when it has none.
pub(super) struct Idle {
    shards: Box<[Shard]>,
    /// In each shard.
    most: AtomicUsize,
}

#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<Vec<(Instant, Link)>>);

impl Idle {
    pub fn new(most: usize) -> Self {
        Self {
            shards: std::iter::repeat_with(Shard::default).take(sharded::shards()).collect(),
            most: most.into(),
        }
    }

    /// One that is still open, if there is any.
    pub fn take(&self) -> Option<Link> {
        let own = sharded::own_shard();
        let others = (1..self.shards.len()).map(|next| &self.shards[(own + next) % self.shards.len()]);
        self.shards[own].take().or_else(|| others.into_iter().find_map(Shard::take))
    }

    /// Keeps one for later, or closes it when there are enough.
    pub fn keep(&self, link: Link, now: Instant) {
        let mut kept = self.shards[sharded::own_shard()].kept();
        if kept.len() < self.most.load(Ordering::Relaxed) {
            kept.push((now, link));
        }
    }

    /// Closes all, and keeps none from now on.
    pub fn close_for_good(&self) {
        // Whoever comes behind this one finds it at the lock.
        self.most.store(0, Ordering::Relaxed);
        self.shards.iter().for_each(|shard| shard.kept().clear());
    }

    /// Closes those that nobody has needed for `longest`, and those that the server has closed.
    pub fn close_old(&self, longest: Duration) {
        let now = Instant::now();
        for shard in &self.shards {
            shard.kept().retain_mut(|(since, link)| {
                now.saturating_duration_since(*since) < longest && is_open(&mut link.stream)
            });
        }
    }
}

impl Shard {
    fn take(&self) -> Option<Link> {
        loop {
            let (_, mut link) = self.kept().pop()?;
            if is_open(&mut link.stream) {
                return Some(link);
            }
        }
    }

    /// A panic elsewhere leaves a list of connections.
    fn kept(&self) -> MutexGuard<'_, Vec<(Instant, Link)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that says something unasked has closed the connection, or is not to be understood.
fn is_open(stream: &mut Stream) -> bool {
    // Outside the task's budget, which would make every connection look silent once it is used up.
    tokio::task::unconstrained(stream.read(&mut [0])).now_or_never().is_none()
}
