//! The account: a customer's counters, and the one decision over all of its limits.
//!
//! [`Account::admit`] asks state, feature, rate, quota and cap in this order, and spends only when all of them
//! agree: a refusal costs nothing. What is admitted is *reserved* until it is settled or released, so that
//! `used + reserved` never passes a hard limit, whatever comes at once.
//!
//! There may be millions of them in memory. What many share is shared, and what few need is behind one pointer that is
//! null until then.
//!
//! What its requests are held against is in `terms`, what settling draws in `settle`, what the truth changes of that
//! later in `correct`, what a request with an idempotency key holds in `keyed`, what the units beyond the included ones
//! may draw on in `beyond`, what each member may use in `members` and `by_member`, what is worth telling in `marks`,
//! what clients are shown of the limits in `policies`, what is refused and served all the same in `shadow`.

mod beyond;
mod by_member;
mod correct;
mod handover;
mod keyed;
mod marks;
mod members;
mod notes;
mod policies;
mod settle;
mod shadow;
mod share;
mod terms;
mod window;

use std::sync::Arc;

use smallvec::SmallVec;

use super::credits::{Lot, Purse};
use super::idempotency::{Digest, Keys, Role};
use super::period::Period;
use super::rate::Bucket;
use super::refusal::Refusal;
use super::route::{Route, RouteId};
use super::subscription::Standing;
use super::tier::Tier;
use super::units::{Cost, MeterId};
use super::usage::{Now, Unbilled};

pub use by_member::{Admitted, By, ByMember};
pub use handover::{HeldByMember, InFlight};
pub use marks::Mark;
use members::Members;
pub use members::{MOST as MOST_MEMBERS, MemberUnits};
pub use notes::Notes;
pub use policies::{Policies, Policy, PolicyName};
pub use share::Purpose;
use share::Share;
pub use terms::Terms;
use window::of_meter;
pub use window::{ByMeter, Window};

/// Stripe finalises an invoice this long after its period, unless told otherwise
/// (<https://docs.stripe.com/billing/subscriptions/usage-based/configure-grace-period>).
pub const INVOICE_GRACE_SECONDS: i64 = 3_600;

/// A customer's hot state.
#[derive(Clone, Debug)]
pub struct Account {
    terms: Arc<Terms>,
    /// The current window.
    period: Period,
    counts: SmallVec<[Count; 1]>,
    rate: Bucket,
    rare: Option<Box<Rare>>,
}

/// One meter's units.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Settled in the current window.
    used: u64,
    /// In flight. They belong to no window before they settle.
    reserved: u64,
}

/// What few accounts have.
#[derive(Clone, Debug)]
struct Rare {
    /// Windows used before the current one since this account was loaded, and not ended yet: a customer who
    /// subscribes and cancels finds the calendar month as it was left.
    others: Vec<Window>,
    route_rates: Vec<(RouteId, Bucket)>,
    keys: Keys,
    purse: Purse,
    /// Of the current window.
    unbilled: SmallVec<[Unbilled; 1]>,
    /// The start of the window in which the spend cap was last seen to refuse.
    capped_in: Option<i64>,
    notes: Option<Box<Notes>>,
    /// Where the tier caps members.
    members: Option<Box<Members>>,
    /// On a node of a fleet.
    share: Option<Box<Share>>,
}

impl Account {
    /// `window` holds what the store knows of the period that the terms name for `now`.
    pub fn new(terms: impl Into<Arc<Terms>>, window: Window) -> Self {
        let mut account = Self {
            terms: terms.into(),
            period: window.period,
            counts: window.used.into_iter().map(|used| Count { used, reserved: 0 }).collect(),
            rate: Bucket::default(),
            rare: None,
        };
        if !window.unbilled.is_empty() {
            account.rare().unbilled = window.unbilled;
        }
        account.put_members(window.members);
        account
    }

    /// The same account with what is left of its grants.
    #[must_use]
    pub fn with_credits(mut self, lots: Vec<Lot>) -> Self {
        if !lots.is_empty() {
            self.rare().purse = Purse::new(lots);
        }
        self
    }

