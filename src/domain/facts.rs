//! Facts: what is known of a customer that is not usage, as several nodes tell it to each other.
//!
//! # What it promises
//!
//! - Facts are entries by what they are about. Of two that are about the same the later one holds, on every node, in
//!   whichever order and however often they come: merging is a union, never a sum.
//! - A claim's link beats one that Stripe's objects suggest; of those the first holds. A subscription that is past due
//!   keeps the first instant at which any node saw it so. An API key that is revoked stays so.
//! - An entry of a kind that this version does not know is kept and told on as it is.
//! - What is the same is written in the same bytes. A subscriber's facts are short: they lie in Redis for each.

mod bodies;
mod keys;
mod wire;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;

pub use bodies::{Grant, Link, Override, of_subscription, read_subscription};
pub use keys::ApiKey;
use wire::{Reader, Writer};

/// Whose facts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// One of our customers, by name.
    Customer(String),
    /// A customer at Stripe whom none of ours is linked to.
    Stripe(String),
}

impl Holder {
    /// As the store calls it.
    pub fn key(&self) -> String {
        match self {
            Self::Customer(name) => format!("c{name}"),
            Self::Stripe(id) => format!("s{id}"),
        }
    }

    pub fn of_key(key: &str) -> Option<Self> {
        match (key.get(..1)?, key.get(1..)?) {
            ("c", name) => Some(Self::Customer(name.to_owned())),
            ("s", id) => Some(Self::Stripe(id.to_owned())),
            _ => None,
        }
    }
}

/// What kind of fact. A later version may know more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    pub const LINK: Self = Self(1);
    /// By the subscription's id.
    pub const SUBSCRIPTION: Self = Self(2);
    /// Its body is the reason.
    pub const BLOCK: Self = Self(3);
    pub const OVERRIDE: Self = Self(4);
    /// By its cause.
    pub const GRANT: Self = Self(5);
    /// When the customer had a first link, where that was before the link that holds: the earliest does.
    pub const FIRST_LINK: Self = Self(6);

    /// The customer has been erased: what was known of them before does not hold.
    pub const ERASED: Self = Self(7);
    /// By its id.
    pub const API_KEY: Self = Self(8);

    fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::SUBSCRIPTION => &["sub_"],
            Self::GRANT => &["invoice:in_", "payment:pi_", "payment:cs_"],
            _ => &[],
        }
    }
}

/// What an entry is about.
pub type Key = (Kind, String);

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was known, in microseconds of the fleet's time.
    pub at: u64,
    /// `None`: it has ended.
    pub body: Option<Box<[u8]>>,
}

/// The facts of one holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries(BTreeMap<Key, Entry>);

const ERASURE: Key = (Kind::ERASED, String::new());
/// How the bytes begin; another version's may differ.
const FORMAT: u8 = 1;
const DAY_MICROS: u64 = 86_400_000_000;
/// What cannot matter any more is told for so long: events that it answers may come again.
const TOLD_FOR: u64 = 40 * DAY_MICROS;

