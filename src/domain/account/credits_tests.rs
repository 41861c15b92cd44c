//! Credits and overrides, by example; against plain sums: `credits_model.rs`.

use rust_decimal::Decimal;
use smallvec::smallvec;

use super::tests::{API, account, at, entitlement, priced, route, tier};
use super::*;
use crate::domain::credits::sum;
use crate::domain::idempotency::Limits;
use crate::domain::money::Currency;
use crate::domain::period::Interval;
use crate::domain::subscription::{Entitlement, Windows};
use crate::domain::tier::{Allowance, Overage};
use crate::domain::usage::{Charge, Draw};

const BYTES: MeterId = MeterId(1);

pub(super) fn lot(grant: i64, units: u64, expires_at: Option<i64>) -> Lot {
    Lot { grant, units, expires_at: expires_at.map(|second| at(second).seconds()) }
}

fn charge(account: &mut Account, cost: u64, second: i64) -> Result<Charge, Refusal> {
    account.admit(&route(cost), None, at(second))?;
    Ok(account.settle(&route(cost).cost, None, at(second)))
}

/// Included, extra, credits, overage.
pub(super) fn drawn(charge: &Charge) -> [u64; 4] {
    let Draw { included, extra, credits, overage, .. } = charge.draws[0];
    [included, extra, credits, overage]
}

pub(super) fn overridden(entitlement: Entitlement, units: u64, until: Option<i64>) -> Entitlement {
    let until = until.map(|second| at(second).seconds());
    entitlement.with_override(None, &[Some(Allowance::Units(units))], until)
}

#[test]
fn units_are_drawn_on_what_is_included_then_on_an_override_then_on_credits_then_as_overage() {
    let over = overridden(entitlement(tier(3, priced(2, None), None)), 5, None);
    let mut account = Account::new(over, account(tier(0, Overage::Deny, None)).window(at(1)));
    account.put_credits(lot(1, 4, None));
    let charges = [2, 2, 2, 5, 1].map(|cost| charge(&mut account, cost, 1).expect("no cap"));
    let expected = [[2, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 3, 2], [0, 0, 0, 1]];
    assert_eq!(charges.each_ref().map(drawn), expected);
    assert_eq!(charges[3].lots, [lot(1, 3, None)]);
    let window = account.window(at(1));
    assert_eq!(
        (window.used[0], window.unbilled(API)),
        (6, Unbilled { extra: 2, credits: 4, ..Unbilled::default() })
    );
    assert_eq!((account.overage_units(API), account.credits(at(1))), (3, 0));
}

#[test]
fn a_tier_that_denies_overage_is_used_up_to_the_last_credit_and_says_which_limit_it_was() {
    for (included, refusal) in [(2, Refusal::QuotaExceeded { meter: API }), (0, Refusal::CreditsExhausted)] {
        let mut account = account(tier(included, Overage::Deny, None));
        account.put_credits(lot(1, 3, None));
        assert_eq!(charge(&mut account, included + 4, 1), Err(refusal.clone()), "and nothing is spent");
        charge(&mut account, included + 3, 1).expect("all of it");
        assert_eq!(charge(&mut account, 1, 1), Err(refusal));
    }
    let monthly = Tier { credits_per_cycle: 9, ..(*tier(2, Overage::Deny, None)).clone() };
    let mut account = account(Arc::new(monthly));
    charge(&mut account, 2, 1).expect("included");
    assert_eq!(charge(&mut account, 1, 1), Err(Refusal::CreditsExhausted));
}

#[test]
fn units_in_flight_hold_credits_that_no_other_gets_and_nobody_takes_away() {
    let mut account = account(tier(1, Overage::Deny, None));
    account.put_credits(lot(1, 5, None));
    account.admit(&route(4), None, at(1)).expect("one included, three credits");
    assert_eq!((account.credits(at(1)), account.free_credits(at(1))), (5, 2));
    assert!(account.admit(&route(3), None, at(1)).is_err());
    assert_eq!(account.take_credits(3, at(1)), Err(2));
    assert_eq!(account.take_credits(2, at(1)), Ok(vec![lot(1, 2, None)]));
    assert!(account.admit(&route(1), None, at(1)).is_err());
    account.release(&route(4).cost, None);
    assert_eq!(account.free_credits(at(1)), 3);
    charge(&mut account, 4, 1).expect("given back");
}

