//! The account: a customer's counters, and the one decision over all of its limits.
//!
//! [`Account::admit`] asks state, feature, rate, quota and cap in this order, and spends only when all of them
//! agree: a refusal costs nothing. What is admitted is *reserved* until it is settled or released, so that
//! `used + reserved` never passes a hard limit, whatever comes at once.
//!
//! What a request with an idempotency key holds is in `keyed`, what clients are shown of the limits in `policies`.

mod keyed;
mod policies;

use rust_decimal::Decimal;
use smallvec::{SmallVec, smallvec};

use super::idempotency::{Digest, Keys, Limits, Role};
use super::period::Period;
use super::rate::Bucket;
use super::refusal::Refusal;
use super::route::{Route, RouteId};
use super::subscription::{Entitlement, Standing};
use super::tier::{Overage, Tier, TierId};
use super::units::{Cost, MeterId};
use super::usage::{Charge, Draw, Draws, Now};

pub use policies::{Policy, PolicyName};

/// Stripe finalises an invoice this long after its period, unless told otherwise
/// (<https://docs.stripe.com/billing/subscriptions/usage-based/configure-grace-period>).
pub const INVOICE_GRACE_SECONDS: i64 = 3_600;

/// Units by meter; most configurations have one or two.
pub type ByMeter = SmallVec<[u64; 2]>;

/// The settled units of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub period: Period,
    pub used: ByMeter,
}

/// A customer's hot state.
#[derive(Clone, Debug)]
pub struct Account {
    entitlement: Entitlement,
    current: Window,
    /// Windows used before the current one since this account was loaded, and not ended yet: a customer who
    /// subscribes and cancels finds the calendar month as it was left.
    others: Vec<Window>,
    /// Units in flight, by meter. They belong to no window before they settle.
    reserved: ByMeter,
    rate: Bucket,
    route_rates: Vec<(RouteId, Bucket)>,
    keys: Keys,
}

/// The answer to a request that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub tier: TierId,
    /// The key that the request goes by; to be given again when it settles or is released.
    pub key: Option<Digest>,
}

impl Account {
    /// `window` holds what the store knows of the period that the entitlement names for `now`.
    pub fn new(entitlement: Entitlement, window: Window) -> Self {
        let meters = window.used.len();
        Self {
            entitlement,
            current: window,
            others: Vec::new(),
            reserved: smallvec![0; meters],
            rate: Bucket::default(),
            route_rates: Vec::new(),
            keys: Keys::new(Limits { keys: 0, repeats: 0 }),
        }
    }

    /// Reserves the cost of one request under the tier that is answered, or says why not and changes nothing. A
    /// repeat of what has been charged or holds units already needs none.
    pub fn admit(&mut self, route: &Route, key: Option<Digest>, now: Now) -> Result<Admitted, Refusal> {
        self.roll(now);
        let tier = self.tier_in_force(now)?;
        if let Some(feature) = tier.features.first_missing(route.requires) {
            return Err(Refusal::FeatureNotIncluded { feature });
        }
        let nanos = now.nanos();
        let limited = |wait_nanos| Refusal::RateLimited { wait_nanos };
        let by_tier = tier.rate.map(|rate| self.rate.ask(rate, nanos)).transpose().map_err(limited)?;
        let route_bucket = self.route_bucket(route.id);
        let by_route = route.rate.map(|rate| route_bucket.ask(rate, nanos)).transpose().map_err(limited)?;
        let role = key.map_or(Role::Unkeyed, |key| self.keys.role(key, now));
        if role != Role::Repeat {
            self.ask_units(tier, &route.cost)?;
        }
        let tier = tier.id;

        if let Some(permission) = by_tier {
            self.rate.spend(permission);
        }
        if let Some(permission) = by_route {
            self.spend_route(route.id, |bucket| bucket.spend(permission));
        }
        self.hold(&route.cost, key, role);
        Ok(Admitted { tier, key: key.filter(|_| role != Role::Unkeyed) })
    }

