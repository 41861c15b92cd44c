//! Permits of a rate that the fleet has counted out to this node. They end by themselves: who holds none asks.

use smallvec::SmallVec;

use super::super::Account;
use super::Share;
use crate::domain::lease::{PERMITS_LAST, RateAsk, RateLent};
use crate::domain::rate::{Permission, Rate};
use crate::domain::route::{Route, RouteId};
use crate::domain::usage::Now;

/// Permits are voided this much earlier here than where they are counted: clocks may differ by it.
const MARGIN: u64 = 100_000_000;
/// However long it takes until the next permit: so often it is asked whether others have given some back.
const ASK_AGAIN: u64 = 500_000_000;
/// No answer waits longer than this for a permit.
const GIVEN_UP: u64 = 50_000_000;

/// The permits of the tier's rate, or of a route's.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    route: Option<RouteId>,
    rate: Rate,
    left: u32,
    /// In nobody's hands when last heard.
    free: u32,
    /// Spent since they were last published.
    spent: u32,
    until: u64,
    /// When the next is to be had; it is not asked for before `ask_again`.
    ready_at: u64,
    ask_again: u64,
    /// It was waited for, and no answer said that there is none.
    given_up: bool,
}

impl Permits {
    fn new(route: Option<RouteId>, rate: Rate) -> Self {
        Self { route, rate, left: 0, free: 0, spent: 0, until: 0, ready_at: 0, ask_again: 0, given_up: false }
    }

    fn left(&self, now: u64) -> u32 {
        if now < self.until { self.left } else { 0 }
    }
}

impl Share {
    fn permits(&self, route: Option<RouteId>) -> Option<&Permits> {
        self.permits.iter().find(|permits| permits.route == route)
    }

    /// Whether a permit has to be asked for, is here, or is not to be had.
    fn permit(&self, route: Option<RouteId>, now: u64) -> Permit {
        match self.permits(route) {
            _ if self.alone.is_some() => Permit::Here,
            Some(permits) if permits.left(now) > 0 => Permit::Here,
            Some(permits) if now < permits.ask_again => Permit::Dry,
            _ => Permit::Unasked,
        }
    }

    /// Those that a call states: of one that is `asked` for at least one.
    pub(super) fn rate_asks(
        &mut self,
        asked: &[(Option<RouteId>, Rate)],
        gives_back: bool,
        now: Now,
    ) -> SmallVec<[RateAsk; 1]> {
        for (route, rate) in asked {
            match self.permits.iter_mut().find(|permits| permits.route == *route) {
                Some(permits) => permits.rate = *rate,
                None => self.permits.push(Permits::new(*route, *rate)),
            }
        }
        let asks = self.permits.iter_mut().map(|permits| {
            let left = permits.left(now.nanos());
            let is_asked = asked.iter().any(|(route, _)| *route == permits.route);
            let least = if is_asked { left.max(1) } else { left };
            let ahead = permits.spent.saturating_mul(2).max(if is_asked { 8 } else { 0 });
            let most = (permits.rate.burst() / 2).max(1);
            let want = if gives_back { 0 } else { left.max(least).max(ahead.min(most)) };
            let ask =
                RateAsk { route: permits.route, rate: permits.rate, left, least: least.min(want), want };
            permits.left = if gives_back { 0 } else { left };
            permits.spent = 0;
            ask
        });
        let asks = asks.collect();
        self.permits.retain(|permits| !gives_back || now.nanos() < permits.ask_again);
        asks
    }

    pub(super) fn take_permits(&mut self, ask: &RateAsk, lent: &RateLent, lends: bool, sent: Now, now: Now) {
        let known =
            self.permits.iter_mut().find(|permits| permits.route == ask.route && permits.rate == ask.rate);
        let Some(permits) = known.filter(|_| ask.want > 0) else { return };
        permits.left = permits.left.saturating_add(lent.more);
        permits.free = lent.free;
        let lasting = u64::try_from(PERMITS_LAST.as_nanos()).unwrap_or(u64::MAX).saturating_sub(MARGIN);
        permits.until = sent.nanos().saturating_add(lasting);
        (permits.ready_at, permits.given_up) = (0, false);
        if lends && permits.left == 0 && ask.least > 0 {
            let wait = lent.wait_millis.max(1).saturating_mul(1_000_000);
            permits.ready_at = now.nanos().saturating_add(wait);
            permits.ask_again = now.nanos().saturating_add(wait.min(ASK_AGAIN));
        } else {
            permits.ask_again = 0;
        }
    }
}

