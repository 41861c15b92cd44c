//! The fleet's nodes, what is on its way between them and Redis, and what happens to all of it.

use std::collections::BTreeMap;

use super::super::Call;
use super::super::book::{Answer, Book, Caller, Entry};
use super::faults::{Faults, Guarded};
use super::node::{Node, Terms, kept};
use crate::domain::account::tests::{at, entitlement, priced, rate};
use crate::domain::tier::Overage;
use crate::domain::usage::Now;

pub(super) const NAME: &str = "acme";
pub(super) const TIMEOUT: u64 = 100;
pub(super) const WAITS: u64 = 250;
pub(super) const TICK: u64 = 250;
pub(super) const GONE: u64 = 3_000;
pub(super) const STEPS: usize = 300;

/// Random numbers that a seed decides (`SplitMix64`).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(super) fn place<T>(&mut self, list: &[T]) -> Option<usize> {
        (!list.is_empty()).then(|| usize::try_from(self.below(list.len() as u64)).unwrap_or(0))
    }

    pub(super) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

pub(super) enum Event {
    /// A call arrives.
    Call {
        from: usize,
        life: u32,
        call: Call,
        version: [u8; 8],
        others: Vec<(u32, Entry)>,
        seen: Option<(u64, u64)>,
    },
    Answer {
        to: usize,
        life: u32,
        call: Call,
        version: [u8; 8],
        answer: Box<Answer>,
    },
    Timeout {
        of: usize,
        life: u32,
        seq: u64,
    },
    Recall {
        to: usize,
    },
    Tick {
        of: usize,
    },
    Retry {
        of: usize,
    },
}

/// Whoever calls or looks.
pub(super) fn caller(slot: u32, live: &[u32], seen: Option<(u64, u64)>, at_millis: u64) -> Caller<'_> {
    Caller { slot, live, seen, rest_millis: 500, rebuild_millis: 30_000, at_millis }
}

