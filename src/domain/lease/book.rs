//! What the fleet's script does, in memory: one bucket of customers, as Redis holds it.
//!
//! It is what simulations and fakes lend from. That it is what the script is, calls that are put to both show; but that
//! the script knows one server from another, which here is always the same.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the script counts in doubles; what it counts is small"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Ask, Call, Lent, PERMITS_LAST, Pool, RateAsk, RateLent, Settled};
use crate::domain::route::RouteId;

/// A version of a customer's facts: eight digits of which the last three are the tag of terms.
pub(crate) type Version = [u8; 8];
/// A pool, and the start of its window.
pub(crate) type Key = (Pool, i64);

/// One bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    marker: Option<Marker>,
    customers: HashMap<String, Customer>,
    /// Markers made so far: their numbers are never used again, whatever is lost.
    pub(crate) markers: u64,
    /// Without this the bucket lends at once, and to whoever asks late: what a test turns off to see what breaks.
    pub(crate) guards: Guards,
}

/// What keeps the limits; all of it on, but for tests that see what breaks without.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a protection of its own")]
pub(crate) struct Guards {
    /// A call that has been overtaken changes nothing.
    pub(crate) order: bool,
    /// What others used and hold counts against the limit.
    pub(crate) others: bool,
    /// Nothing is lent while a live node may admit on other terms.
    pub(crate) terms: bool,
    /// A bucket that has just been lost lends nothing before the nodes have put it back.
    pub(crate) marker: bool,
    /// An older copy of the bucket that has come back is told from the bucket itself.
    pub(crate) copies: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Self { order: true, others: true, terms: true, marker: true, copies: true }
    }
}

#[derive(Clone, Debug)]
struct Marker {
    id: u64,
    /// There was another before it.
    was_lost: bool,
    born: u64,
    calls: u64,
    /// The last call of each node.
    last: BTreeMap<u32, u64>,
    back: BTreeSet<u32>,
}

#[derive(Clone, Debug, Default)]
struct Customer {
    version: Option<Version>,
    entries: BTreeMap<u32, Entry>,
    /// When all permits of a rate would be back, in microseconds.
    full: HashMap<Option<RouteId>, f64>,
}

/// What one node has stated of a customer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    tag: [u8; 3],
    /// Held and used.
    pub(crate) pools: HashMap<Key, (u64, u64)>,
    /// Permits, and until when.
    rates: HashMap<Option<RouteId>, (u32, u64)>,
}

/// Who calls, when, and what it has last seen of the marker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) slot: u32,
    pub(crate) live: &'a [u32],
    pub(crate) seen: Option<(u64, u64)>,
    pub(crate) rest_millis: u64,
    pub(crate) rebuild_millis: u64,
    pub(crate) at_millis: u64,
}

/// The answer for one customer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The marker, its calls, and whether this node has put back what it knows.
    pub(crate) marker: (u64, u64),
    pub(crate) is_back: bool,
    pub(crate) version: Option<Version>,
    pub(crate) settled: Settled,
    /// All others are to give back what they do not need.
    pub(crate) recalls: bool,
    pub(crate) others: Vec<(u32, Entry)>,
}

impl Book {
    pub(crate) fn guarded(guards: Guards) -> Self {
        Self { guards, ..Self::default() }
    }

    /// The marker, made anew where it or some of the caller's calls are missing.
    pub(crate) fn touch(&mut self, caller: &Caller<'_>) -> (u64, u64) {
        let is_lost = match (&self.marker, caller.seen) {
            (None, _) => true,
            (Some(marker), Some((id, calls))) => {
                let last = marker.last.get(&caller.slot).copied().unwrap_or(0);
                self.guards.copies && (marker.id < id || marker.id == id && last < calls)
            }
            (Some(_), None) => false,
        };
        if is_lost {
            self.markers += 1;
            let (id, born) = (self.markers, caller.at_millis);
            let was_lost = caller.seen.is_some();
            self.marker =
                Some(Marker { id, was_lost, born, calls: 0, last: BTreeMap::new(), back: BTreeSet::new() });
        }
        let marker = self.marker.as_mut().expect("made");
        // To whoever came first it may have been the first.
        marker.was_lost |= caller.seen.is_some_and(|(id, _)| id != marker.id);
        marker.calls += 1;
        marker.last.insert(caller.slot, marker.calls);
        (marker.id, marker.calls)
    }

    /// The marker: nodes hear of another one.
    pub(crate) fn life(&self) -> Option<u64> {
        self.marker.as_ref().map(|marker| marker.id)
    }

    /// A node has put back all that it knows.
    pub(crate) fn put_back(&mut self, slot: u32, id: u64) {
        if let Some(marker) = self.marker.as_mut().filter(|marker| marker.id == id) {
            marker.back.insert(slot);
        }
    }

