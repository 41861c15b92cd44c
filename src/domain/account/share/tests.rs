//! The share of one node, by example.

use smallvec::smallvec;

use super::super::tests::{API, MONTH, account, at, entitlement, priced, rate, route, tier};
use super::super::{Account, Refusal, Window};
use super::Purpose;
use super::model::Lender;
use crate::domain::idempotency::{Digest, Limits};
use crate::domain::lease::{Lent, Pool, Settled};
use crate::domain::measure::TrueCost;
use crate::domain::route::Route;
use crate::domain::tier::{Allowance, Overage};
use crate::domain::units::Cost;
use crate::domain::usage::{Correction, Now};

fn shared(included: u64, overage: Overage) -> Account {
    account(tier(included, overage, None)).with_share(&[])
}

fn millis(now: Now, by: u64) -> Now {
    Now(now.nanos() + by * 1_000_000)
}

/// What a lender would say of whose units others hold so many, and have used so many.
fn answer(call: &crate::domain::lease::Call, held: u64, used: u64) -> Settled {
    let asks = call.asks.iter().map(|ask| {
        let free = ask.limit.saturating_sub(ask.keep + held);
        let more = free.min(ask.want - ask.keep);
        Lent {
            held: ask.keep + more,
            used_by_all: ask.used + used,
            free: free - more,
            unused_by_others: held - used,
        }
    });
    Settled::Lent { asks: asks.collect(), rates: smallvec![], lends: true }
}

#[test]
fn an_account_on_no_fleet_lacks_and_says_nothing() {
    let mut account = account(tier(1, Overage::Deny, Some(rate(1, 1))));
    assert!(!account.lacks(&route(5), None, at(1)) && !account.is_stirred());
    assert!(account.call(Purpose::Publish, at(1)).is_none() && !account.allow(3, 100, at(1)));
    assert!(account.rare.is_none());
}

#[test]
fn a_customer_seen_once_is_asked_about_once() {
    let mut account = shared(100, Overage::Deny);
    let mut lender = Lender::new();
    assert!(account.lacks(&route(3), None, at(1)));
    assert_eq!(lender.refill(&mut account, 3, at(1)), 1);
    account.admit(&route(3), None, at(1)).expect("lent");
}

#[test]
fn what_is_refused_anyhow_is_not_asked_for() {
    let mut refused = shared(0, Overage::Deny);
    assert!(!refused.lacks(&route(3), None, at(1)), "nothing is included");
    let needs = Route { requires: crate::domain::tier::FeatureSet::from_indices([1]), ..route(1) };
    assert!(!shared(9, Overage::Deny).lacks(&needs, None, at(1)), "a feature is missing");
    let free = Route { cost: Cost::default(), ..route(0) };
    assert!(!shared(9, Overage::Deny).lacks(&free, None, at(1)), "a free route");
    refused.entitle(refused.terms().entitlement.clone().with_block(true), None, at(1));
    assert!(!refused.lacks(&route(1), None, at(1)));
}

#[test]
fn what_is_used_up_everywhere_is_not_asked_for_again_for_a_while() {
    let mut account = shared(10, Overage::Deny);
    let call = account.call(Purpose::Request(&route(4)), at(1)).expect("a call");
    account.take(&call, &answer(&call, 8, 8), at(1));
    assert!(!account.lacks(&route(4), None, at(1)), "two are left of ten");
    assert_eq!(account.admit(&route(4), None, at(1)), Err(Refusal::QuotaExceeded { meter: API }));
    account.admit(&route(2), None, at(1)).expect("those two");
    assert!(account.lacks(&route(4), None, millis(at(1), 201)), "then it is asked again");
}

#[test]
fn what_others_hold_is_waited_for_until_it_is_given_up() {
    let mut account = shared(10, Overage::Deny);
    let call = account.call(Purpose::Request(&route(4)), at(1)).expect("a call");
    account.take(&call, &answer(&call, 8, 1), at(1));
    assert!(account.lacks(&route(4), None, at(1)), "others may give some back");
    account.give_up(Purpose::Request(&route(4)), at(1));
    assert!(!account.lacks(&route(4), None, at(1)));
}

