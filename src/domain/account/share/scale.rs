//! The spend cap in whole numbers: multiples of the smallest part that its prices and the cap itself have.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::super::Account;
use super::Share;
use crate::domain::lease::{Pool, UNLIMITED};
use crate::domain::tier::{Overage, Tier};
use crate::domain::usage::Now;

/// Digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale(u32);

impl Scale {
    /// `None` where there is no cap.
    pub(super) fn of(overage: &Overage) -> Option<Self> {
        let Overage::Priced { unit_amounts, cap: Some(cap) } = overage else { return None };
        let digits = unit_amounts.iter().chain([cap]).map(|amount| amount.normalize().scale());
        digits.max().map(Self)
    }

    /// Exact for what the prices make; never less than the amount.
    pub(super) fn parts(self, amount: Decimal) -> u64 {
        let whole = Decimal::try_from_i128_with_scale(10_i128.pow(self.0), 0).ok();
        let parts = whole.and_then(|whole| amount.checked_mul(whole));
        parts.and_then(|parts| parts.ceil().to_u64()).unwrap_or(UNLIMITED).min(UNLIMITED)
    }

    pub(super) fn amount(self, parts: u64) -> Decimal {
        let parts = i64::try_from(parts).unwrap_or(i64::MAX);
        Decimal::try_new(parts, self.0).unwrap_or(Decimal::MAX)
    }
}

impl Account {
    /// What the overage of this node may cost: the cap, or its claim on it.
    pub(in super::super) fn cap_here(&self, tier: &Tier, cap: Decimal) -> Decimal {
        let Some(share) = self.share() else { return cap };
        let Some(scale) = Scale::of(&tier.overage) else { return cap };
        let claim = share.claim(Pool::Cap, self.period.start);
        scale.amount(claim.map_or(0, |claim| claim.lent)).min(cap)
    }

    /// What settled overage has taken off the cap in a window.
    pub(super) fn cap_used(&self, share: &Share, window: i64) -> u64 {
        let Some((overage, scale)) = self.overage_terms().and_then(|o| Some((o, Scale::of(o)?))) else {
            return 0;
        };
        let Overage::Priced { unit_amounts, .. } = overage else { return 0 };
        let amount = self.meters().zip(unit_amounts).map(|(meter, price)| {
            price.saturating_mul(Decimal::from(self.overage_here(share, meter, window)))
        });
        scale.parts(amount.fold(Decimal::ZERO, Decimal::saturating_add))
    }

    /// The same of the current window, with what is in flight.
    pub(super) fn cap_held(&self, now: Now) -> u64 {
        let Some(tier) = self.terms.entitlement.tier_at(now.seconds()) else { return 0 };
        Scale::of(&tier.overage).map_or(0, |scale| scale.parts(self.overage(tier, |_| 0, now)))
    }
}
