//! The one decision over all limits, by example and against a simple model.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use proptest::prelude::*;
use rust_decimal::Decimal;
use smallvec::smallvec;

use super::*;
use crate::domain::money::Currency;
use crate::domain::period::Interval;
use crate::domain::rate::Rate;
use crate::domain::route::{Methods, StatusSet, UpstreamId};
use crate::domain::subscription::{Entitlement, Windows};
use crate::domain::tier::{Allowance, FeatureSet, Mode, Overage, Price, TierId};
use crate::domain::usage::Charge;

pub(crate) const API: MeterId = MeterId(0);
pub(crate) const MONTH: Period = Period { start: 1_793_491_200, end: 1_796_083_200 };

pub(crate) fn at(second: i64) -> Now {
    Now::from_seconds(MONTH.start + second)
}

pub(crate) fn tier(included: u64, overage: Overage, rate: Option<Rate>) -> Arc<Tier> {
    Arc::new(Tier {
        id: TierId(0),
        name: "t".into(),
        price: Price::default(),
        stripe_prices: Vec::new(),
        included: vec![Allowance::Units(included)],
        overage,
        rate,
        features: FeatureSet::default(),
        limits: Vec::new(),
        trial_days: None,
        credits_per_cycle: 0,
        credits_expire: None,
        degraded_allowance: 100,
        mode: Mode::Enforce,
        member: None,
    })
}

pub(crate) fn priced(cents: i64, cap: Option<i64>) -> Overage {
    Overage::Priced { unit_amounts: vec![Decimal::new(cents, 2)], cap: cap.map(|cap| Decimal::new(cap, 2)) }
}

pub(crate) fn rate(count: u32, burst: u32) -> Rate {
    let nz = |n| NonZeroU32::new(n).expect("not zero");
    Rate::new(nz(count), nz(1), nz(burst))
}

pub(crate) fn route(cost: u64) -> Route {
    Route {
        id: RouteId(0),
        pattern: "/r".into(),
        methods: Methods::All,
        upstream: UpstreamId(0),
        cost: Cost::new([(API, cost)]),
        measures: [].into(),
        requires: FeatureSet::default(),
        charge_on: StatusSet::default(),
        rate: None,
        public: false,
        extras: None,
    }
}

pub(crate) fn entitlement(tier: Arc<Tier>) -> Entitlement {
    Entitlement {
        standing: Standing::Admitted,
        tier: Some(tier),
        windows: Windows::CalendarMonth,
        overridden: None,
    }
}

pub(crate) fn account(tier: Arc<Tier>) -> Account {
    Account::new(entitlement(tier), Window::new(MONTH, smallvec![0]))
}

fn charge(account: &mut Account, cost: u64, now: Now) -> Result<Charge, Refusal> {
    account.admit(&route(cost), None, now).map(|_| account.settle(&route(cost).cost, None, now))
}

#[test]
fn a_hard_limit_is_reached_exactly_and_never_passed() {
    let mut account = account(tier(10, Overage::Deny, None));
    for _ in 0..3 {
        charge(&mut account, 3, at(1)).expect("within the limit");
    }
    assert_eq!(charge(&mut account, 2, at(1)), Err(Refusal::QuotaExceeded { meter: API }));
    charge(&mut account, 1, at(1)).expect("the last unit");
    assert_eq!(charge(&mut account, 1, at(1)), Err(Refusal::QuotaExceeded { meter: API }));
}

#[test]
fn units_in_flight_count_and_come_back_when_released() {
    let mut account = account(tier(5, Overage::Deny, None));
    account.admit(&route(3), None, at(1)).expect("fits");
    assert!(account.admit(&route(3), None, at(1)).is_err());
    account.release(&route(3).cost, None);
    account.admit(&route(5), None, at(1)).expect("all of it again");
}

#[test]
fn a_refusal_spends_nothing() {
    let mut account = account(tier(1, Overage::Deny, Some(rate(1, 2))));
    charge(&mut account, 1, at(1)).expect("fits");
    for _ in 0..5 {
        assert_eq!(charge(&mut account, 1, at(1)), Err(Refusal::QuotaExceeded { meter: API }));
    }
    let free = Route { cost: Cost::default(), ..route(0) };
    account.admit(&free, None, at(1)).expect("the quota's refusals took nothing of the rate");
    assert!(matches!(account.admit(&free, None, at(1)), Err(Refusal::RateLimited { .. })));
}

