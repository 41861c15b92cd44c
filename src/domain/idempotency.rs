//! Idempotency keys: which requests repeat one that has been charged.
//!
//! One table per customer, by a digest of the key and of the request that it came with. What it promises:
//!
//! - Requests of one key that are in flight at once share one reservation. The first of them whose answer is charged
//!   is charged; the others are repeats. If all end uncharged, the last gives the units back.
//! - A charged key is remembered for [`REMEMBERED_SECONDS`]. Its repeats cost nothing, up to `limits.repeats` of them;
//!   further ones are requests of their own.
//! - At most `limits.keys` charged keys are remembered, the latest. A key in flight is never forgotten.
//!
//! A key in flight holds units exactly while nobody has been charged for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::units::Cost;
use super::usage::Now;

/// How long a charged key is remembered.
pub const REMEMBERED_SECONDS: i64 = 24 * 3_600;
const REMEMBERED_NANOS: u64 = REMEMBERED_SECONDS.unsigned_abs() * 1_000_000_000;

/// What tells a key and its request from all others of the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 16]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Charged keys remembered per customer.
    pub keys: u32,
    /// Free repeats per key.
    pub repeats: u32,
}

/// What a request is among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nobody has been charged or holds units for it: it needs a reservation.
    First,
    /// Costs nothing, unless those before it end uncharged: then it takes over what they hold.
    Repeat,
    /// Repeated too often: as if it had come without a key.
    Unkeyed,
}

/// A charged key, as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    pub at: Now,
    pub repeats: u32,
}

/// The requests of one key that are in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    pub key: Digest,
    pub requests: u32,
    /// None once one of them, or one before them, has been charged.
    pub held: Option<Cost>,
}

/// A customer's keys.
#[derive(Clone, Debug)]
pub struct Keys {
    limits: Limits,
    flights: BTreeMap<Digest, Flight>,
    charged: BTreeMap<Digest, Charged>,
    /// The keys in `charged`, the oldest first.
    by_age: BTreeSet<(Now, Digest)>,
}

impl Keys {
    pub fn new(limits: Limits) -> Self {
        Self { limits, flights: BTreeMap::new(), charged: BTreeMap::new(), by_age: BTreeSet::new() }
    }

    /// Takes in a key that was charged earlier.
    pub fn remember(&mut self, key: Digest, charged: Charged) {
        self.forget(key);
        self.charged.insert(key, charged);
        self.by_age.insert((charged.at, key));
    }

    /// What a request that comes now would be.
    pub fn role(&self, key: Digest, now: Now) -> Role {
        let flight = self.flights.get(&key);
        let charged = self.charged.get(&key).filter(|charged| flight.is_some() || !is_old(charged.at, now));
        if flight.is_none() && charged.is_none() {
            return Role::First;
        }
        // One of those that share units will be charged, the others will be repeats.
        let in_flight = flight.map_or(0, |flight| flight.requests - u32::from(flight.held.is_some()));
        let repeats = charged.map_or(0, |charged| charged.repeats).saturating_add(in_flight);
        if repeats < self.limits.repeats { Role::Repeat } else { Role::Unkeyed }
    }

    /// The first request of a key is in flight, and has reserved its cost.
    pub fn begin(&mut self, key: Digest, reserved: Cost) {
        self.forget(key);
        self.flights.insert(key, Flight { key, requests: 1, held: Some(reserved) });
    }

    /// A repeat is in flight.
    pub fn join(&mut self, key: Digest) {
        self.flights.entry(key).or_insert(Flight { key, requests: 0, held: None }).requests += 1;
    }

    /// A request in flight gets an answer that is charged. What was reserved for its key is now to be charged; none
    /// when that has happened: it was a repeat.
    pub fn settle(&mut self, key: Digest, now: Now) -> Option<Cost> {
        let flight = self.flights.get_mut(&key)?;
        flight.requests -= 1;
        let held = flight.held.take();
        if flight.requests == 0 {
            self.flights.remove(&key);
        }
        if held.is_some() {
            self.remember(key, Charged { at: now, repeats: 0 });
            self.make_room(now);
        } else if let Some(charged) = self.charged.get_mut(&key) {
            charged.repeats = charged.repeats.saturating_add(1);
        }
        held
    }

    /// A request in flight ends uncharged. Answers what is no longer reserved.
    pub fn release(&mut self, key: Digest) -> Option<Cost> {
        let flight = self.flights.get_mut(&key)?;
        flight.requests -= 1;
        if flight.requests > 0 {
            return None;
        }
        self.flights.remove(&key)?.held
    }

    /// Whether a request of this key would be charged now: it holds units, and nobody has been.
    pub fn holds(&self, key: Digest) -> bool {
        self.flights.get(&key).is_some_and(|flight| flight.held.is_some())
    }

    /// A request of this key has been charged elsewhere, at that instant: all that are in flight here are repeats.
    /// Answers what is no longer reserved.
    pub fn yield_to(&mut self, key: Digest, at: Now) -> Option<Cost> {
        if self.charged.get(&key).is_none_or(|known| known.at < at) {
            self.remember(key, Charged { at, repeats: 0 });
            self.make_room(at);
        }
        self.flights.get_mut(&key)?.held.take()
    }

    /// Whether the charge that a key is remembered for is the one made at this instant.
    pub fn is_charged_at(&self, key: Digest, at: Now) -> bool {
        self.charged.get(&key).is_some_and(|charged| charged.at == at)
    }

    pub fn is_in_flight(&self, key: Digest) -> bool {
        self.flights.contains_key(&key)
    }

    /// The charge of a key is taken back. Requests of it that are in flight hold `reserved` from now on.
    pub fn undo(&mut self, key: Digest, reserved: Cost) {
        self.forget(key);
        if let Some(flight) = self.flights.get_mut(&key) {
            flight.held = Some(reserved);
        }
    }

    /// All that is in flight.
    pub fn flights(&self) -> Vec<Flight> {
        self.flights.values().cloned().collect()
    }

    /// Takes in what is in flight with another process. Nothing of it may be in flight here.
    pub fn take_over(&mut self, flights: Vec<Flight>) {
        self.flights.extend(flights.into_iter().map(|flight| (flight.key, flight)));
    }

    /// Nothing is in flight.
    pub fn is_at_rest(&self) -> bool {
        self.flights.is_empty()
    }

    fn forget(&mut self, key: Digest) {
        if let Some(charged) = self.charged.remove(&key) {
            self.by_age.remove(&(charged.at, key));
        }
    }

    /// Forgets the oldest keys, at most two where one has come: no request pays for thousands that have grown old.
    fn make_room(&mut self, now: Now) {
        for _ in 0..2 {
            let too_many = self.charged.len() > self.limits.keys as usize;
            let mut resting = self.by_age.iter().filter(|(_, key)| !self.flights.contains_key(key));
            match resting.next() {
                Some((at, key)) if too_many || is_old(*at, now) => self.forget(*key),
                _ => return,
            }
        }
    }
}

fn is_old(at: Now, now: Now) -> bool {
    now.nanos() >= at.nanos().saturating_add(REMEMBERED_NANOS)
}

#[cfg(test)]
mod tests;
