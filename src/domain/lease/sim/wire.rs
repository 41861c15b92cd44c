//! What is on its way between the nodes of a simulated fleet and Redis.

use super::super::book::{Answer, Entry};
use super::super::{Call, Settled};
use super::world::{Event, NAME, TICK, World, caller};
use crate::domain::account::Purpose;

impl World {
    pub(super) fn happen(&mut self, event: Event) {
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

    pub(super) fn arrive(
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
        let caller = caller(slot, &live, seen, self.now);
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

    pub(super) fn answered(&mut self, to: usize, call: &Call, version: [u8; 8], answer: &Answer) {
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
        if answer.is_back && !is_late {
            node.owes = None;
            if is_lent {
                node.others.clone_from(&answer.others);
            }
        } else if !is_late && is_lent && under_way && node.owes == Some(answer.marker.0) {
            node.owes = None;
            self.book.put_back(u32::try_from(to).unwrap_or(0), answer.marker.0);
        } else if !is_late {
            node.owes = Some(answer.marker.0);
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
}
