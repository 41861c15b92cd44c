//! The table of customers: many small ones, each under a lock of its own.
//!
//! # What it promises
//!
//! - No lock is held for longer than it takes to look one name up, to look at [`SLICE`] places, to list the names of
//!   one small table, or to let it grow: requests never wait for a look at all customers.
//! - A name is found by a hash with a key that is drawn at each start: nobody can choose names that collide.
//! - An entry is let go only while nobody else holds it, so that no customer is ever in memory twice.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use hashbrown::{DefaultHashBuilder, HashTable};
use smol_str::SmolStr;

use super::entry::Entry;

/// A power of two: at a million customers each table holds some 250, and grows within tens of microseconds.
const SHARDS: usize = 4_096;
/// Places that are looked at under one lock.
const SLICE: usize = 64;
/// Places that are looked at where somebody comes in and room is wanted. More than one of them is full, so that the
/// table shrinks where nobody stays for long.
const LOOKED_AT_FOR_ROOM: usize = 16;

type Shard = HashTable<Arc<Entry>>;

/// A cache line of its own: whoever takes one lock moves no other.
#[repr(align(64))]
#[derive(Default)]
struct Place(RwLock<Shard>);

const _: () = assert!(size_of::<Place>() == 64, "a look-up begins in more than one line");

pub(super) struct Table {
    shards: Box<[Place]>,
    hasher: DefaultHashBuilder,
    entries: AtomicUsize,
}