    /// Turns reserved units into used ones of the window that holds `now`; nothing for a repeat.
    pub fn settle(&mut self, cost: &Cost, key: Option<Digest>, now: Now) -> Charge {
        match key {
            Some(key) => self.settle_keyed(key, now),
            None => self.charge(cost, now),
        }
    }

    /// Gives reserved units back, unless others of the same key are in flight.
    pub fn release(&mut self, cost: &Cost, key: Option<Digest>) {
        match key {
            Some(key) => self.release_keyed(key),
            None => self.give_back(cost),
        }
    }

    fn charge(&mut self, cost: &Cost, now: Now) -> Charge {
        self.give_back(cost);
        self.roll(now);
        let mut draws = Draws::new();
        for (meter, units) in cost.iter() {
            let used = &mut self.current.used[meter.index()];
            let allowance = self.entitlement.tier.as_ref().map_or(0, |tier| tier.included(meter).units());
            let included = units.min(allowance.saturating_sub(*used));
            *used = used.saturating_add(units);
            draws.push(Draw { meter, included, credits: 0, overage: units - included });
        }
        Charge { period: self.current.period, at: now, draws, key: None }
    }

    fn reserve(&mut self, cost: &Cost) {
        for (meter, units) in cost.iter() {
            self.reserved[meter.index()] += units;
        }
    }

    fn give_back(&mut self, cost: &Cost) {
        for (meter, units) in cost.iter() {
            let reserved = &mut self.reserved[meter.index()];
            *reserved = reserved.saturating_sub(units);
        }
    }

    /// Takes back a charge that turned out not to be due, and says which period that counts in: the charge's own,
    /// or the current one when that closed over an hour ago and its invoice with it.
    pub fn undo(&mut self, charge: &Charge, now: Now) -> Period {
        self.roll(now);
        let closed = charge.period.end.saturating_add(INVOICE_GRACE_SECONDS) < now.seconds();
        let period = if closed { self.current.period } else { charge.period };
        let windows = std::iter::once(&mut self.current).chain(&mut self.others);
        for window in windows.filter(|window| window.period.start == period.start) {
            for draw in &charge.draws {
                let used = &mut window.used[draw.meter.index()];
                *used = used.saturating_sub(draw.units());
            }
        }
        if let Some(key) = charge.key {
            self.undo_keyed(key, charge);
        }
        period
    }

    /// Whether the window for the entitlement at `now` must be read from the store first.
    /// A period is known by its start: its end may move, as when a trial is extended.
    pub fn lacks_window(&self, entitlement: &Entitlement, now: Now) -> Option<Period> {
        let period = entitlement.windows.at(now.seconds());
        let mut known = std::iter::once(&self.current).chain(&self.others);
        (!known.any(|window| window.period.start == period.start)).then_some(period)
    }

    /// Puts another entitlement in force. `window` is the store's, for a period that [`Self::lacks_window`] named.
    pub fn entitle(&mut self, entitlement: Entitlement, window: Option<Window>, now: Now) {
        let period = entitlement.windows.at(now.seconds());
        self.turn_to(period, window);
        self.others.retain(|window| now.seconds() < window.period.end);
        self.entitlement = entitlement;
    }

    /// Takes over what the store has found a period to hold, where that is more.
    pub fn raise(&mut self, stored: &Window) {
        let windows = std::iter::once(&mut self.current).chain(&mut self.others);
        for window in windows.filter(|window| window.period.start == stored.period.start) {
            for (used, stored) in window.used.iter_mut().zip(&stored.used) {
                *used = (*used).max(*stored);
            }
        }
    }

    pub fn entitlement(&self) -> &Entitlement {
        &self.entitlement
    }

    /// The window in force at `now`.
    pub fn window(&mut self, now: Now) -> &Window {
        self.roll(now);
        &self.current
    }