    /// Redis has lost everything.
    pub(crate) fn flush(&mut self) {
        (self.marker, self.customers) = (None, HashMap::new());
    }

    /// An older copy has taken its place.
    pub(crate) fn fall_back(&mut self, copy: Self) {
        *self = Self { markers: self.markers, ..copy };
    }

    /// Other terms are in force for a customer.
    pub(crate) fn put(&mut self, customer: &str, version: Version) {
        self.customers.entry(customer.to_owned()).or_default().version = Some(version);
    }

    /// All entries of a customer.
    pub(crate) fn entries(&self, customer: &str) -> impl Iterator<Item = (u32, &Entry)> {
        let known = self.customers.get(customer);
        known.into_iter().flat_map(|known| &known.entries).map(|(slot, entry)| (*slot, entry))
    }

    /// Settles a call of a node for a customer; `seen`: what it last saw of others, to be put back.
    pub(crate) fn settle(
        &mut self,
        caller: &Caller<'_>,
        customer: &str,
        version: Version,
        call: &Call,
        seen: &[(u32, Entry)],
    ) -> Answer {
        let marker = self.touch(caller);
        let guards = self.guards;
        let (lends, lost_at, is_back) = self.state(caller);
        let known = self.customers.entry(customer.to_owned()).or_default();
        let mut answer = Answer {
            marker,
            is_back,
            version: known.version,
            settled: Settled::Old,
            recalls: false,
            others: Vec::new(),
        };
        let mine = known.entries.get(&caller.slot).cloned();
        if guards.order && mine.as_ref().is_some_and(|mine| mine.seq >= call.seq) {
            return answer;
        }
        if known.version.is_some_and(|stored| stored > version) && guards.terms {
            return Answer { settled: Settled::Behind, ..answer };
        }
        for (slot, entry) in seen.iter().filter(|(slot, _)| *slot != caller.slot) {
            if known.entries.get(slot).is_none_or(|stored| stored.seq < entry.seq) {
                known.entries.insert(*slot, entry.clone());
            }
        }
        let others: Vec<_> = known.entries.iter().filter(|(slot, _)| **slot != caller.slot).collect();
        let tag = [version[5], version[6], version[7]];
        let waits = guards.terms
            && others.iter().any(|(slot, entry)| {
                entry.tag != tag && caller.live.contains(slot) && entry.may_admit(caller.at_millis)
            });
        let mut desk = Desk {
            others: others.iter().map(|(_, entry)| *entry).collect(),
            may: lends && !waits,
            counts_others: guards.others,
            nodes: caller.live.len() as u64,
            now: caller.at_millis,
            lost_at,
            mine: mine.as_ref(),
            recalls: false,
            waits,
            excess: 0,
            loose: 0,
        };
        let mut kept = Entry { seq: call.seq, tag, pools: HashMap::new(), rates: HashMap::new() };
        let asks = call.asks.iter().map(|ask| desk.lend(ask, &mut kept)).collect();
        let mut full = known.full.clone();
        let rates = call.rates.iter().map(|ask| desk.permit(ask, &mut full, &mut kept)).collect();
        answer.settled = Settled::Lent { asks, rates, lends: desk.may };
        answer.recalls = desk.recalls;
        if call.wants_others {
            answer.others = others.iter().map(|(slot, entry)| (**slot, (*entry).clone())).collect();
        }
        kept.remember(mine, call);
        known.full = full;
        known.entries.insert(caller.slot, kept);
        answer
    }

    /// Whether anything is lent, when what was lent before was lost, and whether the caller has put its part back.
    fn state(&self, caller: &Caller<'_>) -> (bool, Option<u64>, bool) {
        let marker = self.marker.as_ref().expect("touched");
        let age = caller.at_millis.saturating_sub(marker.born);
        let all_back = caller.live.iter().all(|slot| marker.back.contains(slot));
        let lends = age >= caller.rest_millis && (age >= caller.rebuild_millis || all_back);
        (
            lends || !self.guards.marker,
            marker.was_lost.then_some(marker.born),
            marker.back.contains(&caller.slot),
        )
    }
}

impl Entry {
    /// What is used of pools that the call does not name stays counted.
    fn remember(&mut self, mine: Option<Self>, call: &Call) {
        let used = mine.into_iter().flat_map(|mine| mine.pools).filter(|(_, (_, used))| *used > 0);
        for (key, (_, used)) in used {
            let is_named = call.asks.iter().any(|ask| (ask.pool, ask.window) == key);
            if !is_named && !call.ended.contains(&key) {
                self.pools.entry(key).or_insert((used, used));
            }
        }
    }

    /// Whether this node could admit more by it.
    fn may_admit(&self, now: u64) -> bool {
        self.pools.values().any(|(held, used)| held > used)
            || self.rates.values().any(|(left, until)| *left > 0 && *until > now)
    }
}