impl Entries {
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.0.get(key)
    }

    /// The erasure of the customer, if there was one.
    pub fn erasure(&self) -> Option<Self> {
        let erasure = self.0.get(&ERASURE)?;
        Some(Self(BTreeMap::from([(ERASURE, erasure.clone())])))
    }

    /// Nothing is known since the customer was erased.
    pub fn is_erased(&self) -> bool {
        self.0.len() == 1 && self.0.contains_key(&ERASURE)
    }

    /// What was known before does not hold.
    pub fn erased_at(&self) -> Option<u64> {
        self.0.get(&ERASURE).map(|entry| entry.at)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.0.iter()
    }

    /// Puts one in, unless what is there holds over it. Answers whether that changed anything.
    pub fn put(&mut self, key: Key, entry: Entry) -> bool {
        if key != ERASURE && self.erased_at().is_some_and(|at| entry.at <= at) {
            return false;
        }
        let changed = self.put_one(key, entry);
        if let Some(at) = self.erased_at().filter(|_| changed) {
            self.0.retain(|key, entry| *key == ERASURE || entry.at > at);
        }
        changed
    }

    fn put_one(&mut self, key: Key, entry: Entry) -> bool {
        match self.0.entry(key) {
            Place::Vacant(place) => {
                place.insert(entry);
                true
            }
            Place::Occupied(mut place) => {
                let merged = merged(place.key().0, place.get(), &entry);
                std::mem::replace(place.get_mut(), merged) != *place.get()
            }
        }
    }

    /// The union with what another node knows.
    pub fn merge(&mut self, other: &Self) {
        // First: what either knew from before it is not compared with what came later.
        if let Some(erasure) = other.get(&ERASURE) {
            self.put(ERASURE, erasure.clone());
        }
        for (key, entry) in &other.0 {
            self.put(key.clone(), entry.clone());
        }
    }

    /// Lets go what cannot matter any more.
    pub fn prune(&mut self, now_micros: u64) {
        let old = now_micros.saturating_sub(TOLD_FOR);
        self.0.retain(|(kind, _), entry| entry.at >= old || !is_over(*kind, entry, old));
    }

    /// How long it takes until nothing of it is in force by itself, in seconds; `None`: for ever.
    pub fn ends_at(&self) -> Option<i64> {
        let mut ends = self.0.iter().map(|((kind, _), entry)| match (*kind, entry.body.as_deref()) {
            (Kind::GRANT, Some(body)) => Grant::read(body).map_or(Some(0), |grant| grant.expires_at),
            (Kind::API_KEY, Some(body)) => ApiKey::read(body).map_or(Some(0), |key| key.expires_at),
            _ => Some(0),
        });
        ends.try_fold(0, |last: i64, end| Some(last.max(end?)))
    }

    pub fn write(&self) -> Vec<u8> {
        let mut written = Writer::default();
        written.byte(FORMAT);
        for ((kind, key), entry) in &self.0 {
            written.byte(kind.0);
            written.id(key, kind.prefixes());
            written.number(entry.at);
            match &entry.body {
                None => written.number(0),
                Some(body) => {
                    written.number(body.len() as u64 + 1);
                    written.0.extend_from_slice(body);
                }
            }
        }
        written.0
    }

    /// `None`: another version wrote it, or nobody did.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut read = Reader(bytes);
        if read.byte()? != FORMAT {
            return None;
        }
        let mut entries = Self::default();
        while !read.is_at_end() {
            let kind = Kind(read.byte()?);
            let key = (kind, read.id(kind.prefixes())?);
            let at = read.number()?;
            let body = match read.number()? {
                0 => None,
                more => Some(read.take(more - 1)?.into()),
            };
            entries.put(key, Entry { at, body });
        }
        Some(entries)
    }
}

/// The one that holds, of two that are about the same. Which comes first makes no difference.
fn merged(kind: Kind, one: &Entry, other: &Entry) -> Entry {
    let bodies = |entry: &Entry| entry.body.clone();
    let other_holds = match kind {
        Kind::FIRST_LINK => (Reverse(one.at), bodies(one)) < (Reverse(other.at), bodies(other)),
        Kind::LINK => bodies::link_rank(one) < bodies::link_rank(other),
        Kind::API_KEY => keys::rank(one) < keys::rank(other),
        Kind::SUBSCRIPTION => {
            return bodies::merged_subscription(one, other);
        }
        _ => (one.at, bodies(one)) < (other.at, bodies(other)),
    };
    if other_holds { other.clone() } else { one.clone() }
}

/// Nothing follows from it any more, and has not since `old`.
fn is_over(kind: Kind, entry: &Entry, old: u64) -> bool {
    let Some(body) = entry.body.as_deref() else { return false };
    let ended = |end: Option<i64>| {
        end.is_some_and(|end| u64::try_from(end).unwrap_or(0).saturating_mul(1_000_000) < old)
    };
    match kind {
        Kind::GRANT => Grant::read(body).is_some_and(|grant| ended(grant.expires_at)),
        Kind::API_KEY => {
            ApiKey::read(body).is_some_and(|key| key.revoked_at.is_none() && ended(key.expires_at))
        }
        Kind::OVERRIDE => Override::read(body).is_some_and(|row| ended(row.until)),
        Kind::SUBSCRIPTION => bodies::status(body).is_some_and(|status| !status.is_live()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