#[test]
fn a_claim_falls_before_that_is_said_and_keeps_what_is_in_flight() {
    let mut account = shared(100, Overage::Deny);
    Lender::new().refill(&mut account, 3, at(1));
    account.admit(&route(3), None, at(1)).expect("lent");
    let later = millis(at(1), 50);
    let call = account.call(Purpose::Return, later).expect("a call");
    assert_eq!((call.asks[0].used, call.asks[0].keep, call.asks[0].want), (0, 3, 3));
    assert!(
        account.lacks(&route(1), None, later),
        "it is not here any more, whether the call arrives or not"
    );
    account.call_failed(&call);
    assert!(account.lacks(&route(1), None, later) && account.is_stirred());
}

#[test]
fn what_was_asked_for_a_waiting_request_is_not_given_back_before_it_could_come_to_it() {
    let mut account = shared(100, Overage::Deny);
    Lender::new().refill(&mut account, 3, at(1));
    let call = account.call(Purpose::Return, millis(at(1), 19)).expect("a call");
    assert_eq!(call.asks[0].keep, 3);
    account.call_failed(&call);
    let call = account.call(Purpose::Return, millis(at(1), 21)).expect("a call");
    assert_eq!(call.asks[0].keep, 0);
}

#[test]
fn an_answer_to_another_call_changes_nothing() {
    let mut account = shared(100, Overage::Deny);
    let lost = account.call(Purpose::Request(&route(3)), at(1)).expect("a call");
    account.call_failed(&lost);
    let next = account.call(Purpose::Request(&route(3)), at(1)).expect("a call");
    assert!(next.seq > lost.seq);
    account.take(&lost, &answer(&lost, 0, 0), at(1));
    assert!(account.lacks(&route(3), None, at(1)));
    account.take(&next, &answer(&next, 0, 0), at(1));
    assert!(!account.lacks(&route(3), None, at(1)));
}

#[test]
fn what_was_lent_under_other_terms_means_nothing() {
    let mut account = shared(100, Overage::Deny);
    let call = account.call(Purpose::Request(&route(3)), at(1)).expect("a call");
    account.entitle(entitlement(tier(50, Overage::Deny, None)), None, at(1));
    account.take(&call, &answer(&call, 0, 0), at(1));
    assert!(account.lacks(&route(3), None, at(1)));
}

#[test]
fn all_that_was_billed_counts_against_the_included_units_of_new_terms() {
    let mut account = shared(5, priced(10, Some(1_000)));
    let mut lender = Lender::new();
    for _ in 0..4 {
        lender.refill(&mut account, 2, at(1));
        account.admit(&route(2), None, at(1)).expect("within the cap");
        account.settle(&route(2).cost, None, at(1));
    }
    let told = |account: &mut Account, lender: &mut Lender| {
        let call = lender.call(account, Purpose::Publish, at(2));
        let used = |pool| call.asks.iter().find(|ask| ask.pool == pool).map(|ask| ask.used);
        [Pool::Included(API), Pool::Overage(API), Pool::Cap].map(used)
    };
    // Three units at 0.10; one and ten have one digit behind the point.
    assert_eq!(told(&mut account, &mut lender), [Some(5), Some(3), Some(3)]);
    account.entitle(entitlement(tier(6, priced(10, Some(1_000)), None)), None, at(2));
    assert_eq!(
        told(&mut account, &mut lender),
        [Some(8), Some(0), Some(0)],
        "two are beyond, and off the cap"
    );
    assert_eq!(account.overage_units(API), 2);
}

