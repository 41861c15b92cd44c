//! The share of one node in a customer's limits, where several nodes share them.

use super::Account;
use crate::domain::idempotency::Digest;
use crate::domain::lease::{Call, Settled};
use crate::domain::route::Route;
use crate::domain::units::MeterId;
use crate::domain::usage::Now;

/// What a call is made for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// A request that the share has no room for.
    Request(&'a Route),
    /// So many credits are to be taken away that are not here.
    Credits(u64),
    /// To tell what was used, and to ask for about what will be.
    Publish,
    /// To give back what is not in flight.
    Return,
}

impl Account {
    /// The same account on one node of several, as the last step of making it. `granted`: what each of its grants held
    /// at first, by its number.
    #[must_use]
    pub fn with_share(self, _granted: &[(i64, u64)]) -> Self {
        self
    }

    /// Whether a request needs more of the fleet than is held here. Not for one that is refused anyhow.
    pub fn lacks(&mut self, _route: &Route, _key: Option<Digest>, _now: Now) -> bool {
        false
    }

    /// What to say to the fleet; `None` where a call is under way, or nothing is shared.
    pub fn call(&mut self, _purpose: Purpose<'_>, _now: Now) -> Option<Call> {
        None
    }

    /// Takes an answer in. `false`: ask again when the terms have been learned.
    pub fn take(&mut self, _call: &Call, _settled: &Settled, _now: Now) -> bool {
        true
    }

    /// It has waited for long enough: for a while the account decides with what it has.
    pub fn give_up(&mut self, _purpose: Purpose<'_>, _now: Now) {}

    /// There was no answer.
    pub fn call_failed(&mut self, _call: &Call) {}

    /// Without the fleet: a bounded part of what was free when last heard, once until it is back. Answers whether there
    /// was any.
    pub fn allow(&mut self, _nodes: u32, _allowance: u64, _now: Now) -> bool {
        false
    }

    /// Whether the others have used so much that a mark has been reached; said once.
    pub fn has_reached(&mut self) -> bool {
        false
    }

    /// Units of a meter that the other nodes have used in the current window, whatever they were drawn on.
    pub fn units_of_others(&self, _meter: MeterId) -> u64 {
        0
    }

    /// Whether it has changed since the last call.
    pub fn is_stirred(&self) -> bool {
        false
    }
}
