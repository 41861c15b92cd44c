//! The fleet's nodes, what is on its way between them and Redis, and what happens to all of it.

use std::collections::BTreeMap;

use super::super::book::{Answer, Book, Caller, Entry, Guards};
use super::super::{Call, Settled};
use super::node::{Node, Terms, kept};
use crate::domain::account::tests::{at, entitlement, priced, rate, route};
use crate::domain::account::{Account, Purpose};
use crate::domain::tier::Overage;
use crate::domain::usage::Now;

const NAME: &str = "acme";
const TIMEOUT: u64 = 100;
const WAITS: u64 = 250;
const TICK: u64 = 250;
const GONE: u64 = 3_000;
const STEPS: usize = 300;

/// Random numbers that a seed decides (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn place<T>(&mut self, list: &[T]) -> Option<usize> {
        (!list.is_empty()).then(|| usize::try_from(self.below(list.len() as u64)).unwrap_or(0))
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    flushes: bool,
    /// Nodes are lost for good. Where Redis is lost as well the limit holds but for what they were lent last.
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
            losses: !flag(0) && flag(1),
            crashes: flag(2),
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

enum Event {
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

pub(super) struct World {
    random: Random,
    faults: Faults,
    guarded: Guarded,
    now: u64,
    book: Book,
    nodes: Vec<Node>,
    events: BTreeMap<(u64, u64), Event>,
    order: u64,
    terms: Terms,
    grants: Vec<(i64, u64)>,
    /// The most units that any terms so far have had room for.
    most: u64,
    /// When each request was admitted.
    times: Vec<u64>,
    /// Versions under which something has been lent.
    lent_under: Option<[u8; 8]>,
    /// Something was admitted under terms when others had been lent something under later ones.
    mixed: bool,
    settled_down: bool,
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
            settled_down: false,
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

    fn room(&self) -> u64 {
        self.terms.included + self.terms.beyond + self.grants.iter().map(|grant| grant.1).sum::<u64>()
    }