    /// Reserves the cost of one request under the tier that is answered, or says why not and changes nothing. A
    /// repeat of what has been charged or holds units already needs none.
    pub fn admit(&mut self, route: &Route, by: impl Into<By>, now: Now) -> Result<Admitted, Refusal> {
        let By { key, member, .. } = by.into();
        self.roll(now);
        let tier = self.tier_in_force(now)?;
        if let Some(feature) = tier.features.first_missing(route.requires) {
            return Err(Refusal::FeatureNotIncluded { feature });
        }
        let nanos = now.nanos();
        let limited = |wait_nanos| self.limited(route, key, wait_nanos, now);
        let by_tier = tier.rate.map(|rate| self.ask_rate(None, rate, nanos)).transpose().map_err(limited)?;
        let ask_route = |rate| self.ask_rate(Some(route.id), rate, nanos);
        let by_route = route.rate.map(ask_route).transpose().map_err(limited)?;
        let role = key.map_or(Role::Unkeyed, |key| self.role(key, now));
        let by_member = match &tier.member {
            None => None,
            Some(terms) => {
                self.ask_member(terms, member, (role != Role::Repeat).then_some(&route.cost), now)?
            }
        };
        if role != Role::Repeat {
            self.ask_units(tier, &route.cost, now)?;
        }
        let tier = tier.id;

        if let Some(permission) = by_tier {
            self.spend_rate(None, permission);
        }
        if let Some(permission) = by_route {
            self.spend_rate(Some(route.id), permission);
        }
        let member = by_member.map(|asked| self.enter_member(&asked, &route.cost, key, role)).or(member);
        self.hold(&route.cost, key, role);
        Ok(Admitted { tier, key: key.filter(|_| role != Role::Unkeyed), member, in_shadow: false })
    }

    /// Reserves more for an exchange that is open: against quota, credits and cap.
    pub fn extend(&mut self, cost: &Cost, member: Option<ByMember>, now: Now) -> Result<Admitted, Refusal> {
        self.roll(now);
        let tier = self.tier_in_force(now)?;
        let capped = member.filter(|_| tier.member.is_some());
        if let Some(terms) = &tier.member {
            self.ask_member_units(terms, member, cost)?;
        }
        self.ask_units(tier, cost, now)?;
        let tier = tier.id;
        self.reserve(cost);
        let member = capped.map(|member| self.hold_for_member(member.id, cost)).or(member);
        Ok(Admitted { tier, key: None, member, in_shadow: false })
    }

    #[cold]
    fn limited(&self, route: &Route, key: Option<Digest>, wait_nanos: u64, now: Now) -> Refusal {
        let limited = Refusal::RateLimited { wait_nanos };
        let is_repeat = key.is_some_and(|key| self.role(key, now) == Role::Repeat);
        let tier = self.terms.entitlement.tier_at(now.seconds());
        match tier.filter(|_| !is_repeat && self.has_given_up_rates(route, now)) {
            Some(tier) => self.ask_units(tier, &route.cost, now).err().unwrap_or(limited),
            None => limited,
        }
    }

    /// Gives reserved units back, unless others of the same key are in flight.
    pub fn release(&mut self, cost: &Cost, by: impl Into<By>) {
        self.stir();
        let By { key, member, in_shadow } = by.into();
        match key {
            _ if in_shadow => {}
            Some(key) => self.release_keyed(key),
            None => self.give_back(cost, member),
        }
    }

    fn reserve(&mut self, cost: &Cost) {
        for (meter, units) in cost.iter() {
            self.counts[meter.index()].reserved += units;
        }
    }

    fn give_back(&mut self, cost: &Cost, member: Option<ByMember>) {
        self.give_back_member(member, cost);
        for (meter, units) in cost.iter() {
            let reserved = &mut self.counts[meter.index()].reserved;
            *reserved = reserved.saturating_sub(units);
        }
    }

    /// Makes room for the meters that there are now.
    pub fn widen(&mut self, meters: usize) {
        if self.counts.len() >= meters {
            return;
        }
        self.counts.resize(meters, Count::default());
        for window in self.rare.iter_mut().flat_map(|rare| &mut rare.others) {
            window.used.resize(meters, 0);
        }
    }

    /// Puts other terms in force. `window` is the store's for the period that they name for `now`; it counts where
    /// nothing is known here. A period is known by its start: its end may move, as when a trial is extended.
    pub fn entitle(&mut self, terms: impl Into<Arc<Terms>>, window: Option<Window>, now: Now) {
        self.widen(window.as_ref().map_or(0, |window| window.used.len()));
        let before = std::mem::replace(&mut self.terms, terms.into());
        self.turn_to(self.terms.entitlement.windows.at(now.seconds()), window, now);
        self.rebase(&before.entitlement, now);
    }

    /// Takes over what the store has found a period to hold, where that is more.
    pub fn raise(&mut self, stored: &Window) {
        self.widen(stored.used.len());
        for (meter, stored_units) in (0..).map(MeterId).zip(&stored.used) {
            if let Some(used) = self.used_in(stored.period, meter) {
                let more = stored_units.saturating_sub(*used);
                *used += more;
                self.raise_share(stored.period.start, meter, more);
            }
            self.raise_unbilled(stored.period, meter, stored.unbilled(meter));
        }
        self.raise_members(stored.period, &stored.members);
    }

    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// By an operator: no limit has anything to say then.
    pub fn is_blocked(&self) -> bool {
        self.terms.entitlement.standing == Standing::Blocked
    }

    /// The window in force at `now`.
    pub fn window(&mut self, now: Now) -> Window {
        self.roll(now);
        self.window_as_it_stands()
    }

