//! What of an account is worth telling: shares of the period's units that are reached, and the spend cap.

use smallvec::SmallVec;

use super::Account;
use crate::domain::notice;
use crate::domain::units::MeterId;
use crate::domain::usage::Now;

/// A share of a meter's units that the current period has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub meter: MeterId,
    /// In percent.
    pub share: u8,
    /// What it is a share of: the units that the tier in force includes.
    pub included: u64,
}

impl Account {
    /// The share that a draw reaches which takes `drawn` of the `left` units. Arithmetic alone: it is under way with
    /// every charge.
    pub(super) fn reached(&self, meter: MeterId, left: (u64, u64), drawn: u64, now: Now) -> Option<u8> {
        let tier = self.terms.entitlement.tier_at(now.seconds());
        let left = tier.and_then(|tier| self.left_of_all(tier, meter)).unwrap_or(left);
        let included = tier.map_or(0, |tier| tier.included(meter).units());
        let before = included.saturating_sub(left.0.saturating_add(left.1));
        notice::reached(before, before.saturating_add(drawn), included)
    }

    /// The highest share of each meter, where there is one.
    pub fn marks(&mut self, now: Now) -> SmallVec<[Mark; 1]> {
        self.roll(now);
        let Some(tier) = self.terms.entitlement.tier_at(now.seconds()) else { return SmallVec::new() };
        let mark = |meter| {
            let included = tier.included(meter).units();
            let share = notice::highest(self.settled(tier, meter), included)?;
            Some(Mark { meter, share, included })
        };
        self.meters().filter_map(mark).collect()
    }

    /// Units of a meter that the tier in force includes.
    pub fn included(&self, meter: MeterId, now: Now) -> u64 {
        self.terms.entitlement.tier_at(now.seconds()).map_or(0, |tier| tier.included(meter).units())
    }

    /// Notes that the spend cap has refused; answers whether it is the first time in this period.
    pub fn note_capped(&mut self, now: Now) -> bool {
        self.roll(now);
        let start = self.period.start;
        self.rare().capped_in.replace(start) != Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{API, account, at, route, tier};
    use super::*;
    use crate::domain::tier::Overage;

    fn charge(account: &mut Account, cost: u64) -> Option<u8> {
        account.admit(&route(cost), None, at(1)).expect("it is admitted");
        account.settle(&route(cost).cost, None, at(1)).draws[0].reached
    }

    #[test]
    fn a_charge_tells_of_the_share_that_it_reaches_and_of_none_twice() {
        let mut account = account(tier(10, Overage::Deny, None));
        assert_eq!(account.marks(at(1)).first(), None);
        let told: Vec<_> = [4, 1, 2, 1, 2].map(|cost| charge(&mut account, cost)).into();
        assert_eq!(told, [None, Some(50), None, Some(80), Some(100)]);
        let mark = Mark { meter: API, share: 100, included: 10 };
        assert_eq!(account.marks(at(1)).as_slice(), [mark], "whoever loads it knows the highest");
    }

    #[test]
    fn units_beyond_the_included_ones_reach_no_share() {
        let priced = Overage::Priced { unit_amounts: vec![rust_decimal::Decimal::ONE], cap: None };
        let mut account = account(tier(10, priced, None));
        let told: Vec<_> = [9, 3, 5].map(|cost| charge(&mut account, cost)).into();
        assert_eq!(told, [Some(80), Some(100), None]);
    }

    #[test]
    fn a_spend_cap_is_noted_once_in_a_period() {
        let mut account = account(tier(10, Overage::Deny, None));
        assert_eq!([account.note_capped(at(1)), account.note_capped(at(2))], [true, false]);
        let next_month = at(32 * 86_400);
        assert_eq!([account.note_capped(next_month), account.note_capped(next_month)], [true, false]);
    }
}