    fn put(&mut self, after: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + after, self.order), event);
    }

    fn clock(&self) -> Now {
        Now(at(0).nanos() + self.now * 1_000_000)
    }

    fn live(&self) -> Vec<u32> {
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
    fn pass(&mut self, millis: u64) -> Result<(), String> {
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

    fn disturb(&mut self) {
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
        if self.faults.losses && alive > 2 && self.random.one_in(100) {
            self.nodes[of].lost_at.get_or_insert(now);
        }
        if self.faults.flushes && self.random.one_in(120) {
            self.book.flush();
        }
        if self.faults.terms && self.random.one_in(100) {
            self.change_terms();
        }
    }

    fn change_terms(&mut self) {
        let number = self.terms.version[7] + 1;
        self.terms.version[7] = number;
        self.terms.included = self.random.below(400) + 5;
        self.book.put(NAME, self.terms.version);
        self.most = self.most.max(self.room());
        let of = self.random.place(&self.nodes).unwrap_or(0);
        self.learn(of);
    }

    /// A node learns the terms in force.
    fn learn(&mut self, of: usize) {
        let (now, terms) = (self.clock(), self.terms.clone());
        let node = &mut self.nodes[of];
        if let Some(account) = node.account.as_mut().filter(|_| node.version < terms.version) {
            account.entitle(entitlement(super::node::of(&terms)), None, now);
            node.version = terms.version;
        }
    }

    fn request(&mut self, of: usize, cost: u64) {
        if !self.nodes[of].is_up(self.now) {
            return;
        }
        let (terms, grants) = (self.terms.clone(), self.grants.clone());
        self.nodes[of].load(&terms, &grants);
        self.nodes[of].quiet_since = self.now;
        if !self.admit(of, cost) {
            let until = self.now + WAITS;
            self.nodes[of].waiting.push((cost, until));
            self.call(of, Purpose::Request(&route(cost)));
        }
    }

    /// Whether the account decided.
    fn admit(&mut self, of: usize, cost: u64) -> bool {
        let now = self.clock();
        let node = &mut self.nodes[of];
        let Some(account) = &mut node.account else { return true };
        if account.lacks(&route(cost), None, now) {
            return false;
        }
        if account.admit(&route(cost), None, now).is_ok() {
            node.in_flight.push(cost);
            self.times.push(self.now);
            if self.lent_under.is_some_and(|lent| lent > node.version) {
                // What was taken back since may be used again: it was counted as used.
                self.mixed |= node.undone < cost;
                node.undone = node.undone.saturating_sub(cost);
            }
        }
        true
    }

    /// What is in flight settles, is released, or a charge is taken back.
    fn land(&mut self, of: usize) {
        let now = self.clock();
        let what = self.random.below(8);
        let node = &mut self.nodes[of];
        if !node.is_up(self.now) {
            return;
        }
        if what == 0 {
            if let Some(place) = self.random.place(&node.charges).filter(|_| node.account.is_some()) {
                node.undo(place, now);
            }
        } else if let Some(place) = self.random.place(&node.in_flight) {
            if what == 1 {
                let cost = node.in_flight.swap_remove(place);
                if let Some(account) = &mut node.account {
                    account.release(&route(cost).cost, None);
                }
            } else {
                node.settle(place, now);
            }
        }
    }

    fn call(&mut self, of: usize, purpose: Purpose<'_>) {
        let now = self.clock();
        let node = &mut self.nodes[of];
        if !node.hears(self.now) {
            return;
        }
        let before = node.account.clone();
        let Some(mut call) = node.account.as_mut().and_then(|account| account.call(purpose, now)) else {
            return;
        };
        if let Some(before) = before.filter(|_| !self.guarded.keeps && matches!(purpose, Purpose::Return)) {
            node.account = Some(before);
        }
        call.wants_others = self.faults.flushes;
        node.under_way = Some(call.clone());
        let others = if node.owes.is_some() && self.guarded.others_put_back {
            node.others.clone()
        } else {
            Vec::new()
        };
        let (life, version, seen, seq) = (node.life, node.version, node.seen, call.seq);
        self.put(TIMEOUT, Event::Timeout { of, life, seq });
        let faults = if self.settled_down { 0 } else { self.random.below(20) };
        if faults == 1 {
            return;
        }
        let copies = if faults == 2 { 2 } else { 1 };
        for _ in 0..copies {
            let after = if faults >= 17 { self.random.below(400) } else { self.random.below(4) };
            let (call, others) = (call.clone(), others.clone());
            self.put(after, Event::Call { from: of, life, call, version, others, seen });
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Call { from, life, call, version, others, seen } => {
                self.arrive(from, life, call, version, &others, seen);
            }
            Event::Answer { to, life, call, version, answer } => {
                if self.nodes[to].life == life && self.nodes[to].hears(self.now) {
                    self.answered(to, &call, version, &answer);
                }
            }
            Event::Timeout { of, life, seq } => {
                let node = &mut self.nodes[of];
                if node.life == life && node.under_way.as_ref().is_some_and(|call| call.seq == seq) {
                    let call = node.under_way.take();
                    if let (Some(call), Some(account)) = (call, &mut node.account) {
                        account.call_failed(&call);
                    }
                    self.put(5, Event::Retry { of });
                }
            }
            Event::Tick { of } | Event::Retry { of } | Event::Recall { to: of }
                if !self.nodes[of].is_up(self.now) => {}
            Event::Recall { to } => self.call(to, Purpose::Return),
            Event::Tick { of } => {
                self.tick(of);
                self.put(TICK, Event::Tick { of });
            }
            Event::Retry { of } => self.retry(of),
        }
    }

    fn tick(&mut self, of: usize) {
        let idle = self.now.saturating_sub(self.nodes[of].quiet_since) > 2_000;
        let stirred = self.nodes[of].account.as_ref().is_some_and(Account::is_stirred);
        if self.nodes[of].account.is_none() && self.nodes[of].hears(self.now) {
            // Asks whether something is to be put back, as who joins does.
            let (terms, grants) = (self.terms.clone(), self.grants.clone());
            self.nodes[of].load(&terms, &grants);
        }
        if idle {
            self.call(of, Purpose::Return);
        } else if stirred || self.nodes[of].owes.is_some() || self.nodes[of].seen.is_none() {
            self.call(of, Purpose::Publish);
        }
        self.retry(of);
    }

    /// Requests that wait try again; some have waited for long enough.
    fn retry(&mut self, of: usize) {
        let now = self.clock();
        for (cost, until) in std::mem::take(&mut self.nodes[of].waiting) {
            if self.admit(of, cost) {
                continue;
            }
            if self.now < until {
                self.nodes[of].waiting.push((cost, until));
                self.call(of, Purpose::Request(&route(cost)));
            } else if let Some(account) = &mut self.nodes[of].account {
                account.give_up(Purpose::Request(&route(cost)), now);
                self.admit(of, cost);
            }
        }
    }

    fn arrive(
        &mut self,
        from: usize,
        life: u32,
        call: Call,
        version: [u8; 8],
        others: &[(u32, Entry)],
        seen: Option<(u64, u64)>,
    ) {
        let live = self.live();
        let slot = u32::try_from(from).unwrap_or(0);
        let caller =
            Caller { slot, live: &live, seen, rest_millis: 500, rebuild_millis: 30_000, at_millis: self.now };
        let answer = self.book.settle(&caller, NAME, version, &call, others);
        if answer.version.is_none() && version > *b"00000001" {
            // Facts come back with whoever knows them.
            self.book.put(NAME, self.terms.version);
        }
        if answer.recalls && self.guarded.recalls {
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                if self.settled_down || !self.random.one_in(10) {
                    let after = self.random.below(4);
                    self.put(after, Event::Recall { to });
                }
            }
        }
        if self.settled_down || !self.random.one_in(20) {
            let after = if !self.settled_down && self.random.one_in(10) { self.random.below(300) } else { 1 };
            self.put(after, Event::Answer { to: from, life, call, version, answer: Box::new(answer) });
        }
    }

    fn answered(&mut self, to: usize, call: &Call, version: [u8; 8], answer: &Answer) {
        let now = self.clock();
        let node = &mut self.nodes[to];
        let known = node.seen.filter(|seen| seen.0 == answer.marker.0);
        // A late answer may be of an older life than one that was seen since.
        let is_late = node.seen.is_some_and(|seen| seen.0 > answer.marker.0);
        if !is_late {
            node.seen = Some((answer.marker.0, answer.marker.1.max(known.map_or(0, |seen| seen.1))));
        }
        let under_way = node.under_way.as_ref().is_some_and(|known| known.seq == call.seq);
        if under_way {
            node.under_way = None;
        }
        let Some(account) = &mut node.account else { return };
        let knows_terms = account.take(call, &answer.settled, now);
        let is_lent = matches!(answer.settled, Settled::Lent { .. });
        if is_lent && !is_late && !answer.is_back {
            if node.owes == Some(answer.marker.0) && under_way {
                node.owes = None;
                self.book.put_back(u32::try_from(to).unwrap_or(0), answer.marker.0);
            } else {
                node.owes = Some(answer.marker.0);
            }
        } else if is_lent && !is_late {
            node.owes = None;
            node.others.clone_from(&answer.others);
        }
        let is_current = under_way && version == node.version;
        if matches!(&answer.settled, Settled::Lent { lends: true, .. }) && is_current {
            self.lent_under = self.lent_under.max(Some(node.version));
        }
        if !knows_terms {
            self.learn(to);
        }
        if !self.nodes[to].waiting.is_empty() {
            let after = self.random.below(6) + 1;
            self.put(after, Event::Retry { of: to });
        }
        if self.nodes[to].owes.is_some() {
            self.call(to, Purpose::Publish);
        }
    }

    fn taken(&self) -> u64 {
        self.nodes.iter().map(Node::taken).sum()
    }

    fn check(&self) -> Result<(), String> {
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
        for _ in 0..2_000 {
            if self.taken() >= self.room() {
                break;
            }
            self.request(to, 1);
            self.pass(if self.terms.rate.is_some() { 30 } else { 8 })?;
            while !self.nodes[to].in_flight.is_empty() {
                let clock = self.clock();
                self.nodes[to].settle(0, clock);
            }
        }
        let left = self.room().saturating_sub(self.taken());
        if left > lost {
            if std::env::var("SEED").is_ok() {
                for (slot, node) in self.nodes.iter().enumerate() {
                    eprintln!(
                        "{slot} {} {:?} {:?} {:?}",
                        node.taken(),
                        node.waiting,
                        node.under_way,
                        node.account
                    );
                }
                for (slot, entry) in self.book.entries(NAME) {
                    eprintln!("{slot} {entry:?}");
                }
            }
            return Err(format!(
                "{left} of {} cannot be used, {lost} are lost ({} nodes)",
                self.room(),
                self.nodes.len()
            ));
        }
        self.check_rate()
    }

    /// No span of time has more than the burst and what is earned in it.
    fn check_rate(&self) -> Result<(), String> {
        let Some(rate) = self.terms.rate else { return Ok(()) };
        let (burst, interval) = (u64::from(rate.burst()), rate.interval().as_nanos() as u64 / 1_000_000);
        for (first, from) in self.times.iter().enumerate() {
            for (count, to) in (1..).zip(&self.times[first..]) {
                if count > burst + (to - from) / interval + 1 {
                    return Err(format!("{count} requests from {from} to {to}"));
                }
            }
        }
        Ok(())
    }
}
