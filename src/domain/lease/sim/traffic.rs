//! Requests at the nodes of a simulated fleet, and the calls that they lead to.

use super::world::{Event, TIMEOUT, WAITS, World};
use crate::domain::account::tests::route;
use crate::domain::account::{Account, Purpose};

impl World {
    pub(super) fn request(&mut self, of: usize, cost: u64) {
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
    pub(super) fn admit(&mut self, of: usize, cost: u64) -> bool {
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
    pub(super) fn land(&mut self, of: usize) {
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

    pub(super) fn call(&mut self, of: usize, purpose: Purpose<'_>) {
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

    pub(super) fn tick(&mut self, of: usize) {
        let idle = !self.busy && self.now.saturating_sub(self.nodes[of].quiet_since) > 2_000;
        let stirred = self.nodes[of].account.as_ref().is_some_and(Account::is_stirred);
        if self.nodes[of].account.is_none() && self.nodes[of].hears(self.now) {
            // Asks whether something is to be put back, as who joins does.
            let (terms, grants) = (self.terms.clone(), self.grants.clone());
            self.nodes[of].load(&terms, &grants);
        }
        if idle {
            self.call(of, Purpose::Return);
        } else if stirred
            || self.nodes[of].seen.map(|seen| seen.0) != self.book.life()
            || self.nodes[of].owes.is_some()
        {
            self.call(of, Purpose::Publish);
        }
        self.retry(of);
    }

    /// Requests that wait try again; some have waited for long enough.
    pub(super) fn retry(&mut self, of: usize) {
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
}