#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the world")]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) guarded: Guarded,
    pub(super) now: u64,
    pub(super) book: Book,
    pub(super) nodes: Vec<Node>,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    pub(super) order: u64,
    pub(super) terms: Terms,
    pub(super) grants: Vec<(i64, u64)>,
    /// The most units that any terms so far have had room for.
    pub(super) most: u64,
    /// When each request was admitted.
    pub(super) times: Vec<u64>,
    /// Versions under which something has been lent.
    pub(super) lent_under: Option<[u8; 8]>,
    /// Something was admitted under terms when others had been lent something under later ones.
    pub(super) mixed: bool,
    pub(super) flush_is_due: bool,
    pub(super) copy: Option<Book>,
    pub(super) settled_down: bool,
    /// No node is idle: what it holds comes back only when others ask.
    pub(super) busy: bool,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults, guarded: Guarded) -> Self {
        let mut random = Random(seed);
        let included = random.below(400) + 5;
        let (overage, beyond) = match random.below(3) {
            0 => (priced(3, Some(300)), 100),
            _ => (Overage::Deny, 0),
        };
        let grants = if beyond == 0 && random.one_in(3) { vec![(1, 60), (2, 40)] } else { Vec::new() };
        let rate = faults.rates.then(|| rate(40, 20));
        let terms = Terms { version: *b"00000001", included, overage, beyond, rate };
        let nodes = match random.below(40) {
            0 => 50,
            1..5 => 12,
            few => usize::try_from(few).unwrap_or(0) % 4 + 2,
        };
        let mut world = Self {
            random,
            faults,
            guarded,
            now: 1_000_000,
            book: Book::guarded(guarded.book),
            nodes: (0..nodes).map(|_| Node::new(terms.version)).collect(),
            events: BTreeMap::new(),
            order: 0,
            most: 0,
            terms,
            grants,
            times: Vec::new(),
            lent_under: None,
            mixed: false,
            flush_is_due: false,
            copy: None,
            settled_down: false,
            busy: false,
        };
        world.most = world.room();
        for of in 0..nodes {
            let after = world.random.below(TICK);
            world.put(after, Event::Tick { of });
        }
        world
    }

    pub(super) fn admitted(&self) -> usize {
        self.times.len()
    }

    pub(super) fn room(&self) -> u64 {
        self.terms.included + self.terms.beyond + self.grants.iter().map(|grant| grant.1).sum::<u64>()
    }

    pub(super) fn put(&mut self, after: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + after, self.order), event);
    }

    pub(super) fn clock(&self) -> Now {
        Now(at(0).nanos() + self.now * 1_000_000)
    }

    pub(super) fn live(&self) -> Vec<u32> {
        let is_live = |node: &Node| node.lost_at.is_none_or(|lost| self.now < lost + GONE);
        (0..).zip(&self.nodes).filter(|(_, node)| is_live(node)).map(|(slot, _)| slot).collect()
    }

    /// Anything, for a while.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            let step = self.random.below(12);
            self.pass(step)?;
            self.disturb();
            let of = self.random.place(&self.nodes).unwrap_or(0);
            match self.random.below(10) {
                0..5 => {
                    let cost = self.random.below(5) + 1;
                    self.request(of, cost);
                }
                5..8 => self.land(of),
                _ => {}
            }
            self.check()?;
        }
        Ok(())
    }

    /// Lets time pass, and what happens in it.
    pub(super) fn pass(&mut self, millis: u64) -> Result<(), String> {
        let end = self.now + millis;
        while let Some(((due, _), _)) = self.events.first_key_value()
            && *due <= end
        {
            let ((due, _), event) = self.events.pop_first().ok_or("an event")?;
            self.now = due.max(self.now);
            self.happen(event);
            self.check()?;
        }
        self.now = end;
        Ok(())
    }

    /// A node learns the terms in force.
    pub(super) fn learn(&mut self, of: usize) {
        let (now, terms) = (self.clock(), self.terms.clone());
        let node = &mut self.nodes[of];
        if let Some(account) = node.account.as_mut().filter(|_| node.version < terms.version) {
            account.entitle(entitlement(super::node::of(&terms)), None, now);
            node.version = terms.version;
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.nodes.iter().map(Node::taken).sum()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.mixed {
            return Err(format!("two terms side by side at {}", self.now));
        }
        let taken = self.taken();
        if taken > self.most {
            return Err(format!(
                "{taken} of {} at {} ({:?}, {} nodes)",
                self.most,
                self.now,
                self.faults,
                self.nodes.len()
            ));
        }
        Ok(())
    }

    /// Nothing goes wrong any more: all that is left can be used, by whoever comes, but for what the lost ones hold.
    pub(super) fn use_up(&mut self) -> Result<(), String> {
        self.settled_down = true;
        self.busy = !self.faults.losses;
        self.faults = Faults { rates: self.faults.rates, ..Faults::default() };
        let now = self.now;
        for node in self.nodes.iter_mut().filter(|node| node.is_up(now)) {
            node.cut_until = now;
            while !node.in_flight.is_empty() {
                let clock = Now(at(0).nanos() + now * 1_000_000);
                node.settle(0, clock);
            }
        }
        self.pass(GONE + 1_000)?;
        for of in 0..self.nodes.len() {
            self.learn(of);
        }
        let to = self.nodes.iter().position(|node| node.is_up(self.now)).ok_or("somebody")?;
        let lost: u64 = (0..)
            .zip(&self.nodes)
            .filter(|(_, node)| !node.is_up(self.now))
            .map(|(slot, node)| {
                let entry = self.book.entries(NAME).find(|(known, _)| *known == slot);
                entry.map_or(0, |(_, entry)| kept(entry)).saturating_sub(node.taken())
            })
            .sum();
        let mut since_any = 0;
        while self.taken() < self.room() && since_any < 4_000 {
            let taken = self.taken();
            let before = self.now;
            self.request(to, 1);
            self.pass(if self.terms.rate.is_some() { 30 } else { 8 })?;
            let now = self.clock();
            for node in self.nodes.iter_mut().filter(|node| node.is_up(before)) {
                while !node.in_flight.is_empty() {
                    node.settle(0, now);
                }
            }
            since_any = if self.taken() > taken { 0 } else { since_any + self.now - before };
        }
        let left = self.room().saturating_sub(self.taken());
        if left > lost {
            return Err(format!(
                "{left} of {} cannot be used, {lost} are lost ({} nodes)",
                self.room(),
                self.nodes.len()
            ));
        }
        self.check_rate()
    }

    /// No span of time has more than the burst and what is earned in it.
    pub(super) fn check_rate(&self) -> Result<(), String> {
        let Some(rate) = self.terms.rate else { return Ok(()) };
        let (burst, interval) =
            (u64::from(rate.burst()), u64::try_from(rate.interval().as_millis()).unwrap_or(u64::MAX));
        for (first, from) in self.times.iter().enumerate() {
            for (count, to) in (1..).zip(&self.times[first..]) {
                if count > burst + (to - from) / interval {
                    return Err(format!("{count} requests from {from} to {to}"));
                }
            }
        }
        Ok(())
    }
}
