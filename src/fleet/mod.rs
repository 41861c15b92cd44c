//! The fleet: several gateways that share a Redis (or Valkey).
//!
//! Redis is a meeting place, not a truth: each node's ledger and store have all that is billed, and what Redis loses
//! they put back. Nothing here decides; it carries calls, facts and copies to Redis and back, within a deadline.

mod address;
mod ask;
mod charged;
mod claims;
pub mod copy;
mod facts;
mod hear;
mod keys;
mod lease;
mod link;
mod members;
mod probe;
mod reports;
mod scripts;
mod servers;
mod signals;
mod values;
mod wire;
mod words;

#[cfg(test)]
mod book_tests;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::clock;
use crate::domain::lease::{Call, Settled};
use lease::Marker;
use link::Link;
use members::Heart;
use signals::Signals;

pub use address::{Address, Layout};
pub use ask::{Answer, Question};
pub use claims::{Claim, ClaimState};
pub use facts::{FactsKey, News, Put};
pub use lease::Lives;
pub use members::{JoinError, Member};
pub use probe::{RedisSeen, probe};
pub use reports::Report;
pub use signals::{Generation, Rejoin};
pub use words::{Words, lot_code};

/// A command has no answer: Redis is away, slow, or does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct Away;

/// Why a call for a customer has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    Away,
    /// Redis is there, and something that is not ours lies at this customer's key: nobody is lent anything of it.
    Unreadable,
}

/// The version of a customer's facts, as Redis gave it out: eight digits of base 36 that compare as the numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub [u8; 8]);

impl Version {
    /// Nothing is known to the fleet.
    pub const NONE: Self = Self(*b"00000000");
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("00000000"))
    }
}

/// A call, and for whom.
#[derive(Clone, Debug)]
pub struct Named {
    pub customer: SmolStr,
    /// The version of the facts that its limits follow from.
    pub version: Version,
    pub call: Call,
    /// What the fleet calls the meters and routes of the call.
    pub words: Arc<Words>,
    /// What it calls its grants: their numbers here, and the codes of their causes.
    pub lots: SmallVec<[(i64, u32); 1]>,
    /// What was last seen of the other nodes, where Redis has lost it; as it came.
    pub others: Box<str>,
}

/// The answer for one customer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub version: Version,
    pub settled: Settled,
    /// Newer facts, where the call was behind them.
    pub facts: Option<Box<[u8]>>,
    /// What the other nodes say, where that was asked for.
    pub others: Box<str>,
}

/// Whether Redis can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    Here,
    /// It has come back, and what it must know is being put there.
    Rejoining,
    Away,
    /// It has never been here since the start.
    Unknown,
}

/// Who settles calls.
pub trait Lender: Send + Sync {
    /// In the order of the calls, and each on its own: where one server of several is away, the others answer.
    fn settle(&self, calls: Vec<Named>) -> BoxFuture<'_, Vec<Result<Answered, Unsettled>>>;
    fn state(&self) -> LinkState;
    /// Live nodes as last seen, this one among them.
    fn nodes(&self) -> u32;
}

/// What a member of the fleet is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    pub address: Address,
    /// A slower answer counts as none.
    pub timeout: Duration,
    /// How often what has changed is told to the others.
    pub publish_interval: Duration,
    /// A node not heard of for so long is lost.
    pub take_over_after: Duration,
    /// The node's own name.
    pub node: String,
    /// Of this node's ledger: 32 hexadecimal digits.
    pub ledger: String,
}

/// This node as a member of the fleet.
pub struct Fleet {
    link: Link,
    publish_interval: Duration,
    take_over_after: Duration,
    name: String,
    ledger: String,
    /// Of this run: a process that has been replaced finds out.
    process: String,
    slot: u32,
    slot_text: String,
    members: ArcSwap<Vec<Member>>,
    /// The slots of the live ones, with commas.
    live: ArcSwap<String>,
    markers: Mutex<[Marker; 16]>,
    signals: Signals,
    heart: Heart,
    /// The greatest time that has been told.
    last_micros: AtomicI64,
}

impl Fleet {
    /// Connects nothing yet: see [`Fleet::join`] and [`Fleet::run`].
    pub fn new(options: &Options) -> Result<Self, redis::RedisError> {
        let slot = keys::hash(&options.ledger) % keys::CODES4;
        let slot_text = keys::text::<4>(slot.into());
        Ok(Self {
            link: Link::new(&options.address, options.timeout)?,
            publish_interval: options.publish_interval,
            take_over_after: options.take_over_after,
            name: options.node.clone(),
            ledger: options.ledger.clone(),
            process: uuid::Uuid::new_v4().simple().to_string(),
            slot,
            members: ArcSwap::default(),
            live: ArcSwap::from_pointee(slot_text.clone()),
            slot_text,
            markers: Mutex::default(),
            signals: Signals::default(),
            heart: Heart::default(),
            last_micros: AtomicI64::new(0),
        })
    }

    /// This node's number, which follows from its ledger's id.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Redis's time as this node follows it, in microseconds since the epoch; never less than before.
    pub fn micros(&self) -> i64 {
        let now = i64::try_from(clock::now().0 / 1_000).unwrap_or(i64::MAX);
        self.last_micros.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// To wait for its changes.
    pub fn states(&self) -> watch::Receiver<LinkState> {
        self.link.states()
    }
}

/// Whoever panicked here has changed nothing by halves.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
