//! The fleet's nodes, what is on its way between them and Redis, and what happens to all of it.

use std::collections::BTreeMap;

use super::super::Call;
use super::super::book::{Answer, Book, Entry, Guards};
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

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(super) struct Faults {
    pub(super) flushes: bool,
    /// Nodes are lost for good. Where Redis is lost as well, all that was lent has been seen by others.
    losses: bool,
    crashes: bool,
    terms: bool,
    rates: bool,
}

impl Faults {
    pub(super) fn of(seed: u64) -> Self {
        let flag = |bit: u32| seed >> bit & 1 == 1;
        let rates = seed % 7 == 3;
        Self {
            flushes: flag(0),
            losses: flag(1),
            // What was last seen of a lost node is not lost with whoever saw it.
            crashes: flag(2) && !(flag(0) && (flag(1) || rates)),
            terms: flag(3) && !rates,
            rates,
        }
    }
}

/// Protections; all on, but for what a test turns off to see what breaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guarded {
    pub(super) book: Guards,
    /// A claim is lowered before the call that says so.
    pub(super) keeps: bool,
    pub(super) others_put_back: bool,
    pub(super) recalls: bool,
}

impl Default for Guarded {
    fn default() -> Self {
        Self { book: Guards::default(), keeps: true, others_put_back: true, recalls: true }
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

    pub(super) fn disturb(&mut self) {
        let of = self.random.place(&self.nodes).unwrap_or(0);
        let now = self.now;
        if self.faults.crashes && self.random.one_in(60) {
            self.nodes[of].crash();
        }
        if self.random.one_in(80) {
            // Shorter than what others take for its end.
            let until = now + self.random.below(2_000);
            self.nodes[of].cut_until = until;
        }
        let alive = self.nodes.iter().filter(|node| node.lost_at.is_none()).count();
        if self.faults.losses
            && alive > 2
            && self.random.one_in(60)
            && (!self.faults.flushes || self.is_all_back())
        {
            self.nodes[of].lost_at.get_or_insert(now);
        }
        self.flush_is_due |= self.faults.flushes && self.random.one_in(120);
        if self.flush_is_due && (!self.faults.losses || self.is_all_seen()) {
            self.flush_is_due = false;
            self.book.flush();
        }
        if self.faults.terms && self.random.one_in(100) {
            self.change_terms();
        }
    }

    /// Whether all know what those have been lent who will never say.
    fn is_all_seen(&self) -> bool {
        let is_lost = |slot: u32| self.nodes[usize::try_from(slot).unwrap_or(0)].lost_at.is_some();
        let lost: Vec<_> = self.book.entries(NAME).filter(|(slot, _)| is_lost(*slot)).collect();
        let knows = |node: &Node| {
            lost.iter()
                .all(|(slot, entry)| node.others.iter().any(|(known, seen)| known == slot && seen == *entry))
        };
        self.nodes.iter().filter(|node| node.lost_at.is_none()).all(knows)
    }

    /// Whether nothing is to be put back.
    fn is_all_back(&self) -> bool {
        let is_back = |node: &Node| node.owes.is_none() && node.seen.map(|seen| seen.0) == self.book.life();
        self.nodes.iter().filter(|node| node.lost_at.is_none()).all(is_back)
    }

    pub(super) fn change_terms(&mut self) {
        let number = self.terms.version[7] + 1;
        self.terms.version[7] = number;
        self.terms.included = self.random.below(400) + 5;
        self.book.put(NAME, self.terms.version);
        self.most = self.most.max(self.room());
        let of = self.random.place(&self.nodes).unwrap_or(0);
        self.learn(of);
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
        self.faults = Faults { flushes: false, losses: false, crashes: false, terms: false, ..self.faults };
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
