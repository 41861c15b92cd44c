//! What a customer can be told of their own state.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::domain::period::Period;
use crate::domain::subscription::Outline;
use crate::domain::tier::{Allowance, Tier};
use crate::domain::units::MeterId;
use crate::domain::usage::Now;

use super::Customers;
use super::entry::Entry;

/// A customer's state at one instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub tier: Option<Arc<Tier>>,
    pub subscription: Option<Outline>,
    /// Admits a request, quota aside.
    pub can_use: bool,
    pub period: Period,
    /// By meter, in the catalogue's order.
    pub usage: Vec<MeterUsage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterUsage {
    pub meter: MeterId,
    /// Settled units of the period.
    pub current: u64,
    pub included: Allowance,
    /// Computed anew from the period's total under the tier in force, as Stripe does. In major units, unrounded.
    pub overage_amount: Decimal,
}

impl MeterUsage {
    /// Units beyond the included ones.
    pub fn overage(&self) -> u64 {
        self.current.saturating_sub(self.included.units())
    }
}

impl Customers {
    pub fn snapshot(&self, entry: &Entry, now: Now) -> Snapshot {
        let mut account = entry.account();
        let window = account.window(now);
        let terms = account.terms().clone();
        drop(account);
        let tier = &terms.entitlement.tier;
        let usage = self.catalogue.meter_ids().map(|meter| {
            let current = window.used[meter.index()];
            let tier = tier.as_deref();
            MeterUsage {
                meter,
                current,
                included: tier.map_or(Allowance::Units(0), |tier| tier.included(meter)),
                overage_amount: tier.map_or(Decimal::ZERO, |tier| tier.overage_amount(meter, current)),
            }
        });
        Snapshot {
            usage: usage.collect(),
            can_use: terms.entitlement.admits(now.seconds()),
            period: window.period,
            subscription: terms.subscription,
            tier: tier.clone(),
        }
    }
}
