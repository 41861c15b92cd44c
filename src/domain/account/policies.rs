//! The limits of an account as clients are shown them.

use std::cmp::Ordering;

use rust_decimal::Decimal;
use smallvec::SmallVec;

use super::Account;
use crate::domain::money::Currency;
use crate::domain::rate::Rate;
use crate::domain::route::{Route, RouteId};
use crate::domain::tier::{Allowance, MemberTerms, Overage, Tier};
use crate::domain::units::MeterId;
use crate::domain::usage::{MemberId, Now};

/// The tightest first.
pub type Policies = SmallVec<[Policy; 4]>;

/// One limit as the `RateLimit` headers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub name: PolicyName,
    /// The most that a window allows.
    pub quota: u64,
    pub window_seconds: u64,
    pub remaining: u64,
    /// Seconds until more remains than now.
    pub resets_in: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyName {
    Rate,
    MemberRate,
    Quota(MeterId),
    MemberQuota(MeterId),
    Cap,
    Credits,
}

impl Account {
    /// Every limit that a request of a member on this route is held against, the tightest first.
    pub fn policies(
        &mut self,
        route: &Route,
        member: Option<MemberId>,
        currency: Currency,
        now: Now,
    ) -> Policies {
        self.roll(now);
        let mut policies = Policies::new();
        let Some(tier) = self.terms.entitlement.tier_at(now.seconds()) else { return policies };
        policies.extend(self.rate_policy(tier, route, now));
        policies.extend(route.meters().filter_map(|meter| self.quota_policy(tier, meter, now)));
        policies.extend(self.cap_policy(tier, currency, now));
        policies.extend(self.credit_policy(tier, now));
        if let (Some(terms), Some(member)) = (&tier.member, member) {
            policies.extend(self.member_rate_policy(terms, member, now));
            policies.extend(route.meters().filter_map(|meter| self.member_policy(terms, member, meter, now)));
        }
        policies.sort_by(by_share_left);
        policies
    }

    /// The tighter of the tier's and the route's rate.
    fn rate_policy(&self, tier: &Tier, route: &Route, now: Now) -> Option<Policy> {
        let show = |place: Option<RouteId>, rate: Rate| {
            let (remaining, next) = self.permits_left(place, rate, now.nanos());
            Policy {
                name: PolicyName::Rate,
                quota: u64::from(rate.burst()),
                window_seconds: rate.window_seconds(),
                remaining,
                resets_in: next.div_ceil(1_000_000_000),
            }
        };
        let by_tier = tier.rate.map(|rate| show(None, rate));
        let by_route = route.rate.map(|rate| show(Some(route.id), rate));
        by_tier.into_iter().chain(by_route).min_by_key(|policy| policy.remaining)
    }

    fn member_rate_policy(&self, terms: &MemberTerms, member: MemberId, now: Now) -> Option<Policy> {
        let rate = terms.rate?;
        let (remaining, next) = self.member_permits_left(terms, member, now.nanos())?;
        Some(Policy {
            name: PolicyName::MemberRate,
            quota: u64::from(rate.burst()),
            window_seconds: rate.window_seconds(),
            remaining,
            resets_in: next.div_ceil(1_000_000_000),
        })
    }

    fn member_policy(
        &self,
        terms: &MemberTerms,
        member: MemberId,
        meter: MeterId,
        now: Now,
    ) -> Option<Policy> {
        Some(Policy {
            name: PolicyName::MemberQuota(meter),
            quota: terms.included.get(meter.index())?.units(),
            window_seconds: self.period.length_seconds(),
            remaining: self.member_units_left(terms, member, meter)?,
            resets_in: self.period.seconds_left(now.seconds()),
        })
    }

    fn quota_policy(&self, tier: &Tier, meter: MeterId, now: Now) -> Option<Policy> {
        let quota = match tier.included(meter) {
            Allowance::Units(units) => units,
            Allowance::Unlimited => return None,
        };
        Some(Policy {
            name: PolicyName::Quota(meter),
            quota,
            window_seconds: self.period.length_seconds(),
            remaining: self.remaining(tier, meter),
            resets_in: self.period.seconds_left(now.seconds()),
        })
    }

    /// In minor units of the currency: the header takes integers only.
    fn cap_policy(&self, tier: &Tier, currency: Currency, now: Now) -> Option<Policy> {
        let Overage::Priced { cap: Some(cap), .. } = &tier.overage else { return None };
        let minor = Decimal::from(10_u32.pow(currency.decimals()));
        let whole = |amount: Decimal| u64::try_from((amount * minor).trunc()).unwrap_or(0);
        Some(Policy {
            name: PolicyName::Cap,
            quota: whole(*cap),
            window_seconds: self.period.length_seconds(),
            remaining: whole((*cap - self.overage_shown(tier, now)).max(Decimal::ZERO)),
            resets_in: self.period.seconds_left(now.seconds()),
        })
    }

    /// Where the tier lives on credits alone, or there are any.
    fn credit_policy(&self, tier: &Tier, now: Now) -> Option<Policy> {
        let credits = self.credits(now);
        let in_flight = self.held_beyond(tier, |_| 0);
        let nothing_else = tier.lives_on_credits() && tier.overage == Overage::Deny;
        (credits > 0 || nothing_else).then(|| Policy {
            name: PolicyName::Credits,
            quota: credits,
            window_seconds: self.period.length_seconds(),
            remaining: credits.saturating_sub(in_flight),
            resets_in: self.period.seconds_left(now.seconds()),
        })
    }
}

/// By what is left of each: `a.remaining / a.quota` beside the other's, multiplied out.
fn by_share_left(a: &Policy, b: &Policy) -> Ordering {
    let left =
        |policy: &Policy, other: &Policy| u128::from(policy.remaining) * u128::from(other.quota.max(1));
    left(a, b).cmp(&left(b, a))
}
