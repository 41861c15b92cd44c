//! What a customer can be told of their own state.

use std::cmp::Reverse;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::domain::period::Period;
use crate::domain::projection::{Projected, SoFar, project};
use crate::domain::subscription::Outline;
use crate::domain::tier::{Allowance, Overage, Tier};
use crate::domain::units::MeterId;
use crate::domain::usage::{MemberId, Now};

use super::Customers;
use super::entry::Entry;

/// A customer's state at one instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The one in force.
    pub tier: Option<Arc<Tier>>,
    /// The one that the subscription gives, and that Stripe bills; not what an override makes of it.
    pub billed_tier: Option<Arc<Tier>>,
    pub subscription: Option<Outline>,
    /// Admits a request, quota aside.
    pub can_use: bool,
    pub period: Period,
    /// Credits that can be spent.
    pub credits: u64,
    /// By meter, in the catalogue's order.
    pub usage: Vec<MeterUsage>,
    /// The same at the period's end, if it goes on as it has gone so far.
    pub projected: Vec<Projected>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterUsage {
    pub meter: MeterId,
    /// Settled units of the period, whatever they were drawn on; of all nodes, as last heard.
    pub current: u64,
    /// Those that count against the included ones: not what was drawn on credits.
    pub counted: u64,
    /// Those that were drawn on what Stripe's price includes.
    pub drawn: u64,
    pub included: Allowance,
    /// Units beyond what Stripe's price includes.
    pub overage: u64,
    /// Computed anew from the period's total under the tier in force, as Stripe does. In major units, unrounded.
    pub overage_amount: Decimal,
}

/// What one member has used of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberUsage {
    /// None: those together who have no counts of their own.
    pub member: Option<MemberId>,
    pub units: Vec<(MeterId, u64)>,
}

impl MemberUsage {
    fn sum(&self) -> u64 {
        self.units.iter().fold(0, |sum, (_, units)| sum.saturating_add(*units))
    }
}

impl Customers {
    /// Of a customer whose tier caps members those who have used most of the period, on this node.
    pub fn members(&self, entry: &Entry, most: usize, now: Now) -> Option<Vec<MemberUsage>> {
        let mut account = entry.account();
        account.terms().entitlement.tier_at(now.seconds())?.member.as_ref()?;
        let units: Vec<_> = account.member_units(now).into_iter().collect();
        drop(account);
        let of_one = units.chunk_by(|((one, _), _), ((next, _), _)| one == next);
        let mut members: Vec<_> = of_one
            .map(|units| MemberUsage {
                member: units[0].0.0,
                units: units.iter().map(|((_, meter), units)| (*meter, *units)).collect(),
            })
            .collect();
        members.sort_by_key(|usage| Reverse(usage.sum()));
        members.truncate(most);
        Some(members)
    }

    pub fn snapshot(&self, entry: &Entry, now: Now) -> Snapshot {
        let mut account = entry.account();
        let window = account.window(now);
        let terms = account.terms().clone();
        let tier = terms.entitlement.tier_at(now.seconds()).cloned();
        let catalogue = self.book().catalogue.clone();
        let usage = catalogue.meter_ids().map(|meter| {
            let unbilled = window.unbilled(meter);
            let here = window.used(meter) + unbilled.extra + unbilled.credits + unbilled.uncovered;
            let current = here.saturating_add(account.units_of_others(meter));
            let Some(tier) = tier.as_deref() else { return MeterUsage::without_tier(meter, current) };
            let counted = account.settled(tier, meter);
            let drawn = account.drawn_of_own(tier, meter);
            let included = tier.included(meter);
            let overage = account.overage_units(meter);
            let overage_amount = tier.price_of(meter, overage);
            MeterUsage { meter, current, counted, drawn, included, overage, overage_amount }
        });
        let usage: Vec<_> = usage.collect();
        let credits = account.credits(now);
        let priced = tier.as_deref().filter(|tier| tier.overage != Overage::Deny);
        let so_far: Vec<_> = usage.iter().map(|meter| meter.so_far(priced)).collect();
        let cap = priced.and_then(|tier| tier.overage.cap());
        Snapshot {
            projected: project(&so_far, credits, cap, window.period, now.seconds()),
            usage,
            credits,
            can_use: terms.entitlement.admits(now.seconds()),
            period: window.period,
            subscription: terms.subscription,
            billed_tier: terms.entitlement.tier.clone(),
            tier,
        }
    }
}

impl MeterUsage {
    /// `priced`: the tier, where there may be overage.
    fn so_far(&self, priced: Option<&Tier>) -> SoFar {
        let left = self.included.units().saturating_sub(self.counted);
        let price = priced.map(|tier| tier.price_of(self.meter, 1));
        SoFar { current: self.current, left, overage: self.overage, price }
    }

    fn without_tier(meter: MeterId, current: u64) -> Self {
        let included = Allowance::Units(0);
        Self {
            meter,
            current,
            counted: current,
            drawn: 0,
            included,
            overage: current,
            overage_amount: Decimal::ZERO,
        }
    }
}