#[test]
fn a_routes_own_rate_is_asked_before_the_tiers_is_spent() {
    let mut account = account(tier(100, Overage::Deny, Some(rate(1, 2))));
    let limited = Route { rate: Some(rate(1, 1)), ..route(1) };
    account.admit(&limited, None, at(1)).expect("first");
    for _ in 0..3 {
        assert!(matches!(account.admit(&limited, None, at(1)), Err(Refusal::RateLimited { .. })));
    }
    account.admit(&route(1), None, at(1)).expect("the tier's rate still has one");
}

#[test]
fn overage_is_drawn_after_the_included_units_and_stops_at_the_cap() {
    let mut account = account(tier(10, priced(2, Some(10)), None));
    let first = charge(&mut account, 8, at(1)).expect("included");
    assert_eq!((first.draws[0].included, first.draws[0].overage), (8, 0));
    let second = charge(&mut account, 5, at(1)).expect("partly included");
    assert_eq!((second.draws[0].included, second.draws[0].overage), (2, 3));
    // 3 units at 0.02 are 0.06; the cap of 0.10 has room for 2 more.
    assert_eq!(charge(&mut account, 3, at(1)), Err(Refusal::SpendCapReached));
    charge(&mut account, 2, at(1)).expect("exactly the cap");
    assert_eq!(charge(&mut account, 1, at(1)), Err(Refusal::SpendCapReached));
}

#[test]
fn an_undone_charge_gives_its_units_back() {
    let mut account = account(tier(5, Overage::Deny, None));
    let charge_of_five = charge(&mut account, 5, at(1)).expect("fits");
    assert_eq!(account.undo(&charge_of_five, at(1)), MONTH);
    charge(&mut account, 5, at(1)).expect("again");
}

#[test]
fn a_charge_undone_long_after_its_period_counts_in_the_current_one() {
    let mut account = account(tier(5, Overage::Deny, None));
    let old = charge(&mut account, 3, at(1)).expect("fits");
    let soon = Now::from_seconds(MONTH.end + 60);
    let late = Now::from_seconds(MONTH.end + 3_601);
    charge(&mut account, 4, soon).expect("another period");
    assert_eq!(account.undo(&old, soon), MONTH);
    assert_eq!(account.window(soon).used[0], 4);
    assert_eq!(account.undo(&old, late).start, MONTH.end);
    assert_eq!(account.window(late).used[0], 1);
}

#[test]
fn news_that_was_long_on_its_way_over_an_edge_resets_nothing() {
    let mut account = account(tier(5, Overage::Deny, None));
    charge(&mut account, 3, at(1)).expect("fits");
    let (before, after) = (Now::from_seconds(MONTH.end - 2), Now::from_seconds(MONTH.end + 2));
    charge(&mut account, 4, after).expect("another period");
    let same = account.terms().entitlement.clone();
    let stored = Window::new(MONTH, smallvec![3]);
    account.entitle(same, Some(stored), before);
    assert_eq!(account.window(after).used[0], 4);
    assert!(account.admit(&route(2), None, after).is_err());
}

#[test]
fn a_period_whose_end_moves_keeps_its_units() {
    let mut account = account(tier(5, Overage::Deny, None));
    charge(&mut account, 4, at(1)).expect("fits");
    let longer = Period { start: MONTH.start, end: MONTH.end + 500 };
    let interval = crate::domain::period::Interval::Months(1);
    let windows = Windows::Periods { current: longer, anchor: longer.start, interval };
    let extended = Entitlement { windows, ..account.terms().entitlement.clone() };
    account.entitle(extended, Some(Window::new(longer, smallvec![3])), at(2));
    assert_eq!(account.window(at(2)), Window::new(longer, smallvec![4]));
    assert!(account.admit(&route(2), None, at(2)).is_err());
}

