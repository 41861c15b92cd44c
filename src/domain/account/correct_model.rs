//! Truths that come after an estimate, against plain sums and against the same truths charged at once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rust_decimal::Decimal;
use smallvec::smallvec;

use super::correct_tests::{add, classes, cost, of, truth};
use super::credits_tests::lot;
use super::tests::{API, at, entitlement, priced, route, tier};
use super::*;
use crate::domain::credits::sum;
use crate::domain::period::Interval;
use crate::domain::subscription::{Entitlement, Windows};
use crate::domain::tier::{Allowance, Overage};
use crate::domain::usage::{Charge, Correction, signed};

const TOKENS: MeterId = MeterId(1);

#[derive(Clone, Debug)]
enum Action {
    Begin([u64; 2]),
    /// Which exchange ends, and what each meter cost.
    End(usize, [u64; 2]),
    Plain(u64),
    Grant(u64, Option<i64>),
    Wait(i64),
}

fn action(days: i64) -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => [0u64..9, 0u64..9].prop_map(Action::Begin),
        5 => (any::<usize>(), [0u64..14, 0u64..14]).prop_map(|(which, truth)| Action::End(which, truth)),
        2 => (1u64..5).prop_map(Action::Plain),
        1 => (1u64..20, prop::option::of(1i64..200)).prop_map(|(units, span)| Action::Grant(units, span)),
        2 => (1..=days * 30_000 + 1).prop_map(Action::Wait),
    ]
}

/// An account, and everything that was recorded of it.
struct Recorded {
    account: Account,
    /// By period and meter.
    sums: BTreeMap<(i64, u16), [i64; 5]>,
    lots: BTreeMap<i64, i64>,
    /// Periods in which units of an earlier one came back: there may be fewer of them to take off.
    returned: BTreeSet<i64>,
}

impl Recorded {
    fn new(entitlement: Entitlement, now: Now) -> Self {
        let period = entitlement.windows.at(now.seconds());
        let account = Account::new(entitlement, Window::new(period, smallvec![0, 0]));
        Self { account, sums: BTreeMap::new(), lots: BTreeMap::new(), returned: BTreeSet::new() }
    }

    fn note(&mut self, period: Period, meter: MeterId, units: [i64; 5]) {
        let sum = self.sums.entry((period.start, meter.0)).or_default();
        *sum = add(*sum, units);
    }

    fn charged(&mut self, charge: &Charge) {
        charge.draws.iter().for_each(|draw| self.note(charge.period, draw.meter, of(draw)));
        for lot in &charge.lots {
            *self.lots.entry(lot.grant).or_default() -= signed(lot.units);
        }
    }

    fn corrected(&mut self, charge: &Charge, correction: &Correction) {
        if charge.period != correction.period {
            self.returned.insert(correction.period.start);
        }
        correction
            .draws
            .iter()
            .for_each(|change| self.note(correction.period, change.meter, classes(change)));
        for (grant, units) in &correction.lots {
            *self.lots.entry(*grant).or_default() -= units;
        }
    }

    fn grant(&mut self, lot: Lot) {
        self.lots.insert(lot.grant, signed(lot.units));
        assert!(self.account.put_credits(lot));
    }

    /// Of the current window, by meter: billed, extra, credits, uncovered.
    fn held(&mut self, now: Now) -> [[i64; 4]; 2] {
        let window = self.account.window(now);
        [API, TOKENS].map(|meter| {
            let Unbilled { extra, credits, uncovered } = window.unbilled(meter);
            [window.used[meter.index()], extra, credits, uncovered].map(signed)
        })
    }

    /// Memory holds what the records say, of the current window and of every grant that is left.
    fn is_what_was_recorded(&mut self, now: Now) -> Result<(), TestCaseError> {
        let start = self.account.window(now).period.start;
        if !self.returned.contains(&start) {
            let sums = [API, TOKENS].map(|meter| {
                let sum = self.sums.get(&(start, meter.0)).copied().unwrap_or_default();
                [sum[0] + sum[3], sum[1], sum[2], sum[4]]
            });
            prop_assert_eq!(self.held(now), sums);
        }
        // What has expired is forgotten in time, and what comes back of it expires with it.
        for lot in self.account.credit_lots().iter().filter(|lot| lot.is_there(now)) {
            prop_assert_eq!(signed(lot.units), self.lots[&lot.grant]);
        }
        Ok(())
    }
}

