//! Truths that come after an estimate, by example; against the same truths charged at once: `correct_model.rs`.

use super::credits_tests::{lot, overridden};
use super::tests::{API, MONTH, account, at, entitlement, priced, route, tier};
use super::*;
use crate::domain::measure::TrueCost;
use crate::domain::tier::Overage;
use crate::domain::usage::{Change, Charge, Correction, Draw};

pub(super) fn cost(units: &[u64]) -> Cost {
    Cost::new((0..).map(MeterId).zip(units.iter().copied()))
}

pub(super) fn truth(units: &[u64]) -> TrueCost {
    TrueCost::new(&Cost::default(), (0..).map(MeterId).zip(units.iter().copied()))
}

/// Admits what is held, and charges it as an estimate.
fn estimate(account: &mut Account, held: &[u64], now: Now) -> (Charge, Arc<Terms>) {
    let route = Route { cost: cost(held), ..route(0) };
    account.admit(&route, None, now).expect("it is admitted");
    let charge = account.settle_with(&route.cost, &truth(held), None, now);
    (charge, account.terms().clone())
}

/// What records of it add up to: included, extra, credits, overage, uncovered.
fn changed(correction: &Correction) -> [i64; 5] {
    correction.draws.iter().fold([0; 5], |sum, change| add(sum, classes(change)))
}

pub(super) fn classes(change: &Change) -> [i64; 5] {
    [change.included, change.extra, change.credits, change.overage, change.uncovered]
}

pub(super) fn add(mut sum: [i64; 5], more: [i64; 5]) -> [i64; 5] {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    sum
}

pub(super) fn of(draw: &Draw) -> [i64; 5] {
    classes(&Change::between(&Draw::none(draw.meter), draw))
}

#[test]
fn what_was_too_much_comes_back_in_the_reverse_order_of_drawing() {
    let over = overridden(entitlement(tier(3, priced(2, None), None)), 5, None);
    let mut account = Account::new(over, account(tier(0, Overage::Deny, None)).window(at(1)));
    account.put_credits(lot(1, 2, Some(90)));
    account.put_credits(lot(2, 2, None));
    let (charge, terms) = estimate(&mut account, &[11], at(1));
    assert_eq!(of(&charge.draws[0]), [3, 2, 4, 2, 0]);
    let mut left = 11;
    for (truth_now, expected) in
        [(10, [0, 0, 0, -1, 0]), (7, [0, 0, -2, -2, 0]), (4, [0, -1, -4, -2, 0]), (0, [-3, -2, -4, -2, 0])]
    {
        let mut account = account.clone();
        let correction = account.correct(&charge, &truth(&[truth_now]), &terms, at(2));
        assert_eq!(changed(&correction), expected, "{left} to {truth_now}");
        left = truth_now;
    }
    let correction = account.correct(&charge, &truth(&[7]), &terms, at(2));
    assert_eq!(correction.lots, [(2, -2)], "what was spent last");
    assert_eq!(account.credit_lots(), [lot(2, 2, None)]);
}

#[test]
fn what_was_missing_is_drawn_on_in_order_and_may_pass_a_cap() {
    let mut account = account(tier(3, priced(2, Some(2)), None));
    account.put_credits(lot(1, 2, None));
    let (charge, terms) = estimate(&mut account, &[1], at(1));
    let correction = account.correct(&charge, &truth(&[9]), &terms, at(2));
    assert_eq!(changed(&correction), [2, 0, 2, 4, 0]);
    assert_eq!(account.admit(&route(1), None, at(2)), Err(Refusal::SpendCapReached));
}

