//! Credits and overrides against plain sums, in any order of everything that can happen.

use std::collections::BTreeMap;

use proptest::prelude::*;
use smallvec::smallvec;

use super::credits_tests::{drawn, lot, overridden};
use super::tests::{API, at, entitlement, priced, route, tier};
use super::*;
use crate::domain::credits::sum;
use crate::domain::period::Interval;
use crate::domain::subscription::{Entitlement, Windows};
use crate::domain::tier::Overage;
use crate::domain::usage::Charge;

#[derive(Clone, Debug)]
enum Action {
    Admit(u64),
    Settle(usize),
    Release(usize),
    Undo(usize),
    Grant { units: u64, expires_in: Option<i64> },
    Take(u64),
    Override(Option<u64>),
    Wait(i64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1u64..9).prop_map(Action::Admit),
        5 => any::<usize>().prop_map(Action::Settle),
        1 => any::<usize>().prop_map(Action::Release),
        1 => any::<usize>().prop_map(Action::Undo),
        2 => (1u64..20, prop::option::of(1i64..200))
            .prop_map(|(units, expires_in)| Action::Grant { units, expires_in }),
        1 => (1u64..8).prop_map(Action::Take),
        1 => prop::option::of(1u64..30).prop_map(Action::Override),
        3 => (1i64..25).prop_map(Action::Wait),
    ]
}

/// What an account should hold, by plain sums. All of it lies within an hour: what is in flight may settle on credits
/// that have expired.
struct Model {
    own: u64,
    overridden: u64,
    denies: bool,
    /// By grant: what is left, and until when.
    lots: BTreeMap<i64, (u64, Option<i64>)>,
    flying: Vec<u64>,
    /// By start of the period: billed, extra, credits.
    used: BTreeMap<i64, [u64; 3]>,
    second: i64,
    /// An override has become smaller than what is in flight relied on.
    has_shrunk: bool,
}

impl Model {
    fn new(own: u64, denies: bool) -> Self {
        Self {
            own,
            overridden: own,
            denies,
            lots: BTreeMap::new(),
            flying: Vec::new(),
            used: BTreeMap::new(),
            second: 0,
            has_shrunk: false,
        }
    }

    fn now(&self) -> Now {
        at(self.second)
    }

    fn credits(&self) -> u64 {
        let now = self.now().seconds();
        let there = self.lots.values().filter(|(_, end)| end.is_none_or(|end| now < end));
        there.map(|(left, _)| left).sum()
    }

    fn left(&self, period: Period) -> (u64, u64) {
        let [billed, extra, _] = self.used_in(period);
        let most = self.overridden.saturating_sub(self.own);
        (self.own.saturating_sub(billed), most.saturating_sub(extra))
    }

    fn used_in(&self, period: Period) -> [u64; 3] {
        self.used.get(&period.start).copied().unwrap_or_default()
    }

    /// Units beyond what is included that are in flight, with some more.
    fn held(&self, period: Period, more: u64) -> u64 {
        let (included, extra) = self.left(period);
        (self.flying.iter().sum::<u64>() + more).saturating_sub(included + extra)
    }

    fn lands(&mut self, which: usize) -> Option<u64> {
        let place = which.checked_rem(self.flying.len())?;
        Some(self.flying.remove(place))
    }

    fn charged(&mut self, charge: &Charge, sign: i64) {
        let [included, extra, credits, overage] = drawn(charge);
        let used = self.used.entry(charge.period.start).or_default();
        for (sum, units) in used.iter_mut().zip([included + overage, extra, credits]) {
            *sum = sum.saturating_add_signed(sign * i64::try_from(units).expect("small"));
        }
        for lot in &charge.lots {
            let left = &mut self.lots.get_mut(&lot.grant).expect("granted").0;
            let units = i64::try_from(lot.units).expect("small");
            *left = left.checked_add_signed(-sign * units).expect("never below 0");
        }
    }
}

/// An account beside its model.
struct Beside {
    account: Account,
    model: Model,
    base: Entitlement,
    charges: Vec<Charge>,
    grants: i64,
}

impl Beside {
    fn new(own: u64, denies: bool) -> Self {
        let overage = if denies { Overage::Deny } else { priced(3, None) };
        let current = Period { start: at(0).seconds(), end: at(700).seconds() };
        let windows = Windows::Periods { current, anchor: current.start, interval: Interval::Days(1) };
        let base = Entitlement { windows, ..entitlement(tier(own, overage, None)) };
        let account = Account::new(base.clone(), Window::new(current, smallvec![0]));
        Self { account, model: Model::new(own, denies), base, charges: Vec::new(), grants: 0 }
    }