impl Table {
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Place::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            entries: AtomicUsize::new(0),
        }
    }

    pub fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        let hash = self.hash(name);
        let shard = self.shards[place(hash)].0.read().unwrap_or_else(PoisonError::into_inner);
        shard.find(hash, |entry| *entry.name == *name).cloned()
    }

    /// Takes in an entry whose name is not there. Those for whom `may_leave` says so may make room for it.
    pub fn insert(&self, entry: Arc<Entry>, may_leave: Option<&dyn Fn(&mut Entry) -> bool>) {
        let hash = self.hash(&entry.name);
        let mut gone = Vec::new();
        let mut shard = self.shard(place(hash));
        if let Some(may_leave) = may_leave {
            // Names are spread evenly, and so is where each begins to look.
            let buckets = shard.num_buckets().max(1);
            let first = usize::try_from(hash >> 40).unwrap_or(0) % buckets;
            let places = (first..first + LOOKED_AT_FOR_ROOM.min(buckets)).map(|at| at % buckets);
            self.let_go(&mut shard, places, may_leave, &mut gone);
        }
        shard.insert_unique(hash, entry, |entry| self.hash(&entry.name));
        self.entries.fetch_add(1, Ordering::Relaxed);
        // Memory is given back outside of the lock.
        drop(shard);
        drop(gone);
    }

    /// Lets one entry go if it may leave. Answers whether it is not there any more.
    pub fn remove(&self, name: &str, may_leave: impl FnOnce(&mut Entry) -> bool) -> bool {
        let hash = self.hash(name);
        let mut shard = self.shard(place(hash));
        let Ok(mut found) = shard.find_entry(hash, |entry| *entry.name == *name) else { return true };
        if !Arc::get_mut(found.get_mut()).is_some_and(may_leave) {
            return false;
        }
        let gone = found.remove().0;
        self.entries.fetch_sub(1, Ordering::Relaxed);
        // Memory is given back outside of the lock.
        drop(shard);
        drop(gone);
        true
    }

    /// Shows all who are there, none of them under a lock.
    pub fn each(&self, show: &mut dyn FnMut(&Arc<Entry>)) {
        for place in &self.shards {
            let entries: Vec<_> = {
                let shard = place.0.read().unwrap_or_else(PoisonError::into_inner);
                shard.iter().cloned().collect()
            };
            entries.iter().for_each(&mut *show);
        }
    }

    /// The names of all who are there.
    pub fn names(&self) -> Vec<SmolStr> {
        let mut names = Vec::with_capacity(self.len());
        for place in &self.shards {
            let shard = place.0.read().unwrap_or_else(PoisonError::into_inner);
            names.extend(shard.iter().map(|entry| entry.name.clone()));
        }
        names
    }

    /// Looks at all entries, and lets those go that may leave.
    pub fn sweep(&self, may_leave: &dyn Fn(&mut Entry) -> bool) {
        let mut gone = Vec::with_capacity(SLICE);
        for number in 0..SHARDS {
            let mut first = 0;
            loop {
                let mut shard = self.shard(number);
                let end = (first + SLICE).min(shard.num_buckets());
                self.let_go(&mut shard, first..end, may_leave, &mut gone);
                first = end;
                // A table that has grown meanwhile was looked at in part; its other entries stay until the next time.
                let last = first >= shard.num_buckets();
                if last && shard.len() * 4 < shard.capacity() {
                    let room = shard.len() * 2;
                    shard.shrink_to(room, |entry| self.hash(&entry.name));
                }
                drop(shard);
                gone.clear();
                if last {
                    break;
                }
            }
        }
    }

    fn let_go(
        &self,
        shard: &mut Shard,
        places: impl Iterator<Item = usize>,
        may_leave: &dyn Fn(&mut Entry) -> bool,
        gone: &mut Vec<Arc<Entry>>,
    ) {
        for place in places {
            let Ok(mut found) = shard.get_bucket_entry(place) else { continue };
            // Only the lock's holder could give a second one away: an entry that nobody else holds stays so.
            if Arc::get_mut(found.get_mut()).is_some_and(may_leave) {
                gone.push(found.remove().0);
                self.entries.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn shard(&self, number: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[number].0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which table a hash belongs to. Its lowest and highest bits say where in there.
fn place(hash: u64) -> usize {
    usize::try_from((hash >> 24) % SHARDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::{Account, Window};
    use crate::domain::period::Period;
    use crate::domain::subscription::{Entitlement, Standing, Windows};
    use crate::domain::usage::Now;

    fn entry(name: &str) -> Arc<Entry> {
        let entitlement = Entitlement {
            standing: Standing::Admitted,
            tier: None,
            windows: Windows::CalendarMonth,
            overridden: None,
        };
        let window = Window::new(Period { start: 0, end: 1 }, smallvec::smallvec![0]);
        let account = Account::new(entitlement, window);
        Arc::new(Entry::new(name.into(), 1, account, Now(0)))
    }

    fn room(table: &Table) -> usize {
        table.shards.iter().map(|shard| shard.0.read().expect("no panic").capacity()).sum()
    }

    #[test]
    fn everyone_is_found_and_looked_at_and_memory_goes_with_those_who_leave() {
        const MANY: usize = 40 * SHARDS;
        let table = Table::new();
        let names: Vec<String> = (0..MANY).map(|number| format!("user-{number}")).collect();
        for name in &names {
            table.insert(entry(name), None);
        }
        assert!(names.iter().all(|name| table.get(name).is_some_and(|entry| *entry.name == **name)));
        assert!(table.get("somebody else").is_none());
        let full = room(&table);
        table.sweep(&|entry| !entry.name.ends_with("00"));
        assert_eq!(table.len(), MANY / 100);
        assert!(names.iter().all(|name| table.get(name).is_some() == name.ends_with("00")));
        assert!(room(&table) < full / 4, "{} of {full}", room(&table));
    }
    #[test]
    fn one_entry_goes_only_if_it_may_and_nobody_holds_it() {
        let table = Table::new();
        let held = entry("acme");
        table.insert(held.clone(), None);
        table.insert(entry("other"), None);
        assert!(!table.remove("acme", |_| true), "somebody holds it");
        drop(held);
        assert!(!table.remove("acme", |_| false), "it may not");
        assert_eq!(table.names().len(), 2);
        assert!(table.remove("acme", |_| true) && table.get("acme").is_none());
        assert!(table.remove("acme", |_| false), "it is not there");
        assert_eq!((table.len(), table.names()), (1, vec![SmolStr::new("other")]));
    }
}
