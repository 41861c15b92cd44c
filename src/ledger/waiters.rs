//! Those who wait for their records to be durable.
//!
//! - Nobody is told that a record is durable before it is.
//! - A sync wakes those whose records it covers, each once, and nobody else. Whose record is durable already does not
//!   sleep, and takes no lock.
//! - Everybody is told something: a disk that does not sync in time is an error, and so is the end of the ledger. A
//!   failed sync alone is none: its records are written again, mostly in time.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a response waits for its record to be durable before it is refused.
const DURABLE_WITHIN: Duration = Duration::from_secs(5);
/// How often somebody looks for those who have waited for longer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Waiters {
    /// Every record below this number is durable.
    next_record: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// As many as there are responses under way: few enough to be looked through.
    waiting: Vec<Waiter>,
    next_ticket: u64,
    closed: bool,
}

struct Waiter {
    ticket: u64,
    record: u64,
    until: Instant,
    waker: Waker,
}

/// The record was not durable in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late;

impl Waiters {
    pub fn new(next_record: u64) -> Self {
        Self { next_record: AtomicU64::new(next_record), queue: Mutex::default() }
    }

    /// Ready when the record is durable, or will not be in time.
    pub fn wait(&self, record: u64) -> Wait<'_> {
        Wait { waiters: self, record, ticket: None }
    }

    /// Every record below this number is durable.
    pub fn reach(&self, next_record: u64) {
        let queue = self.queue();
        self.next_record.store(next_record, Ordering::Release);
        dismiss(queue, |waiter| waiter.record < next_record);
    }

    /// Nothing more becomes durable.
    pub fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        dismiss(queue, |_| true);
    }

    fn expire(&self, now: Instant) {
        dismiss(self.queue(), |waiter| waiter.until <= now);
    }

    /// Looks after those who wait for too long, on a thread of its own until all is closed: the ledger's stands still
    /// with the disk, and a timer for each would cost more than the wait.
    pub fn spawn_watch(self: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let waiters = self.clone();
        thread::Builder::new().name("ledger-late".into()).spawn(move || {
            while !waiters.queue().closed {
                thread::park_timeout(LOOK_EVERY);
                waiters.expire(Instant::now());
            }
        })
    }

    fn is_durable(&self, record: u64) -> bool {
        record < self.next_record.load(Ordering::Acquire)
    }

    /// Every change of it is one step: a panic elsewhere leaves it valid.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes those out of the queue, and wakes them when it is free again. They see by themselves why.
fn dismiss(mut queue: MutexGuard<'_, Queue>, which: impl Fn(&Waiter) -> bool) {
    let gone: Vec<Waker> =
        queue.waiting.extract_if(.., |waiter| which(waiter)).map(|gone| gone.waker).collect();
    drop(queue);
    gone.into_iter().for_each(Waker::wake);
}

pub(super) struct Wait<'a> {
    waiters: &'a Waiters,
    record: u64,
    /// In the queue, or dismissed from it.
    ticket: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = Result<(), Late>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (waiters, record) = (self.waiters, self.record);
        if waiters.is_durable(record) {
            self.ticket = None;
            return Poll::Ready(Ok(()));
        }
        let mut queue = waiters.queue();
        // A sync that has ended since has looked for those it covers already.
        if waiters.is_durable(record) {
            return Poll::Ready(Ok(()));
        }
        let waker = context.waker();
        match self.ticket {
            None if queue.closed => return Poll::Ready(Err(Late)),
            None => {
                let ticket = queue.next_ticket;
                queue.next_ticket += 1;
                let until = Instant::now() + DURABLE_WITHIN;
                queue.waiting.push(Waiter { ticket, record, until, waker: waker.clone() });
                self.ticket = Some(ticket);
            }
            Some(ticket) => match queue.waiting.iter_mut().find(|waiter| waiter.ticket == ticket) {
                Some(waiter) => waiter.waker.clone_from(waker),
                None => return Poll::Ready(Err(Late)),
            },
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    /// Who leaves early leaves the queue. Their waker is dropped when it is free again: it may be the last of a task.
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut queue = self.waiters.queue();
        let place = queue.waiting.iter().position(|waiter| waiter.ticket == ticket);
        let gone = place.map(|place| queue.waiting.swap_remove(place));
        drop(queue);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn poll(self: &Arc<Self>, wait: Pin<&mut Wait<'_>>) -> Poll<Result<(), Late>> {
            let waker = self.clone().into();
            wait.poll(&mut Context::from_waker(&waker))
        }

        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    const DURABLE: Poll<Result<(), Late>> = Poll::Ready(Ok(()));
    const LATE: Poll<Result<(), Late>> = Poll::Ready(Err(Late));

    #[test]
    fn a_sync_wakes_those_whose_records_it_covers_and_nobody_else() {
        let waiters = Waiters::new(1);
        let (first, second) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        let (mut one, mut two) = (pin!(waiters.wait(1)), pin!(waiters.wait(2)));
        assert!(second.poll(two.as_mut()).is_pending());
        assert!(first.poll(one.as_mut()).is_pending());
        waiters.reach(2);
        assert_eq!((first.times(), second.times()), (1, 0));
        assert_eq!(first.poll(one.as_mut()), DURABLE);
        assert!(second.poll(two.as_mut()).is_pending(), "its record is not on disk");
        waiters.reach(3);
        assert_eq!((first.times(), second.times()), (1, 1));
        assert_eq!(second.poll(two.as_mut()), DURABLE);
        assert_eq!(first.poll(pin!(waiters.wait(2))), DURABLE, "it is durable already");
        assert!(waiters.queue().waiting.is_empty());
    }

    #[test]
    fn whoever_has_waited_for_too_long_is_told_so() {
        let (waiters, woken) = (Waiters::new(1), Arc::<Woken>::default());
        let mut wait = pin!(waiters.wait(1));
        assert!(woken.poll(wait.as_mut()).is_pending());
        waiters.expire(Instant::now());
        assert!(woken.poll(wait.as_mut()).is_pending(), "it is not time");
        waiters.expire(Instant::now() + DURABLE_WITHIN);
        assert_eq!((woken.times(), woken.poll(wait.as_mut())), (1, LATE));
    }

    #[test]
    fn at_the_end_everybody_is_told_and_nobody_waits_any_more() {
        let (waiters, woken) = (Waiters::new(1), Arc::<Woken>::default());
        let mut wait = pin!(waiters.wait(1));
        assert!(woken.poll(wait.as_mut()).is_pending());
        waiters.close();
        assert_eq!((woken.times(), woken.poll(wait.as_mut())), (1, LATE));
        assert_eq!(woken.poll(pin!(waiters.wait(1))), LATE);
        assert_eq!(woken.poll(pin!(waiters.wait(0))), DURABLE);
    }

    #[test]
    fn the_last_waker_is_the_one_that_counts_and_who_leaves_is_forgotten() {
        let waiters = Waiters::new(1);
        let (before, after) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        {
            let mut wait = pin!(waiters.wait(1));
            assert!(before.poll(wait.as_mut()).is_pending());
            assert!(after.poll(wait.as_mut()).is_pending());
            assert_eq!(waiters.queue().waiting.len(), 1);
            let mut leaves = pin!(waiters.wait(1));
            assert!(before.poll(leaves.as_mut()).is_pending());
            waiters.reach(2);
            assert_eq!(after.times(), 1);
        }
        let mut leaves = Box::pin(waiters.wait(2));
        assert!(before.poll(leaves.as_mut()).is_pending());
        drop(leaves);
        assert!(waiters.queue().waiting.is_empty());
    }
}