    fn run(&mut self, action: &Action) -> Result<(), TestCaseError> {
        let now = self.model.now();
        let period = self.account.window(now).period;
        match *action {
            Action::Admit(cost) => {
                let held = self.model.held(period, cost);
                let fits = !self.model.denies || held == 0 || held <= self.model.credits();
                prop_assert_eq!(self.account.admit(&route(cost), None, now).is_ok(), fits);
                self.model.flying.extend(fits.then_some(cost));
            }
            Action::Settle(which) => self.settle(which, period, now)?,
            Action::Release(which) => {
                if let Some(cost) = self.model.lands(which) {
                    self.account.release(&route(cost).cost, None);
                }
            }
            Action::Undo(which) => {
                if let Some(place) = which.checked_rem(self.charges.len()) {
                    let charge = self.charges.swap_remove(place);
                    prop_assert_eq!(self.account.undo(&charge, now), charge.period);
                    self.model.charged(&charge, -1);
                }
            }
            Action::Grant { units, expires_in } => {
                self.grants += 1;
                let grant = lot(self.grants, units, expires_in.map(|span| self.model.second + span));
                prop_assert!(self.account.put_credits(grant) && !self.account.put_credits(grant));
                self.model.lots.insert(self.grants, (units, grant.expires_at));
            }
            Action::Take(units) => {
                let free = self.model.credits().saturating_sub(self.model.held(period, 0));
                let taken = self.account.take_credits(units, now);
                let expected = if units > free { Err(free) } else { Ok(units) };
                prop_assert_eq!(taken.as_ref().map(|lots| sum(lots)).map_err(|free| *free), expected);
                for lot in taken.into_iter().flatten() {
                    self.model.lots.get_mut(&lot.grant).expect("granted").0 -= lot.units;
                }
            }
            Action::Override(units) => {
                let model = &mut self.model;
                model.has_shrunk |= units.unwrap_or(0) < model.overridden && !model.flying.is_empty();
                model.overridden = units.unwrap_or(0).max(model.own);
                let set = self.base.clone();
                let set = if let Some(units) = units { overridden(set, units, None) } else { set };
                self.account.entitle(set, None, now);
            }
            Action::Wait(seconds) => self.model.second += seconds,
        }
        self.model.has_shrunk &= !self.model.flying.is_empty();
        self.compare()
    }

    fn settle(&mut self, which: usize, period: Period, now: Now) -> Result<(), TestCaseError> {
        let Some(cost) = self.model.lands(which) else { return Ok(()) };
        let (included, extra) = self.model.left(period);
        let charge = self.account.settle(&route(cost).cost, None, now);
        let [of_tier, of_override, credits, overage] = drawn(&charge);
        prop_assert_eq!(of_tier, cost.min(included), "credits come behind what is included");
        prop_assert_eq!(of_override, (cost - of_tier).min(extra), "and behind an override");
        prop_assert_eq!(of_tier + of_override + credits + overage, cost);
        prop_assert_eq!(credits, sum(&charge.lots));
        let model = &mut self.model;
        model.charged(&charge, 1);
        prop_assert!(overage == 0 || model.credits() == 0, "overage while there are credits");
        prop_assert!(overage == 0 || !model.denies || model.has_shrunk, "overage where that is denied");
        self.charges.push(charge);
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let now = self.model.now();
        let window = self.account.window(now);
        let [billed, extra, credits] = self.model.used_in(window.period);
        prop_assert_eq!(
            (window.used[0], window.unbilled(API)),
            (billed, Unbilled { extra, credits, ..Unbilled::default() })
        );
        prop_assert_eq!(self.account.credits(now), self.model.credits());
        Ok(())
    }
}

proptest! {
    /// No grant is spent twice or beyond what is left of it, nothing is drawn on credits while included units are left,
    /// and all sums are what plain ones say.
    #[test]
    fn credits_are_what_plain_sums_say(
        own in 0u64..20, denies in any::<bool>(), actions in prop::collection::vec(action(), 1..150),
    ) {
        let mut beside = Beside::new(own, denies);
        for action in &actions {
            beside.run(action)?;
        }
    }
}