#[test]
fn what_was_admitted_on_credits_that_expire_meanwhile_is_no_overage() {
    let mut account = account(tier(0, Overage::Deny, None));
    account.put_credits(lot(1, 5, Some(10)));
    account.admit(&route(2), None, at(9)).expect("there");
    assert!(account.admit(&route(2), None, at(10)).is_err(), "expired");
    let settled = account.settle(&route(2).cost, None, at(11));
    assert_eq!((drawn(&settled), settled.lots.as_slice()), ([0, 0, 2, 0], &[lot(1, 2, Some(10))][..]));
    let mut priced = self::account(tier(0, priced(1, None), None));
    priced.put_credits(lot(1, 5, Some(10)));
    assert_eq!(drawn(&charge(&mut priced, 2, 10).expect("no cap")), [0, 0, 0, 2], "expired is expired");
}

#[test]
fn an_undone_charge_gives_credits_back_to_their_grants_whenever_that_is() {
    let mut account = account(tier(0, Overage::Deny, None));
    account.put_credits(lot(1, 2, Some(100)));
    account.put_credits(lot(2, 2, None));
    let first = charge(&mut account, 3, 1).expect("fits");
    assert_eq!(account.credit_lots(), [lot(2, 1, None)]);
    account.undo(&first, at(50));
    assert_eq!(account.credit_lots(), [lot(1, 2, Some(100)), lot(2, 2, None)]);
    assert_eq!(account.window(at(50)).unbilled(API), Unbilled::default());
    let next_month = Now::from_seconds(first.period.end + 7_200);
    let second = charge(&mut account, 3, 51).expect("fits");
    account.undo(&second, next_month);
    assert_eq!(account.credits(next_month), 2, "the other grant has expired");
}

#[test]
fn a_twin_of_an_undone_charge_holds_the_credits_again() {
    let mut account = account(tier(0, Overage::Deny, None));
    Arc::make_mut(&mut account.terms).key_limits = Limits { keys: 10, repeats: 3 };
    account.put_credits(lot(1, 5, None));
    let key = Some(Digest([1; 16]));
    account.admit(&route(5), key, at(1)).expect("fits");
    account.admit(&route(5), key, at(1)).expect("a twin");
    let first = account.settle(&route(5).cost, key, at(1));
    assert_eq!((sum(&first.lots), account.credits(at(1))), (5, 0));
    account.undo(&first, at(2));
    assert_eq!((account.credits(at(2)), account.free_credits(at(2))), (5, 0), "held by the twin");
    assert!(account.admit(&route(1), None, at(2)).is_err());
    let second = account.settle(&route(5).cost, key, at(3));
    assert_eq!((drawn(&second), second.is_repeat()), ([0, 0, 5, 0], false));
    assert_eq!(account.credits(at(3)), 0);
}

#[test]
fn a_twin_gets_its_answer_free_where_the_credits_that_come_back_have_expired() {
    let mut account = account(tier(0, Overage::Deny, None));
    Arc::make_mut(&mut account.terms).key_limits = Limits { keys: 10, repeats: 3 };
    account.put_credits(lot(1, 5, Some(10)));
    let key = Some(Digest([1; 16]));
    account.admit(&route(5), key, at(1)).expect("fits");
    account.admit(&route(5), key, at(1)).expect("a twin");
    let first = account.settle(&route(5).cost, key, at(1));
    account.undo(&first, at(10));
    assert!(account.settle(&route(5).cost, key, at(11)).is_repeat());
    assert_eq!((account.credits(at(11)), account.taken(API)), (0, 0));
}

#[test]
fn the_cap_counts_what_credits_do_not_pay() {
    let mut account = account(tier(0, priced(100, Some(200)), None));
    account.put_credits(lot(1, 3, None));
    charge(&mut account, 4, 1).expect("three credits and 1.00");
    assert_eq!(charge(&mut account, 2, 1), Err(Refusal::SpendCapReached));
    account.put_credits(lot(2, 5, None));
    for _ in 0..2 {
        account.admit(&route(3), None, at(1)).expect("five credits, and the last unit of the cap");
    }
    assert_eq!(account.admit(&route(1), None, at(1)), Err(Refusal::SpendCapReached));
}