fn two_meters(own: [u64; 2], overage: &Overage) -> Arc<Tier> {
    let overage = match overage {
        Overage::Deny => Overage::Deny,
        Overage::Priced { cap, .. } => {
            Overage::Priced { unit_amounts: vec![Decimal::new(3, 2), Decimal::new(1, 2)], cap: *cap }
        }
    };
    Arc::new(Tier { included: own.map(Allowance::Units).into(), ..(*tier(0, overage, None)).clone() })
}

fn days(tier: Arc<Tier>) -> Entitlement {
    let current = Period { start: at(0).seconds(), end: at(86_400).seconds() };
    let windows = Windows::Periods { current, anchor: current.start, interval: Interval::Days(1) };
    Entitlement { windows, ..entitlement(tier) }
}

fn overages() -> impl Strategy<Value = Overage> {
    prop_oneof![Just(Overage::Deny), Just(priced(3, None)), Just(priced(3, Some(40)))]
}

proptest! {
    /// Whatever comes between an estimate and its truth, over periods, credits and caps: each exchange costs its truth
    /// in the end, memory holds what the records say, and where overage is denied none is billed.
    #[test]
    fn each_exchange_costs_its_truth_and_denied_overage_is_never_billed(
        own in [0u64..30, 0u64..30],
        overage in overages(),
        actions in prop::collection::vec(action(1), 1..120),
    ) {
        let tier = two_meters(own, &overage);
        let mut books = Recorded::new(days(tier), at(0));
        let (mut open, mut true_units, mut grants, mut second) = (Vec::new(), 0, 0, 0);
        for action in actions {
            let now = at(second);
            match action {
                Action::Begin(held) => {
                    let route = Route { cost: cost(&held), ..route(0) };
                    if books.account.admit(&route, None, now).is_ok() {
                        let charge = books.account.settle_with(&route.cost, &truth(&held), None, now);
                        books.charged(&charge);
                        true_units += signed(held.iter().sum());
                        open.push((charge, books.account.terms().clone(), held));
                    }
                }
                Action::End(which, units) if !open.is_empty() => {
                    let (charge, terms, held) = open.swap_remove(which % open.len());
                    let correction = books.account.correct(&charge, &truth(&units), &terms, now);
                    books.corrected(&charge, &correction);
                    true_units += signed(units.iter().sum()) - signed(held.iter().sum());
                }
                Action::Plain(units) => {
                    let route = Route { cost: cost(&[units]), ..route(0) };
                    if books.account.admit(&route, None, now).is_ok() {
                        let charge = books.account.settle(&route.cost, None, now);
                        books.charged(&charge);
                        true_units += signed(units);
                    }
                }
                Action::Grant(units, span) => {
                    grants += 1;
                    books.grant(lot(grants, units, span.map(|span| second + span)));
                }
                Action::Wait(seconds) => second += seconds,
                Action::End(..) => {}
            }
            books.is_what_was_recorded(at(second))?;
            let recorded: i64 = books.sums.values().flatten().sum();
            prop_assert_eq!(recorded, true_units);
            let billed: i64 = books.sums.values().map(|sum| sum[3]).sum();
            prop_assert!(overage != Overage::Deny || billed == 0, "{billed} units of overage are billed");
            prop_assert!(overage == Overage::Deny || books.sums.values().all(|sum| sum[4] == 0));
        }
    }

    /// In one period without credits nobody can tell afterwards what was estimated: the same units are included and
    /// overage as if every truth had been charged at once.
    #[test]
    fn estimates_end_equal_to_truths_that_were_charged_at_once(
        own in [0u64..60, 0u64..60], actions in prop::collection::vec(action(0), 1..120),
    ) {
        let tier = days(two_meters(own, &priced(3, None)));
        let [mut later, mut at_once] = [(); 2].map(|()| Recorded::new(tier.clone(), at(0)));
        let mut open = Vec::new();
        let mut truths = Vec::new();
        for action in &actions {
            match *action {
                Action::Begin(held) => {
                    let route = Route { cost: cost(&held), ..route(0) };
                    later.account.admit(&route, None, at(1)).expect("overage is priced");
                    let charge = later.account.settle_with(&route.cost, &truth(&held), None, at(1));
                    later.charged(&charge);
                    open.push((charge, held));
                }
                Action::End(which, units) if !open.is_empty() => {
                    let (charge, held) = open.swap_remove(which % open.len());
                    truths.push((charge, held, units));
                    let (charge, held, units) = truths.last().expect("pushed");
                    let terms = later.account.terms().clone();
                    let correction = later.account.correct(charge, &truth(units), &terms, at(2));
                    later.corrected(charge, &correction);
                    let held = Cost::new(cost(held).iter());
                    at_once.account.admit(&Route { cost: held.clone(), ..route(0) }, None, at(1)).expect("priced");
                    let charge = at_once.account.settle_with(&held, &truth(units), None, at(1));
                    at_once.charged(&charge);
                }
                _ => {}
            }
        }
        for (charge, held) in open {
            let terms = later.account.terms().clone();
            let correction = later.account.correct(&charge, &truth(&held), &terms, at(3));
            later.corrected(&charge, &correction);
            at_once.account.admit(&Route { cost: cost(&held), ..route(0) }, None, at(1)).expect("priced");
            let charge = at_once.account.settle_with(&cost(&held), &truth(&held), None, at(1));
            at_once.charged(&charge);
        }
        later.sums.retain(|_, sum| *sum != [0; 5]);
        at_once.sums.retain(|_, sum| *sum != [0; 5]);
        prop_assert_eq!(&later.sums, &at_once.sums);
        prop_assert_eq!(later.held(at(4)), at_once.held(at(4)));
    }

    /// With nothing between an estimate and its truth, credits, grants and overrides are as if it had been charged at once
    /// as well, of several meters at once.
    #[test]
    fn a_truth_that_follows_its_estimate_at_once_is_as_if_there_had_been_none(
        own in [0u64..12, 0u64..12],
        overage in overages(),
        override_by in prop::option::of(1u64..20),
        lots in prop::collection::vec((1u64..9, prop::option::of(1i64..9)), 0..4),
        exchanges in prop::collection::vec(([0u64..9, 0u64..9], [0u64..14, 0u64..14]), 1..12),
    ) {
        let base = days(two_meters(own, &overage));
        let base = override_by.map_or_else(|| base.clone(), |units| {
            let most = Some(Allowance::Units(own[0] + units));
            base.clone().with_override(None, &[most, None], Some(at(6).seconds()))
        });
        let [mut later, mut at_once] = [(); 2].map(|()| Recorded::new(base.clone(), at(0)));
        for (grant, (units, span)) in (1..).zip(lots) {
            later.grant(lot(grant, units, span));
            at_once.grant(lot(grant, units, span));
        }
        for (second, (held, units)) in (1i64..).zip(exchanges) {
            let route = Route { cost: cost(&held), ..route(0) };
            let admitted = [&mut later, &mut at_once]
                .map(|books| books.account.admit(&route, None, at(second)).is_ok());
            prop_assert_eq!(admitted[0], admitted[1]);
            if admitted[0] {
                let charge = later.account.settle_with(&route.cost, &truth(&held), None, at(second));
                later.charged(&charge);
                let terms = later.account.terms().clone();
                // However late it comes.
                let correction = later.account.correct(&charge, &truth(&units), &terms, at(second + 3));
                later.corrected(&charge, &correction);
                let charge = at_once.account.settle_with(&route.cost, &truth(&units), None, at(second));
                at_once.charged(&charge);
            }
            prop_assert_eq!(&later.sums, &at_once.sums);
            prop_assert_eq!(later.held(at(second)), at_once.held(at(second)));
            let left = [&later, &at_once].map(|books| {
                let mut lots = books.account.credit_lots().to_vec();
                lots.sort_by_key(|lot| lot.grant);
                (sum(&lots), lots)
            });
            prop_assert_eq!(&left[0], &left[1]);
        }
    }
}