#[test]
fn what_nothing_covers_is_never_billed_and_counts_against_what_comes() {
    let mut account = account(tier(10, Overage::Deny, None));
    account.put_credits(lot(1, 2, None));
    let (first, terms) = estimate(&mut account, &[4], at(1));
    let (second, _) = estimate(&mut account, &[6], at(1));
    let correction = account.correct(&second, &truth(&[11]), &terms, at(2));
    assert_eq!(changed(&correction), [0, 0, 2, 0, 3]);
    assert_eq!(account.settled(&tier(10, Overage::Deny, None), API), 13, "shown as used, but for credits");
    assert_eq!(changed(&account.correct(&first, &truth(&[0]), &terms, at(3))), [-4, 0, 0, 0, 0]);
    assert_eq!(account.admit(&route(2), None, at(4)), Err(Refusal::QuotaExceeded { meter: API }));
    account.admit(&route(1), None, at(4)).expect("four came back, three of them were used already");
}

#[test]
fn what_came_back_is_no_overage_of_those_who_came_between() {
    let mut account = account(tier(10, priced(2, None), None));
    let (held, terms) = estimate(&mut account, &[8], at(1));
    let (between, _) = estimate(&mut account, &[5], at(1));
    assert_eq!(of(&between.draws[0]), [2, 0, 0, 3, 0]);
    let correction = account.correct(&held, &truth(&[3]), &terms, at(2));
    assert_eq!(changed(&correction), [-2, 0, 0, -3, 0], "eight were used: no overage is left");
    assert_eq!((account.window(at(2)).used[0], account.overage_units(API)), (8, 0));
}

#[test]
fn a_correction_after_the_edge_gives_back_to_its_period_and_adds_to_the_current_one() {
    let later = Now::from_seconds(MONTH.end + 60);
    let late = Now::from_seconds(MONTH.end + 3_601);
    for (units, now, period, changes) in [
        (1, later, MONTH.start, [-3, 0, 0, 0, 0]),
        (1, late, MONTH.end, [-3, 0, 0, 0, 0]),
        (6, later, MONTH.end, [2, 0, 0, 0, 0]),
    ] {
        let mut account = account(tier(5, Overage::Deny, None));
        let (charge, terms) = estimate(&mut account, &[4], at(1));
        let correction = account.correct(&charge, &truth(&[units]), &terms, now);
        assert_eq!((correction.period.start, changed(&correction)), (period, changes), "{units} at {now:?}");
    }
}

#[test]
fn other_terms_leave_a_charge_as_it_was_drawn() {
    let mut account = account(tier(10, Overage::Deny, None));
    let (charge, terms) = estimate(&mut account, &[8], at(1));
    account.entitle(entitlement(tier(2, priced(1, None), None)), None, at(2));
    let correction = account.correct(&charge, &truth(&[5]), &terms, at(3));
    assert_eq!(changed(&correction), [-3, 0, 0, 0, 0], "what was included stays so");
}

#[test]
fn a_key_stays_charged_when_its_truth_is_known() {
    let mut account = account(tier(10, Overage::Deny, None));
    let limits = crate::domain::idempotency::Limits { keys: 9, repeats: 9 };
    let terms = Terms { key_limits: limits, ..(**account.terms()).clone() };
    account.entitle(terms, None, at(1));
    let (key, route) = (Digest([1; 16]), route(4));
    account.admit(&route, Some(key), at(1)).expect("fits");
    let charge = account.settle_with(&route.cost, &truth(&[4]), Some(key), at(1));
    let terms = account.terms().clone();
    account.correct(&charge, &truth(&[0]), &terms, at(2));
    account.admit(&route, Some(key), at(3)).expect("a repeat");
    assert!(account.settle_with(&route.cost, &truth(&[4]), Some(key), at(3)).is_repeat());
    assert_eq!(account.window(at(3)).used[0], 0);
}

/// What is known at the header is charged at once, beyond what was reserved too.
#[test]
fn a_truth_above_what_was_reserved_settles_at_once() {
    let mut account = account(tier(10, Overage::Deny, None));
    account.admit(&route(4), None, at(1)).expect("fits");
    let charge = account.settle_with(&route(4).cost, &truth(&[12]), None, at(1));
    assert_eq!(of(&charge.draws[0]), [10, 0, 0, 0, 2]);
    account.undo(&charge, at(2));
    assert_eq!(account.window(at(2)).unbilled(API), Unbilled::default());
    account.admit(&route(10), None, at(2)).expect("all of it is back");
}