#[test]
fn credits_are_counted_on_where_they_save_the_least() {
    let overage = Overage::Priced { unit_amounts: vec![Decimal::ONE, Decimal::TEN], cap: Some(Decimal::TEN) };
    let both = Tier {
        included: vec![Allowance::Units(0), Allowance::Units(0)],
        ..(*tier(0, overage, None)).clone()
    };
    let window = Window::new(account(tier(0, Overage::Deny, None)).window(at(1)).period, smallvec![0, 0]);
    let mut account = Account::new(entitlement(Arc::new(both)), window);
    account.put_credits(lot(1, 1, None));
    let costly = Route { cost: Cost::new([(BYTES, 1)]), ..route(0) };
    account.admit(&costly, None, at(1)).expect("a credit pays it");
    // Settled first, this one would take the credit, and the other cost all of the cap.
    assert_eq!(account.admit(&route(1), None, at(1)).err(), None, "10 and a credit");
    assert_eq!(account.admit(&route(1), None, at(1)), Err(Refusal::SpendCapReached));
    assert_eq!(drawn(&account.settle(&route(1).cost, None, at(1))), [0, 0, 1, 0]);
    assert_eq!(drawn(&account.settle(&costly.cost, None, at(1))), [0, 0, 0, 1]);
}

#[test]
fn an_override_after_overage_gives_all_of_its_units_and_leaves_the_overage_as_billed() {
    let mut account = account(tier(10, priced(2, None), None));
    charge(&mut account, 12, 1).expect("no cap");
    let over = overridden(account.terms().entitlement.clone(), 15, Some(50));
    account.entitle(over, None, at(2));
    assert_eq!(
        (account.overage_units(API), drawn(&charge(&mut account, 6, 3).expect("no cap"))),
        (2, [0, 5, 0, 1])
    );
    assert_eq!(account.overage_units(API), 3, "what is billed stays, and goes on");
    assert_eq!(drawn(&charge(&mut account, 1, 50).expect("no cap")), [0, 0, 0, 1], "it has ended");
    let window = account.window(at(50));
    assert_eq!(
        (window.used[0], window.unbilled(API)),
        (14, Unbilled { extra: 5, credits: 0, ..Unbilled::default() })
    );
}

#[test]
fn what_was_drawn_beside_the_billed_units_goes_with_its_window_and_is_raised_with_it() {
    let mut account = account(tier(1, Overage::Deny, None));
    account.put_credits(lot(1, 9, None));
    let first = charge(&mut account, 3, 1).expect("one included, two credits").period;
    let mut stored = Window::new(first, smallvec![1]);
    stored.add_unbilled(API, Unbilled { extra: 1, credits: 1, ..Unbilled::default() });
    account.raise(&stored);
    assert_eq!(account.window(at(1)).unbilled(API), Unbilled { extra: 1, credits: 2, ..Unbilled::default() });
    let current = Period { start: first.start + 10, end: first.start + 1_000_000 };
    let windows = Windows::Periods { current, anchor: current.start, interval: Interval::Months(1) };
    let free = account.terms().entitlement.clone();
    let mut stored = Window::new(current, smallvec![0]);
    stored.add_unbilled(API, Unbilled { extra: 0, credits: 4, ..Unbilled::default() });
    account.entitle(Entitlement { windows, ..free.clone() }, Some(stored), at(20));
    assert_eq!(
        account.window(at(20)).unbilled(API),
        Unbilled { extra: 0, credits: 4, ..Unbilled::default() }
    );
    account.entitle(free, None, at(30));
    assert_eq!(
        account.window(at(30)).unbilled(API),
        Unbilled { extra: 1, credits: 2, ..Unbilled::default() }
    );
    let next = account.window(Now::from_seconds(first.end));
    assert_eq!((next.used[0], next.unbilled(API)), (0, Unbilled::default()));
}

#[test]
fn policies_show_credits_to_those_who_have_or_need_them_alone() {
    let usd = Currency::parse("usd").expect("a currency");
    let shown = |account: &mut Account| {
        let policies = account.policies(&route(1), None, usd, at(1));
        let credits = policies.iter().find(|policy| policy.name == PolicyName::Credits);
        credits.map(|policy| (policy.quota, policy.remaining))
    };
    assert_eq!(shown(&mut account(tier(1, Overage::Deny, None))), None);
    assert_eq!(shown(&mut account(tier(0, priced(1, None), None))), None);
    assert_eq!(shown(&mut account(tier(0, Overage::Deny, None))), Some((0, 0)));
    let mut rich = account(tier(1, priced(1, None), None));
    rich.put_credits(lot(1, 7, None));
    rich.admit(&route(3), None, at(1)).expect("no cap");
    assert_eq!(shown(&mut rich), Some((7, 5)));
}
