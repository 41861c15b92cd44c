//! Leases: units of a limit that all nodes of a fleet share, lent to one of them.
//!
//! A *pool* is what a limit has in its life: the included units of one period, a grant of credits, a spend cap. A
//! node's *claim* is how many units of a pool it may have used at most, since the pool began. A node states what it has
//! used and keeps in a *call*; what comes back is its new claim. All of it is absolute, so that a call that is lost,
//! late or doubled changes nothing that the next one does not put right.
//!
//! Two things hold for every pool: what a node has used and has in flight is within its claim, and all claims together
//! are within the limit. So the first cannot pass the second, whoever asks when.

#[cfg(test)]
pub(crate) mod book;
#[cfg(test)]
mod sim;
pub mod size;

use std::time::Duration;

use smallvec::SmallVec;

use super::rate::Rate;
use super::route::RouteId;
use super::units::MeterId;
use super::usage::Now;

/// What a claim is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pool {
    /// The included units of the tier, in one window.
    Included(MeterId),
    /// What an override adds to them.
    Extra(MeterId),
    /// One grant of credits, by its number here.
    Lot(i64),
    /// The spend cap of one window, in its smallest parts.
    Cap,
    /// Units beyond what is included and granted: told, so that each node knows them all, and never lent. What is kept
    /// of it is what was used, its limit and its price are 0.
    Overage(MeterId),
    /// Units of a meter that credits have paid; told likewise.
    Credits(MeterId),
}

/// What a pool without a limit is said to hold: a number that all who count have.
pub const UNLIMITED: u64 = 9_000_000_000_000_000;

/// Permits are lent for so long from when they are counted out. Who holds them voids them earlier.
pub const PERMITS_LAST: Duration = Duration::from_secs(1);

/// What a node says about one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub pool: Pool,
    /// The start of the window that the pool is of; 0 for a grant.
    pub window: i64,
    /// Settled units, of this node alone.
    pub used: u64,
    /// Settled and in flight: its claim is not less.
    pub keep: u64,
    /// The claim that lets the request pass for which this is asked; `keep` where there is none.
    pub least: u64,
    /// The claim that it would like.
    pub want: u64,
    /// What the pool holds for all nodes.
    pub limit: u64,
    /// What a unit beyond the pool takes off the cap; 0 where there is no cap.
    pub price: u64,
}

/// What a node says about one rate: the tier's, or a route's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateAsk {
    pub route: Option<RouteId>,
    pub rate: Rate,
    /// Permits that it still holds.
    pub left: u32,
    pub least: u32,
    pub want: u32,
}

/// What one node says about one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Grows with each call of a node for a customer, over its restarts too: one that is overtaken changes nothing.
    pub seq: u64,
    pub asks: SmallVec<[Ask; 2]>,
    pub rates: SmallVec<[RateAsk; 1]>,
    /// Pools whose window ended a minute ago or more: nobody needs to know any more what was used of them.
    pub ended: Vec<(Pool, i64)>,
    /// When the last window of these ends, in seconds.
    pub expires: i64,
    /// What other nodes say is asked for too, to be put back should Redis lose it.
    pub wants_others: bool,
    pub sent: Now,
}

/// What is left to a node of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lent {
    /// Its claim.
    pub held: u64,
    /// Settled units of all nodes.
    pub used_by_all: u64,
    /// What is in nobody's claim.
    pub free: u64,
    /// What others hold and have not used.
    pub unused_by_others: u64,
}

/// What is left to a node of one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLent {
    /// Permits beside those that it had, for a while from when the call was sent.
    pub more: u32,
    /// Permits in nobody's hands.
    pub free: u32,
    /// Until there is one, where there is none.
    pub wait_millis: u64,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// In the call's order. `lends`: what is short is used up; else all that could be lent is held back for a while.
    Lent { asks: SmallVec<[Lent; 2]>, rates: SmallVec<[RateLent; 1]>, lends: bool },
    /// A later call has been answered.
    Old,
    /// The terms have changed since: they must be learned first.
    Behind,
}