/// One call, while it is settled.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the call")]
struct Desk<'a> {
    others: Vec<&'a Entry>,
    mine: Option<&'a Entry>,
    lost_at: Option<u64>,
    may: bool,
    counts_others: bool,
    nodes: u64,
    now: u64,
    recalls: bool,
    /// Others may admit on other terms, until they have learned these.
    waits: bool,
    /// What lies beyond the pools, in parts of the cap, and how much of that others have not used.
    excess: u64,
    loose: u64,
}

impl Desk<'_> {
    fn lend(&mut self, ask: &Ask, kept: &mut Entry) -> Lent {
        let key = (ask.pool, ask.window);
        let of_others = || self.others.iter().filter_map(|entry| entry.pools.get(&key));
        let held: u64 = of_others().map(|(held, used)| held.max(used)).sum();
        let others_used: u64 = of_others().map(|(_, used)| used).sum();
        let held = if self.counts_others { held } else { 0 };
        let is_cap = ask.pool == Pool::Cap;
        let limit = ask.limit.saturating_sub(if is_cap { self.excess } else { 0 });
        let free = limit.saturating_sub(held + ask.keep);
        let mut now_held = ask.keep;
        if self.may && ask.want > ask.keep {
            let most = ask.least.saturating_sub(ask.keep).max(free / (2 * self.nodes));
            now_held += free.min(ask.want - ask.keep).min(most);
        }
        let unused = held.saturating_sub(others_used);
        let unused_by_others = unused + if is_cap { self.loose } else { 0 };
        self.recalls |= now_held < ask.least && (unused_by_others > 0 || self.waits);
        let beyond = (held + now_held).saturating_sub(limit);
        self.excess += beyond * ask.price;
        self.loose += beyond.min(unused) * ask.price;
        if now_held > 0 || ask.used > 0 {
            kept.pools.insert(key, (now_held, ask.used));
        }
        Lent {
            held: now_held,
            used_by_all: ask.used + others_used,
            free: limit.saturating_sub(held + now_held),
            unused_by_others,
        }
    }

    fn permit(
        &mut self,
        ask: &RateAsk,
        known: &mut HashMap<Option<RouteId>, f64>,
        kept: &mut Entry,
    ) -> RateLent {
        let (mut left, want, least) = (f64::from(ask.left), f64::from(ask.want), f64::from(ask.least));
        let micros = ask.rate.interval().as_nanos() as f64 / 1_000.0;
        let burst = f64::from(ask.rate.burst());
        let at = self.now as f64 * 1_000.0;
        let lasting = PERMITS_LAST.as_millis() as u64;
        let if_lost = |born: u64| (born + lasting) as f64 * 1_000.0 + burst * micros;
        let full = known.get(&ask.route).copied().or(self.lost_at.map(if_lost)).unwrap_or(at);
        let of = |entry: &Entry| entry.rates.get(&ask.route).copied();
        let of_others: Vec<_> = self.others.iter().filter_map(|entry| of(entry)).collect();
        let valid = of_others.iter().filter(|(_, until)| *until > self.now);
        let held: f64 = valid.map(|(left, _)| f64::from(*left)).sum();
        let full = full.max(self.spent_by(of_others, self.mine.and_then(of), micros));
        let back = (left - want).max(0.0);
        left -= back;
        let mut full = (full - back * micros).max(at + (held + left) * micros);
        let mut level = burst - (full - at) / micros;
        let most = (least - left).max((level / (2.0 * self.nodes as f64)).floor());
        let more = if self.may { (want - left).min(most).min(level.floor()).max(0.0) } else { 0.0 };
        full = (full + more * micros).ceil();
        (level, left) = (level - more, left + more);
        self.recalls |= left < least && self.waits;
        let wait = if left < least { ((least - left - level) * micros / 1_000.0).ceil() } else { 0.0 };
        known.insert(ask.route, full);
        if full <= at {
            known.remove(&ask.route);
        }
        if left > 0.0 {
            kept.rates.insert(ask.route, (left as u32, self.now + lasting));
        }
        RateLent { more: more as u32, free: level.floor().max(0.0) as u32, wait_millis: wait.max(0.0) as u64 }
    }
    /// When all would be back if everyone had spent what they held at the last moment, in microseconds.
    fn spent_by(&self, others: Vec<(u32, u64)>, mine: Option<(u32, u64)>, micros: f64) -> f64 {
        let mut lent: Vec<_> = others.into_iter().chain(mine).collect();
        lent.sort_by_key(|(_, until)| std::cmp::Reverse(*until));
        let (mut sum, mut full) = (0.0, 0.0_f64);
        for (left, until) in lent {
            sum += f64::from(left);
            full = full.max(until.min(self.now) as f64 * 1_000.0 + sum * micros);
        }
        full
    }
}