#[test]
fn what_settles_over_a_periods_edge_is_included_in_the_new_one() {
    let mut account = shared(5, priced(10, None));
    Lender::new().refill(&mut account, 2, at(1));
    account.admit(&route(2), None, at(1)).expect("lent");
    let after = Now::from_seconds(MONTH.end);
    let charge = account.settle(&route(2).cost, None, after);
    assert_eq!((charge.draws[0].included, charge.draws[0].overage), (2, 0));
    let call = account.call(Purpose::Publish, after).expect("a call");
    assert_eq!((call.asks[0].window, call.asks[0].used, call.asks[0].keep), (MONTH.end, 2, 2));
    account.take(&call, &answer(&call, 5, 5), after);
    assert!(account.call(Purpose::Publish, after).expect("a call").ended.is_empty(), "clocks differ");
}

#[test]
fn a_window_that_has_ended_is_forgotten_everywhere_a_minute_later() {
    let mut account = shared(5, Overage::Deny);
    Lender::new().refill(&mut account, 2, at(1));
    let edge = Now::from_seconds(MONTH.end);
    account.window(edge);
    let later = Now::from_seconds(MONTH.end + 60);
    let call = account.call(Purpose::Publish, later).expect("a call");
    assert_eq!(call.ended, [(Pool::Included(API), MONTH.start)]);
    account.call_failed(&call);
    let call = account.call(Purpose::Publish, later).expect("a call");
    assert_eq!(call.ended.len(), 1, "until it has been said");
    account.take(&call, &answer(&call, 0, 0), later);
    assert!(account.call(Purpose::Publish, later).expect("a call").ended.is_empty());
}

#[test]
fn without_the_fleet_a_bounded_part_is_allowed_once() {
    let mut account = shared(100, Overage::Deny);
    let call = account.call(Purpose::Request(&route(4)), at(1)).expect("a call");
    let Settled::Lent { mut asks, rates, lends } = answer(&call, 50, 10) else { panic!("lent") };
    (asks[0].held, asks[0].free) = (4, 46);
    account.take(&call, &Settled::Lent { asks, rates, lends }, at(1));
    account.admit(&route(4), None, at(1)).expect("lent");
    assert!(account.lacks(&route(1), None, at(1)));
    assert!(account.allow(3, 10, at(2)) && !account.allow(3, 10, at(2)));
    for _ in 0..5 {
        assert!(!account.lacks(&route(2), None, at(2)));
        account.admit(&route(2), None, at(2)).expect("10 of the 16 that would be its part");
    }
    assert!(account.lacks(&route(1), None, at(2)), "it is not refused: nobody knows");
    let call = account.call(Purpose::Publish, at(3)).expect("a call");
    assert_eq!(call.asks[0].keep, 14);
    account.take(&call, &answer(&call, 86, 86), at(3));
    assert!(account.allow(3, 10, at(4)), "once in each absence");
}

#[test]
fn what_was_used_up_when_last_heard_is_refused_without_the_fleet_too() {
    let mut account = shared(10, Overage::Deny);
    let call = account.call(Purpose::Request(&route(4)), at(1)).expect("a call");
    account.take(&call, &answer(&call, 10, 10), at(1));
    assert!(account.allow(2, 100, at(9)));
    assert!(!account.lacks(&route(1), None, at(9)));
    assert_eq!(account.admit(&route(1), None, at(9)), Err(Refusal::QuotaExceeded { meter: API }));
}

#[test]
fn permits_end_and_are_asked_for_again_only_when_there_may_be_one() {
    let mut account = account(tier(100, Overage::Deny, Some(rate(10, 1)))).with_share(&[]);
    let mut lender = Lender::new();
    lender.call(&mut account, Purpose::Publish, at(1));
    let now = at(2);
    assert_eq!(lender.refill(&mut account, 1, now), 1);
    account.admit(&route(1), None, now).expect("the only permit");
    assert_eq!(lender.refill(&mut account, 1, now), 1, "there is none, and one answer says so");
    let refused = account.admit(&route(1), None, now);
    assert_eq!(refused, Err(Refusal::RateLimited { wait_nanos: 100_000_000 }));
    assert_eq!(lender.refill(&mut account, 1, millis(now, 100)), 1);
    assert!(account.lacks(&route(1), None, millis(now, 1_050)), "it has ended");
}