    fn window_as_it_stands(&self) -> Window {
        Window {
            period: self.period,
            used: self.counts.iter().map(|count| count.used).collect(),
            unbilled: self.rare.as_ref().map(|rare| rare.unbilled.clone()).unwrap_or_default(),
            members: MemberUnits::new(),
        }
    }

    /// Holds nothing that the store does not: no units in flight, and every rate has been earned back.
    pub fn is_at_rest(&self, now: Now) -> bool {
        self.counts.iter().all(|count| count.reserved == 0)
            && self.rate.is_full(now.nanos())
            && self.is_share_at_rest(now)
            && self.are_members_at_rest(now)
            && self.rare.as_ref().is_none_or(|rare| {
                let mut rates = rare.route_rates.iter();
                rare.keys.is_at_rest() && rates.all(|(_, bucket)| bucket.is_full(now.nanos()))
            })
    }

    fn roll(&mut self, now: Now) {
        if now.seconds() >= self.period.end {
            self.turn_to(self.terms.entitlement.windows.at(now.seconds()), None, now);
        }
    }

    /// Makes a period current: as it was left, else as the store has it, else empty. What has ended is forgotten.
    fn turn_to(&mut self, period: Period, stored: Option<Window>, now: Now) {
        if self.period.start != period.start {
            let mut left = self.window_as_it_stands();
            let mut next =
                self.take_other(period).or(stored.filter(|window| window.period.start == period.start));
            let used_by = next.as_mut().map(|window| std::mem::take(&mut window.members)).unwrap_or_default();
            left.members = self.turn_members(used_by, now);
            for (meter, count) in self.counts.iter_mut().enumerate() {
                count.used = next.as_ref().and_then(|window| window.used.get(meter)).copied().unwrap_or(0);
            }
            let unbilled = next.map(|window| window.unbilled).unwrap_or_default();
            if self.rare.is_some() || !unbilled.is_empty() {
                self.rare().unbilled = unbilled;
            }
            if now.seconds() < left.period.end {
                self.rare().others.push(left);
            }
        }
        self.period = period;
        if let Some(rare) = &mut self.rare {
            rare.others.retain(|window| now.seconds() < window.period.end);
            self.turn_share(now);
        }
    }

    fn take_other(&mut self, period: Period) -> Option<Window> {
        let others = &mut self.rare.as_mut()?.others;
        let place = others.iter().position(|known| known.period.start == period.start)?;
        Some(others.swap_remove(place))
    }

    /// The units of a meter in a period that is known here.
    fn used_in(&mut self, period: Period, meter: MeterId) -> Option<&mut u64> {
        if self.period.start == period.start {
            return Some(&mut self.counts[meter.index()].used);
        }
        let mut others = self.rare.as_mut()?.others.iter_mut();
        Some(&mut others.find(|window| window.period.start == period.start)?.used[meter.index()])
    }

    fn rare(&mut self) -> &mut Rare {
        let limits = self.terms.key_limits;
        let none = || Rare {
            others: Vec::new(),
            route_rates: Vec::new(),
            keys: Keys::new(limits),
            purse: Purse::default(),
            unbilled: SmallVec::new(),
            capped_in: None,
            notes: None,
            members: None,
            share: None,
        };
        self.rare.get_or_insert_with(|| Box::new(none()))
    }

    fn tier_in_force(&self, now: Now) -> Result<&Tier, Refusal> {
        let entitlement = &self.terms.entitlement;
        if !entitlement.admits(now.seconds()) {
            return Err(match entitlement.standing {
                Standing::Blocked => Refusal::Blocked,
                Standing::Paused => Refusal::SubscriptionPaused,
                _ => Refusal::PaymentRequired,
            });
        }
        entitlement.tier_at(now.seconds()).map(|tier| &**tier).ok_or(Refusal::PaymentRequired)
    }

    fn route_bucket(&self, route: RouteId) -> Bucket {
        let mut known = self.rare.iter().flat_map(|rare| &rare.route_rates);
        known.find(|(id, _)| *id == route).map_or_else(Bucket::default, |(_, bucket)| *bucket)
    }

    fn spend_route(&mut self, route: RouteId, spend: impl FnOnce(&mut Bucket)) {
        let rates = &mut self.rare().route_rates;
        let place = rates.iter().position(|(id, _)| *id == route).unwrap_or_else(|| {
            rates.push((route, Bucket::default()));
            rates.len() - 1
        });
        spend(&mut rates[place].1);
    }
}

#[cfg(test)]
mod correct_model;
#[cfg(test)]
mod correct_tests;
#[cfg(test)]
mod credits_model;
#[cfg(test)]
mod credits_tests;
#[cfg(test)]
mod handover_tests;
#[cfg(test)]
mod keyed_tests;
#[cfg(test)]
mod members_tests;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
pub(crate) mod tests;
