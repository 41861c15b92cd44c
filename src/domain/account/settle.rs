//! Settling: reserved units become used ones.
//!
//! Units are drawn in one order: what the tier includes, what an override adds, credits, overage. What a request had
//! reserved is charged in any case. What its exchange turned out to cost beyond that may pass a limit once; where
//! nothing pays for it, it is *uncovered*: later requests find it counted, and nobody is billed for it.

use super::{Account, By, ByMember, of_meter};
use crate::domain::credits::Lot;
use crate::domain::measure::TrueCost;
use crate::domain::tier::Overage;
use crate::domain::units::{Cost, MeterId};
use crate::domain::usage::{Charge, Draw, Draws, Now, Unbilled};

impl Account {
    /// Turns reserved units into used ones of the window that holds `now`; nothing for a repeat.
    pub fn settle(&mut self, cost: &Cost, by: impl Into<By>, now: Now) -> Charge {
        let By { key, member, in_shadow } = by.into();
        if in_shadow {
            return self.settle_in_shadow(cost.iter(), now);
        }
        let charge =
            |account: &mut Self, held: &Cost, member: Option<ByMember>| account.charge(held, member, now);
        match key {
            Some(key) => self.settle_keyed(key, member, now, charge),
            None => charge(self, cost, member),
        }
    }

    /// The same where the exchange has told what it cost; `cost` is what was reserved for it.
    pub fn settle_with(&mut self, cost: &Cost, truth: &TrueCost, by: impl Into<By>, now: Now) -> Charge {
        let By { key, member, in_shadow } = by.into();
        if in_shadow {
            return self.settle_in_shadow(truth.iter(), now);
        }
        let charge = |account: &mut Self, held: &Cost, member: Option<ByMember>| {
            account.charge_truth(held, truth, member, now)
        };
        match key {
            Some(key) => self.settle_keyed(key, member, now, charge),
            None => charge(self, cost, member),
        }
    }

    fn charge(&mut self, cost: &Cost, member: Option<ByMember>, now: Now) -> Charge {
        self.give_back(cost, member);
        self.roll(now);
        let (mut draws, mut lots) = (Draws::new(), Vec::new());
        for (meter, units) in cost.iter() {
            draws.push(self.draw(meter, units, &mut lots, now));
        }
        self.charged(draws, lots, member, now)
    }

    fn charge_truth(&mut self, held: &Cost, truth: &TrueCost, member: Option<ByMember>, now: Now) -> Charge {
        self.give_back(held, member);
        self.roll(now);
        let (draws, lots) = self.draw_truth(|meter| held.of(meter), truth, now);
        self.charged(draws, lots, member, now)
    }

    fn charged(&mut self, draws: Draws, lots: Vec<Lot>, member: Option<ByMember>, now: Now) -> Charge {
        let member = self.count_member(member, &draws, now);
        Charge { period: self.period, at: now, draws, lots, key: None, member, in_shadow: false }
    }

    /// First of all meters what was reserved, then what is beyond.
    pub(super) fn draw_truth(
        &mut self,
        held: impl Fn(MeterId) -> u64,
        truth: &TrueCost,
        at: Now,
    ) -> (Draws, Vec<Lot>) {
        let mut lots = Vec::new();
        let within = |(meter, units): (MeterId, u64)| (meter, units.min(held(meter)));
        let mut draws: Draws =
            truth.iter().map(within).map(|(meter, units)| self.draw(meter, units, &mut lots, at)).collect();
        for (draw, (meter, units)) in draws.iter_mut().zip(truth.iter()) {
            let beyond = units.saturating_sub(held(meter));
            if beyond > 0 {
                draw.add(&self.draw_beyond(meter, beyond, &mut lots, at));
            }
        }
        (draws, lots)
    }

    /// Units that have been reserved.
    fn draw(&mut self, meter: MeterId, units: u64, lots: &mut Vec<Lot>, now: Now) -> Draw {
        let left = self.allowance_left(meter, now);
        let included = units.min(left.0);
        let extra = (units - included).min(left.1);
        let credits = self.spend_credits(units - included - extra, lots, now);
        let rest = units - included - extra - credits;
        let included = included + self.overdrawn(meter, included, rest, now);
        let overage = units - included - extra - credits;
        let reached = self.reached(meter, left, included + extra, now);
        let draw = Draw { meter, included, extra, credits, overage, uncovered: 0, reached };
        self.count(&draw);
        draw
    }

    /// Units that nobody has reserved: no cap is asked, and on a node of a fleet no claim.
    pub(super) fn draw_beyond(&mut self, meter: MeterId, units: u64, lots: &mut Vec<Lot>, at: Now) -> Draw {
        let left = self.allowance_of_all(meter, at);
        let included = units.min(left.0);
        let extra = (units - included).min(left.1);
        let credits = self.spend_credits(units - included - extra, lots, at);
        let rest = units - included - extra - credits;
        let tier = self.terms.entitlement.tier_at(at.seconds());
        let is_priced = tier.is_some_and(|tier| tier.overage != Overage::Deny);
        let (overage, uncovered) = if is_priced { (rest, 0) } else { (0, rest) };
        let reached = self.reached(meter, left, included + extra, at);
        let draw = Draw { meter, included, extra, credits, overage, uncovered, reached };
        self.count(&draw);
        draw
    }

    fn count(&mut self, draw: &Draw) {
        self.draw_on_share(draw);
        let used = &mut self.counts[draw.meter.index()].used;
        *used = used.saturating_add(draw.billed());
        let unbilled = draw.unbilled();
        if unbilled != Unbilled::default() {
            of_meter(&mut self.rare().unbilled, draw.meter).add(unbilled);
        }
    }
}
