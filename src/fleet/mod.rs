//! The fleet: several gateways that share a Redis (or Valkey).
//!
//! Redis is a meeting place, not a truth: each node's ledger and store have all that is billed, and what Redis loses they
//! put back. Nothing here decides; it carries calls, facts and copies to Redis and back, within a deadline.

mod address;
mod ask;
mod claims;
mod copy;
mod facts;
mod link;
mod members;
mod servers;
mod signals;
pub mod unsent;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::lease::{Call, Settled};

pub use address::{Address, Layout};
pub use ask::{Answer, Question};
pub use claims::{Claim, ClaimState};
pub use copy::{Copied, Fence, FenceState};
pub use facts::{FactsKey, News, Put};
pub use link::{Away, Link};
pub use members::{JoinError, Member};
pub use signals::{Generation, Rejoin};
pub use words::{Words, lot_code};

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
    /// In the order of the calls.
    fn settle(&self, calls: Vec<Named>) -> BoxFuture<'_, Result<Vec<Answered>, Away>>;
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
    link: Arc<Link>,
    _publish_interval: Duration,
}

impl Fleet {
    /// Connects nothing yet.
    pub fn new(options: &Options) -> Result<Self, redis::RedisError> {
        let link = Arc::new(Link::new(&options.address, options.timeout)?);
        Ok(Self { link, _publish_interval: options.publish_interval })
    }

    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}