#[test]
fn who_waited_in_vain_for_all_is_told_what_is_used_up_and_not_of_a_rate_that_nobody_knows() {
    let mut account = account(tier(3, Overage::Deny, Some(rate(10, 5)))).with_share(&[]);
    let purpose = || Purpose::Request(&*Box::leak(Box::new(route(4))));
    let call = account.call(purpose(), at(1)).expect("a call");
    let Settled::Lent { asks, .. } = answer(&call, 3, 1) else { panic!("lent") };
    let rates = smallvec![crate::domain::lease::RateLent { more: 2, free: 3, wait_millis: 0 }];
    account.take(&call, &Settled::Lent { asks, rates, lends: true }, at(1));
    // What the others hold is waited for until the permits have ended.
    let call = account.call(purpose(), at(3)).expect("a call");
    account.call_failed(&call);
    account.give_up(purpose(), at(3));
    assert_eq!(account.admit(&route(4), None, at(3)), Err(Refusal::QuotaExceeded { meter: API }));
    let limited = account.admit(&route(0), None, at(3));
    assert!(matches!(limited, Err(Refusal::RateLimited { .. })), "it is short of nothing else: {limited:?}");
}

#[test]
fn a_slow_rate_earns_its_permits_back_however_often_it_is_called_for() {
    let nz = |n| std::num::NonZeroU32::new(n).expect("not zero");
    let slow = crate::domain::rate::Rate::new(nz(1), nz(60), nz(1));
    let mut account = account(tier(100, Overage::Deny, Some(slow))).with_share(&[]);
    let mut lender = Lender::new();
    lender.call(&mut account, Purpose::Publish, at(1));
    let start = at(100);
    assert_eq!(lender.refill(&mut account, 1, start), 1);
    account.admit(&route(1), None, start).expect("the only permit");
    for tick in 1..240 {
        let now = millis(start, tick * 250);
        lender.refill(&mut account, 1, now);
        assert!(account.admit(&route(1), None, now).is_err(), "{tick}");
    }
    let now = millis(start, 60_500);
    lender.refill(&mut account, 1, now);
    account.admit(&route(1), None, now).expect("a minute later");
}

#[test]
fn what_was_used_in_a_long_time_without_the_fleet_is_not_asked_for_at_once() {
    let mut account = shared(1_000_000, Overage::Deny);
    let mut lender = Lender::new();
    lender.refill(&mut account, 50_000, at(1));
    lender.call(&mut account, Purpose::Publish, at(1));
    let mut used = 0;
    while account.admit(&route(1_000), None, at(50)).is_ok() {
        account.settle(&route(1_000).cost, None, at(50));
        used += 1_000;
    }
    assert!(used >= 50_000, "{used}");
    let call = account.call(Purpose::Publish, at(101)).expect("a call");
    let [ask] = &call.asks[..] else { panic!("{call:?}") };
    assert_eq!(ask.want - used, 2 * used / 100, "twice what a second of these hundred took");
}

#[test]
fn a_repeat_needs_nothing_of_the_fleet() {
    let mut account = shared(4, Overage::Deny);
    std::sync::Arc::make_mut(&mut account.terms).key_limits = Limits { keys: 10, repeats: 3 };
    account.rare.as_mut().expect("a share").keys =
        crate::domain::idempotency::Keys::new(account.terms.key_limits);
    let key = Some(Digest([1; 16]));
    Lender::new().refill(&mut account, 4, at(1));
    account.admit(&route(4), key, at(1)).expect("lent");
    assert!(!account.lacks(&route(4), key, at(1)) && !account.lacks(&route(4), None, at(1)));
    account.admit(&route(4), key, at(1)).expect("a repeat");
}