#[test]
fn a_reservation_that_settles_after_the_edge_counts_in_the_new_window() {
    let mut account = account(tier(5, Overage::Deny, None));
    account.admit(&route(4), None, at(1)).expect("fits");
    let later = Now::from_seconds(MONTH.end + 5);
    let settled = account.settle(&route(4).cost, None, later);
    assert_eq!(settled.period.start, MONTH.end);
    assert_eq!(account.window(later).used[0], 4);
    assert!(account.admit(&route(2), None, later).is_err());
}

#[test]
fn another_window_is_left_as_it_was_and_found_again() {
    let mut account = account(tier(5, Overage::Deny, None));
    charge(&mut account, 4, at(1)).expect("fits");
    let free = account.terms().entitlement.clone();
    let current = Period { start: MONTH.start + 10, end: MONTH.start + 1_000_000 };
    let subscribed = Entitlement {
        windows: Windows::Periods {
            current,
            anchor: current.start,
            interval: crate::domain::period::Interval::Months(1),
        },
        ..free.clone()
    };
    account.entitle(subscribed, Some(Window::new(current, smallvec![1])), at(20));
    assert_eq!(account.window(at(20)).used[0], 1);
    account.entitle(free, Some(Window::new(MONTH, smallvec![3])), at(30));
    assert_eq!(account.window(at(30)).used[0], 4);
}

#[test]
fn a_window_that_has_ended_takes_no_memory() {
    let mut account = account(tier(5, Overage::Deny, None));
    charge(&mut account, 4, at(1)).expect("fits");
    charge(&mut account, 4, Now::from_seconds(MONTH.end)).expect("another period");
    assert!(account.rare.is_none());
}

#[test]
fn what_adds_nothing_to_the_overage_is_not_held_against_the_cap() {
    let overage =
        Overage::Priced { unit_amounts: vec![Decimal::ONE, Decimal::ZERO], cap: Some(Decimal::TEN) };
    let tier = Tier {
        included: vec![Allowance::Units(50), Allowance::Units(0)],
        ..(*tier(0, overage, None)).clone()
    };
    let window = Window::new(MONTH, smallvec![70, 0]);
    let mut account = Account::new(entitlement(Arc::new(tier)), window);
    assert_eq!(charge(&mut account, 1, at(1)), Err(Refusal::SpendCapReached), "20 of 10 are spent already");
    let free = Route { cost: Cost::new([(MeterId(1), 5)]), ..route(0) };
    account.admit(&free, None, at(1)).expect("its overage costs nothing");
}

#[test]
fn standing_is_asked_first() {
    let refused = |standing: Standing, now: Now| {
        let mut account = account(tier(5, Overage::Deny, None));
        Arc::make_mut(&mut account.terms).entitlement.standing = standing;
        account.admit(&route(1), None, now).err()
    };
    assert_eq!(refused(Standing::Paused, at(1)), Some(Refusal::SubscriptionPaused));
    assert_eq!(refused(Standing::PaymentRequired, at(1)), Some(Refusal::PaymentRequired));
    let until = MONTH.start + 50;
    assert_eq!(refused(Standing::Grace { until }, at(49)), None);
    assert_eq!(refused(Standing::Grace { until }, at(50)), Some(Refusal::PaymentRequired));
}

#[test]
fn policies_show_what_is_left_the_tightest_first() {
    let mut account = account(tier(10, priced(2, Some(5_000)), Some(rate(10, 20))));
    charge(&mut account, 9, at(1)).expect("fits");
    let usd = Currency::parse("usd").expect("a currency");
    let shown = account.policies(&route(1), None, usd, at(1));
    let names: Vec<_> = shown.iter().map(|policy| policy.name).collect();
    assert_eq!(names, [PolicyName::Quota(API), PolicyName::Rate, PolicyName::Cap]);
    assert_eq!((shown[0].remaining, shown[0].quota, shown[0].window_seconds), (1, 10, 30 * 86_400));
    assert_eq!((shown[1].remaining, shown[1].quota, shown[1].window_seconds), (19, 20, 2));
    assert_eq!((shown[2].remaining, shown[2].quota), (5_000, 5_000));
}

#[derive(Clone, Debug)]
enum Action {
    Admit(u64),
    Settle,
    Release,
    UndoLast,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1u64..8).prop_map(Action::Admit),
        3 => Just(Action::Settle),
        1 => Just(Action::Release),
        1 => Just(Action::UndoLast),
    ]
}

