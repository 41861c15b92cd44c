//! What goes wrong in a simulated fleet, and what protects it.

use super::super::book::Guards;
use super::node::Node;
use super::world::{Event, NAME, World, caller};

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(super) struct Faults {
    pub(super) flushes: bool,
    /// Nodes are lost for good. Where Redis is lost as well, all that was lent has been seen by others.
    pub(super) losses: bool,
    pub(super) crashes: bool,
    pub(super) terms: bool,
    pub(super) rates: bool,
    /// Copies of Redis that are behind take its place, and all connect to them at once: what was written last is
    /// gone, and nobody else knew it.
    pub(super) copies: bool,
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
            copies: flag(4) && !flag(1) && !flag(2) && !flag(3),
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

impl World {
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
        if self.faults.copies && self.random.one_in(4) {
            self.copy = Some(self.book.clone());
        }
        if self.faults.copies && self.random.one_in(40) && self.nodes.iter().all(|node| node.hears(now)) {
            self.fail_over();
        }
    }

    /// Nobody hears any more what was said to the one before, and each looks at the other at once.
    fn fail_over(&mut self) {
        let Some(copy) = self.copy.take() else { return };
        self.book.fall_back(copy);
        self.events.retain(|_, event| !matches!(event, Event::Call { .. } | Event::Answer { .. }));
        let (live, first) = (self.live(), self.random.place(&self.nodes).unwrap_or(0));
        for at in 0..self.nodes.len() {
            let of = (first + at) % self.nodes.len();
            let (slot, seen) = (u32::try_from(of).unwrap_or(0), self.nodes[of].seen);
            for _ in 0..=self.random.below(3) {
                self.book.touch(&caller(slot, &live, seen, self.now));
            }
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
}
