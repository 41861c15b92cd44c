//! The fleet's part in admission: claims on what several gateways share.
//!
//! # What it promises
//!
//! - A request waits for Redis only where the customer's claims do not cover it, for [`Options::lease_wait`] at most,
//!   and never behind more than [`MOST_WAITING`] others: beyond that, and without Redis, it is told so at once.
//! - One call is under way for a customer at a time. All who need it wait for the same one, and it is made for them
//!   whether they stay or not.
//! - A customer is *awake* from a first call until all that was lent and not used has been given back and told. Nothing
//!   is admitted for one who sleeps. So whoever holds unused units is looked at in each tick.
//! - What has changed is told within a tick, as long as Redis answers.
//!
//! Lock order: the desk, then an account.

mod calls;
mod rebuild;
mod recall;
mod refill;
mod tick;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot};

use crate::domain::account::Notes;
use crate::domain::usage::Now;
use crate::fleet::{Lender, LinkState, Version, Words, lot_code};
use crate::live::Live;
use crate::store::Grant;

use super::Customers;
use super::entry::Entry;
use super::reached::Reached;
use calls::{Job, Outcome};

/// Requests that wait for an answer of Redis at the same time.
pub const MOST_WAITING: usize = 4_096;
/// Customers are spread over so many locks.
const DESKS: usize = 16;

/// How leases are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The longest that a request waits.
    pub lease_wait: Duration,
    /// Without Redis, whether a bounded allowance is admitted beyond the claims; else nothing is.
    pub degrades: bool,
}

/// Who knows the facts that terms follow from.
pub trait Learner: Send + Sync {
    /// The fleet has newer ones: takes them in, and puts the customer's terms in force.
    fn take_in(&self, customer: SmolStr, version: Version, facts: Box<[u8]>) -> BoxFuture<'_, ()>;
    /// The fleet has older ones than this node: they should be put there.
    fn put(&self, customer: SmolStr);
}

/// What this node holds of limits that it shares.
pub struct Leases {
    lender: Arc<dyn Lender>,
    words: Live<Words>,
    options: Options,
    desks: [Mutex<Desk>; DESKS],
    jobs: mpsc::UnboundedSender<Job>,
    /// Until [`Leases::run`] takes them up.
    made: Mutex<Option<mpsc::UnboundedReceiver<Job>>>,
    waiting: AtomicUsize,
    learner: OnceLock<Arc<dyn Learner>>,
    /// Told of limits that are reached by what the others have used.
    told: OnceLock<mpsc::UnboundedSender<Reached>>,
}

/// Customers who are awake or called for, by number.
type Desk = HashMap<u32, Place>;

struct Place {
    entry: Arc<Entry>,
    /// Who waits for the call that is under way, where one is.
    under_way: Option<Vec<oneshot::Sender<Outcome>>>,
    /// Its last call gave back what was not in flight.
    returned: bool,
}

impl Leases {
    pub fn new(lender: Arc<dyn Lender>, words: Arc<Words>, options: Options) -> Arc<Self> {
        let (jobs, made) = mpsc::unbounded_channel();
        Arc::new(Self {
            lender,
            words: Live::new(words),
            options,
            desks: std::array::from_fn(|_| Mutex::default()),
            jobs,
            made: Mutex::new(Some(made)),
            waiting: AtomicUsize::new(0),
            learner: OnceLock::new(),
            told: OnceLock::new(),
        })
    }

    /// What meters and routes are called from now on: those that were there as before, and new ones.
    pub fn set_words(&self, words: Arc<Words>) {
        self.words.set(words);
    }

    /// Who is told of newer and of older facts; the first who is named.
    pub fn set_learner(&self, learner: Arc<dyn Learner>) {
        let _ = self.learner.set(learner);
    }

    /// Customers who are awake.
    pub fn awake(&self) -> usize {
        (0..DESKS).map(|number| self.locked(number).len()).sum()
    }

    /// Has what changed without a request told to the fleet.
    pub(super) fn stir(&self, entry: &Arc<Entry>) {
        let mut desk = self.desk(entry.number);
        if let Some(notes) = entry.account().notes_mut() {
            notes.is_awake = true;
            place(&mut desk, entry).returned = false;
        }
    }

    /// Everyone on the desks.
    fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = |number| self.locked(number).values().map(|at| at.entry.clone()).collect::<Vec<_>>();
        (0..DESKS).flat_map(entries).collect()
    }

    fn is_linked(&self) -> bool {
        matches!(self.lender.state(), LinkState::Here | LinkState::Rejoining)
    }

    fn desk(&self, customer: u32) -> MutexGuard<'_, Desk> {
        self.locked(customer as usize % DESKS)
    }

    /// Every change under the lock is complete when a panic elsewhere could poison it.
    fn locked(&self, number: usize) -> MutexGuard<'_, Desk> {
        self.desks[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room to wait in, until it is dropped.
    fn room(&self) -> Option<Room<'_>> {
        let room = Room(&self.waiting);
        (self.waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(room)
    }
}

fn place<'a>(desk: &'a mut Desk, entry: &Arc<Entry>) -> &'a mut Place {
    let empty = || Place { entry: entry.clone(), under_way: None, returned: false };
    desk.entry(entry.number).or_insert_with(empty)
}

struct Room<'a>(&'a AtomicUsize);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Customers {
    /// The same on one of several nodes. Behind [`Customers::telling`].
    #[must_use]
    pub fn with_fleet(mut self, leases: Arc<Leases>) -> Self {
        if let Some(told) = &self.reached {
            let _ = leases.told.set(told.clone());
        }
        self.fleet = Some(leases);
        self
    }

    pub fn leases(&self) -> Option<&Arc<Leases>> {
        self.fleet.as_ref()
    }

    /// After a change without a request.
    pub(super) fn stir(&self, entry: &Arc<Entry>) {
        if let Some(leases) = &self.fleet {
            leases.stir(entry);
        }
    }
}

/// Of an account that was just loaded.
pub(super) fn first_notes(leases: &Leases, grants: &[Grant], version: [u8; 8]) -> Notes {
    Notes { version, lots: named(grants), nodes: leases.lender.nodes(), ..Notes::default() }
}

/// Grants as the fleet calls them.
pub(super) fn named(grants: &[Grant]) -> SmallVec<[(i64, u32); 1]> {
    grants.iter().map(|grant| (grant.number, lot_code(&grant.cause))).collect()
}

/// Time that has passed since an instant, as the wall clock has it.
fn later(now: Now, by: Duration) -> Now {
    Now(now.nanos().saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod bank;
#[cfg(test)]
mod tests;