#[test]
fn an_unlimited_allowance_is_told_and_never_asked_for() {
    let mut unlimited = (*tier(0, Overage::Deny, None)).clone();
    unlimited.included = vec![Allowance::Unlimited];
    let window = Window::new(MONTH, smallvec![7]);
    let mut account = Account::new(entitlement(unlimited.into()), window).with_share(&[]);
    assert!(!account.lacks(&route(1_000_000), None, at(1)));
    let call = account.call(Purpose::Publish, at(1)).expect("a call");
    assert_eq!((call.asks[0].used, call.asks[0].keep, call.asks[0].want), (7, 7, 7));
}

#[test]
fn shares_of_the_included_units_are_reached_by_all_nodes_together() {
    let mut account = shared(10, Overage::Deny);
    let call = account.call(Purpose::Request(&route(2)), at(1)).expect("a call");
    account.take(&call, &answer(&call, 4, 4), at(1));
    assert!(!account.has_reached());
    account.admit(&route(2), None, at(1)).expect("lent");
    assert_eq!(account.settle(&route(2).cost, None, at(1)).draws[0].reached, Some(50));
    let call = account.call(Purpose::Publish, at(1)).expect("a call");
    account.take(&call, &answer(&call, 6, 6), at(1));
    assert!(account.has_reached() && !account.has_reached(), "80 % by what another has used");
    assert_eq!((account.marks(at(1))[0].share, account.units_of_others(API)), (80, 6));
}

#[test]
fn an_entry_may_leave_when_nothing_is_lent_and_all_is_told() {
    let mut account = shared(10, Overage::Deny);
    let mut lender = Lender::new();
    lender.refill(&mut account, 1, at(1));
    assert!(!account.is_at_rest(at(2)));
    let call = account.call(Purpose::Return, at(2)).expect("a call");
    assert!(!account.is_at_rest(at(2)), "a call is under way");
    let settled = lender.settle(&call, at(2));
    account.take(&call, &settled, at(2));
    assert!(account.is_at_rest(at(2)));
}

/// An exchange that was held for costs more than that: how much was used here is told whatever was lent.
fn corrected(account: &mut Account, held: u64, truth: u64) -> Correction {
    account.admit(&route(held), None, at(1)).expect("lent");
    let [estimate, truth] = [held, truth].map(|units| TrueCost::new(&Cost::default(), [(API, units)]));
    let charge = account.settle_with(&route(held).cost, &estimate, None, at(1));
    let terms = account.terms().clone();
    account.correct(&charge, &truth, &terms, at(1))
}

#[test]
fn a_truth_above_the_claim_is_told_and_limits_all() {
    let mut account = shared(100, Overage::Deny);
    let mut lender = Lender::new();
    lender.refill(&mut account, 3, at(1));
    let correction = corrected(&mut account, 3, 60);
    assert_eq!((correction.draws[0].included, correction.draws[0].uncovered), (57, 0), "the fleet has them");
    let call = lender.call(&mut account, Purpose::Publish, at(2));
    assert_eq!((call.asks[0].used, call.asks[0].keep), (60, 60));
    assert!(lender.refill(&mut account, 41, at(3)) < 6 && account.admit(&route(41), None, at(3)).is_err());
    lender.refill(&mut account, 40, at(4));
    account.admit(&route(40), None, at(4)).expect("the rest");
}

#[test]
fn what_nothing_covers_takes_of_the_fleets_limit_until_something_comes_back() {
    let mut account = shared(10, Overage::Deny);
    let mut lender = Lender::new();
    lender.refill(&mut account, 6, at(1));
    corrected(&mut account, 2, 2);
    let charge = corrected(&mut account, 4, 11);
    assert_eq!((charge.draws[0].included, charge.draws[0].uncovered), (4, 3));
    let call = lender.call(&mut account, Purpose::Publish, at(2));
    assert_eq!((call.asks[0].used, call.asks[0].limit), (13, 10));
    assert!(lender.refill(&mut account, 1, at(3)) < 6 && account.admit(&route(1), None, at(3)).is_err());
    assert_eq!(account.settled(&tier(10, Overage::Deny, None), API), 13);
}