proptest! {
    /// Any order of admissions, settlements, releases and undoings: used plus reserved never passes the limit, and
    /// equals what a plain sum says.
    #[test]
    fn used_and_reserved_never_pass_the_limit(
        included in 0u64..40, actions in prop::collection::vec(action(), 1..120),
    ) {
        let mut account = account(tier(included, Overage::Deny, None));
        let (mut used, mut flying, mut last) = (0u64, Vec::<u64>::new(), None::<(Charge, u64)>);
        for action in actions {
            match action {
                Action::Admit(cost) => {
                    let fits = used + flying.iter().sum::<u64>() + cost <= included;
                    prop_assert_eq!(account.admit(&route(cost), None, at(1)).is_ok(), fits);
                    if fits { flying.push(cost); }
                }
                Action::Settle => if let Some(cost) = flying.pop() {
                    last = Some((account.settle(&route(cost).cost, None, at(1)), cost));
                    used += cost;
                },
                Action::Release => if let Some(cost) = flying.pop() { account.release(&route(cost).cost, None); },
                Action::UndoLast => if let Some((charge, cost)) = last.take() {
                    account.undo(&charge, at(1));
                    used -= cost;
                },
            }
            prop_assert_eq!(account.window(at(1)).used[0], used);
            prop_assert!(account.taken(API) <= included);
        }
    }

    /// Whatever the clock does: periods never go back, a charge counts in the one in force, and no period is reset.
    #[test]
    fn a_clock_that_steps_resets_no_period(
        days in 1u32..9, steps in prop::collection::vec((-100_000i64..200_000, 1u64..5), 1..80),
    ) {
        let current = Period { start: MONTH.start, end: MONTH.start + i64::from(days) * 86_400 };
        let windows = Windows::Periods { current, anchor: current.start, interval: Interval::Days(days) };
        let entitlement = Entitlement { windows, ..entitlement(tier(u64::MAX, Overage::Deny, None)) };
        let mut account = Account::new(entitlement, Window::new(current, smallvec![0]));
        let (mut second, mut last) = (0, current);
        let mut used: HashMap<i64, u64> = HashMap::new();
        for (step, cost) in steps {
            second = (second + step).max(0);
            let charge = charge(&mut account, cost, at(second)).expect("no limit");
            prop_assert!(charge.period.start >= last.start, "{:?} after {last:?}", charge.period);
            prop_assert!(charge.period.contains(at(second).seconds()) || charge.period == last);
            *used.entry(charge.period.start).or_default() += cost;
            prop_assert_eq!(account.window(at(second)).used[0], used[&charge.period.start]);
            last = charge.period;
        }
    }

    /// Drawn units always add up to the cost, and included ones to at most what is included.
    #[test]
    fn draws_add_up(included in 0u64..100, costs in prop::collection::vec(1u64..20, 1..40)) {
        let mut account = account(tier(included, priced(3, None), None));
        let (mut drawn_included, mut total) = (0, 0);
        for cost in costs {
            let charge = charge(&mut account, cost, at(1)).expect("no cap");
            prop_assert_eq!(charge.draws[0].units(), cost);
            drawn_included += charge.draws[0].included;
            total += cost;
        }
        prop_assert_eq!(drawn_included, total.min(included));
        let overage = account.terms.entitlement.tier.as_ref().expect("a tier").overage_amount(API, total);
        prop_assert_eq!(overage, Decimal::new(3, 2) * Decimal::from(total.saturating_sub(included)));
    }

    /// The spend cap holds in money, to the last digit.
    #[test]
    fn the_cap_is_never_passed(
        included in 0u64..20, cents in 1i64..50, cap in 0i64..300, costs in prop::collection::vec(1u64..9, 1..60),
    ) {
        let tier = tier(included, priced(cents, Some(cap)), None);
        let mut account = account(tier.clone());
        for cost in costs {
            let before = account.window(at(1)).used[0];
            let fits = tier.overage_amount(API, before + cost) <= Decimal::new(cap, 2) || before + cost <= included;
            prop_assert_eq!(charge(&mut account, cost, at(1)).is_ok(), fits);
            prop_assert!(tier.overage_amount(API, account.window(at(1)).used[0]) <= Decimal::new(cap, 2));
        }
    }
}
