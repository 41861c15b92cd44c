//! Shadow: what a limit refuses is served all the same.
//!
//! Nothing else changes: what was refused holds nothing, draws on nothing and is counted by no limit, as if it had not
//! been served. So the limits decide over all others as they would if they were enforced, and whoever is billed is
//! billed for what would have been admitted: an operator who puts this before an API that is in use learns what the
//! limits would do, and no invoice holds a unit that they would have refused. Units that are admitted as overage are
//! priced as always. What was served in spite of a refusal is recorded as *uncovered*: usage, and nobody's debt.

use super::{Account, Admitted, ByMember};
use crate::domain::measure::TrueCost;
use crate::domain::tier::Mode;
use crate::domain::units::MeterId;
use crate::domain::usage::{Change, Charge, Correction, Draw, MemberId, Now};

impl Account {
    /// After a refusal, on a route of this mode: the permission to serve it all the same, which holds nothing. None
    /// where the limits are enforced, an operator has blocked the customer, or there is no tier to serve it under.
    pub fn pass_in_shadow(&self, route: Mode, member: Option<MemberId>, now: Now) -> Option<Admitted> {
        let tier = self.terms.entitlement.tier_at(now.seconds())?;
        let is_shadow = route == Mode::Shadow || tier.mode == Mode::Shadow;
        let member = member.map(ByMember::from);
        (is_shadow && !self.is_blocked()).then_some(Admitted {
            tier: tier.id,
            key: None,
            member,
            in_shadow: true,
        })
    }

    pub(super) fn settle_in_shadow(
        &mut self,
        units: impl Iterator<Item = (MeterId, u64)>,
        now: Now,
    ) -> Charge {
        self.roll(now);
        Charge {
            period: self.period,
            at: now,
            draws: units.map(|(meter, units)| uncovered(meter, units)).collect(),
            lots: Vec::new(),
            key: None,
            member: None,
            in_shadow: true,
        }
    }

    pub(super) fn correct_in_shadow(&self, charge: &Charge, truth: &TrueCost, now: Now) -> Correction {
        let mut correction = Correction::none(self.period_of_return(charge, now), now);
        for draw in &charge.draws {
            correction.change(Change::between(draw, &uncovered(draw.meter, truth.of(draw.meter))));
        }
        correction
    }
}

fn uncovered(meter: MeterId, units: u64) -> Draw {
    Draw { uncovered: units, ..Draw::none(meter) }
}