    /// Holds nothing that the store does not: no units in flight, and every rate has been earned back.
    pub fn is_at_rest(&self, now: Now) -> bool {
        self.reserved.iter().all(|units| *units == 0)
            && self.keys.is_at_rest()
            && self.rate.is_full(now.nanos())
            && self.route_rates.iter().all(|(_, bucket)| bucket.is_full(now.nanos()))
    }

    fn roll(&mut self, now: Now) {
        if now.seconds() < self.current.period.end {
            return;
        }
        self.turn_to(self.entitlement.windows.at(now.seconds()), None);
        self.others.retain(|window| now.seconds() < window.period.end);
    }

    /// Makes a period current: as it was left, else as the store has it, else empty.
    fn turn_to(&mut self, period: Period, stored: Option<Window>) {
        if self.current.period.start != period.start {
            let place = self.others.iter().position(|known| known.period.start == period.start);
            let next = place
                .map(|place| self.others.swap_remove(place))
                .or(stored.filter(|window| window.period.start == period.start))
                .unwrap_or_else(|| self.empty_window(period));
            self.others.push(std::mem::replace(&mut self.current, next));
        }
        self.current.period = period;
    }

    fn empty_window(&self, period: Period) -> Window {
        Window { period, used: smallvec![0; self.reserved.len()] }
    }

    fn tier_in_force(&self, now: Now) -> Result<&Tier, Refusal> {
        match self.entitlement.standing {
            Standing::Paused => return Err(Refusal::SubscriptionPaused),
            _ if !self.entitlement.admits(now.seconds()) => return Err(Refusal::PaymentRequired),
            _ => {}
        }
        self.entitlement.tier.as_deref().ok_or(Refusal::PaymentRequired)
    }

    fn ask_units(&self, tier: &Tier, cost: &Cost) -> Result<(), Refusal> {
        match &tier.overage {
            Overage::Deny => {
                let over = cost.iter().find(|(meter, units)| {
                    self.taken(*meter).saturating_add(*units) > tier.included(*meter).units()
                });
                over.map_or(Ok(()), |(meter, _)| Err(Refusal::QuotaExceeded { meter }))
            }
            Overage::Priced { cap: None, .. } => Ok(()),
            Overage::Priced { cap: Some(cap), .. } => {
                let asked = |meter| cost.iter().find(|(m, _)| *m == meter).map_or(0, |(_, units)| units);
                // A request that adds nothing to the overage is never held against the cap.
                let added = self.overage(tier, asked) > self.overage(tier, |_| 0);
                if added && self.overage(tier, asked) > *cap {
                    return Err(Refusal::SpendCapReached);
                }
                Ok(())
            }
        }
    }

    /// Used and reserved units of a meter.
    fn taken(&self, meter: MeterId) -> u64 {
        self.current.used[meter.index()].saturating_add(self.reserved[meter.index()])
    }

    /// The window's overage over all meters, in major units, with `asked` units more.
    fn overage(&self, tier: &Tier, asked: impl Fn(MeterId) -> u64) -> Decimal {
        (0..u16::try_from(self.reserved.len()).unwrap_or(u16::MAX))
            .map(MeterId)
            .map(|meter| tier.overage_amount(meter, self.taken(meter).saturating_add(asked(meter))))
            .fold(Decimal::ZERO, Decimal::saturating_add)
    }

    fn route_bucket(&self, route: RouteId) -> Bucket {
        self.route_rates.iter().find(|(id, _)| *id == route).map_or_else(Bucket::default, |(_, b)| *b)
    }

    fn spend_route(&mut self, route: RouteId, spend: impl FnOnce(&mut Bucket)) {
        let place = self.route_rates.iter().position(|(id, _)| *id == route).unwrap_or_else(|| {
            self.route_rates.push((route, Bucket::default()));
            self.route_rates.len() - 1
        });
        spend(&mut self.route_rates[place].1);
    }
}

#[cfg(test)]
mod keyed_tests;
#[cfg(test)]
mod tests;