/// Of the tier, and of a route.
type Rates = SmallVec<[(Option<RouteId>, Rate); 2]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permit {
    Here,
    Unasked,
    Dry,
}

impl Account {
    /// The rates that a request on a route is held against.
    pub(super) fn rates_of(&self, route: &Route, now: Now) -> Rates {
        let tier = self.terms.entitlement.tier_at(now.seconds());
        let by_tier = tier.and_then(|tier| tier.rate).map(|rate| (None, rate));
        by_tier.into_iter().chain(route.rate.map(|rate| (Some(route.id), rate))).collect()
    }

    /// Of the rates that a request needs a permit of: some to be asked for, or `None` if it is refused anyhow.
    pub(super) fn short_rates(&self, route: &Route, now: Now) -> Option<Rates> {
        let Some(share) = self.share() else { return Some(SmallVec::new()) };
        let mut short = self.rates_of(route, now);
        let permit = |place| share.permit(place, now.nanos());
        if short.iter().any(|(place, _)| permit(*place) == Permit::Dry) {
            return None;
        }
        short.retain(|(place, _)| permit(*place) == Permit::Unasked);
        Some(short)
    }

    pub(super) fn give_up_rates(&mut self, route: &Route, now: Now) {
        let short = self.short_rates(route, now).unwrap_or_default();
        let Some(share) = self.share_mut() else { return };
        for (place, rate) in short {
            if share.permits(place).is_none() {
                share.permits.push(Permits::new(place, rate));
            }
            for permits in share.permits.iter_mut().filter(|permits| permits.route == place) {
                permits.ask_again = now.nanos().saturating_add(GIVEN_UP);
                permits.ready_at = permits.ready_at.max(permits.ask_again);
                permits.given_up = true;
            }
        }
    }

    /// Whether what a request needs permits of was given up, so that nobody knows whether there are any: what else it
    /// is short of says more.
    pub(in super::super) fn has_given_up_rates(&self, route: &Route, now: Now) -> bool {
        let Some(share) = self.share().filter(|share| share.alone.is_none()) else { return false };
        let is_given_up = |place| share.permits(place).is_some_and(|permits| permits.given_up);
        self.rates_of(route, now).into_iter().any(|(place, _)| is_given_up(place))
    }

    /// May one request pass now? If not, after how many nanoseconds. Nothing is spent.
    pub(in super::super) fn ask_rate(
        &self,
        place: Option<RouteId>,
        rate: Rate,
        now: u64,
    ) -> Result<Permission, u64> {
        let bucket = || place.map_or(self.rate, |route| self.route_bucket(route));
        let Some(share) = self.share() else { return bucket().ask(rate, now) };
        if let Some(nodes) = share.alone {
            return bucket().ask(rate.shared_by(nodes), now);
        }
        let permits = share.permits(place);
        match permits {
            Some(permits) if permits.left(now) > 0 => Ok(Permission::lent()),
            Some(permits) => Err(permits.ready_at.saturating_sub(now).max(1)),
            None => Err(u64::try_from(rate.interval().as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    /// Spends what was asked for.
    pub(in super::super) fn spend_rate(&mut self, place: Option<RouteId>, permission: Permission) {
        if let Some(share) = self.share_mut().filter(|share| share.alone.is_none()) {
            for permits in share.permits.iter_mut().filter(|permits| permits.route == place) {
                permits.left = permits.left.saturating_sub(1);
                permits.spent = permits.spent.saturating_add(1);
            }
            return;
        }
        match place {
            None => self.rate.spend(permission),
            Some(route) => self.spend_route(route, |bucket| bucket.spend(permission)),
        }
    }

    /// Permits that could be had, and nanoseconds until there is one more than now.
    pub(in super::super) fn permits_left(&self, place: Option<RouteId>, rate: Rate, now: u64) -> (u64, u64) {
        if let Some(permits) =
            self.share().filter(|share| share.alone.is_none()).map(|share| share.permits(place))
        {
            let burst = u64::from(rate.burst());
            let Some(permits) = permits else { return (burst, 0) };
            let left = u64::from(permits.left(now)) + u64::from(permits.free);
            let interval = u64::try_from(rate.interval().as_nanos()).unwrap_or(u64::MAX);
            let next = permits.ready_at.checked_sub(now).unwrap_or(interval);
            return (left.min(burst), if left < burst { next } else { 0 });
        }
        let alone = self.share().and_then(|share| share.alone);
        let rate = alone.map_or(rate, |nodes| rate.shared_by(nodes));
        let bucket = place.map_or(self.rate, |route| self.route_bucket(route));
        (bucket.remaining(rate, now), bucket.next_in(rate, now))
    }
}
