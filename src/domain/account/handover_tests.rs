//! Whatever comes before and after: an heir decides and charges as the account would have, had it stayed.

use proptest::prelude::*;

use super::tests::{API, account, at, priced, rate, route, tier};
use super::*;
use crate::domain::idempotency::{Charged, Limits};
use crate::domain::tier::Overage;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A request of so many units, maybe with one of few keys.
    Admit(u64, Option<u8>),
    /// The one that has waited the longest, or the last.
    Settle(bool),
    Release(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..6_u64, prop::option::of(0..3_u8)).prop_map(|(units, key)| Step::Admit(units, key)),
        2 => any::<bool>().prop_map(Step::Settle),
        1 => any::<bool>().prop_map(Step::Release),
    ]
}

/// What is in flight, as the process that holds it knows it.
type Held = Vec<(Cost, Option<Digest>)>;

fn digest(key: u8) -> Digest {
    Digest([key; 16])
}

fn take(held: &mut Held, first: bool) -> Option<(Cost, Option<Digest>)> {
    let last = held.len().checked_sub(1)?;
    Some(held.remove(if first { 0 } else { last }))
}

/// What can be seen of a step.
fn play(
    account: &mut Account,
    held: &mut Held,
    charged: &mut Vec<(Digest, Charged)>,
    step: Step,
    now: Now,
) -> String {
    match step {
        Step::Admit(units, key) => {
            let route = route(units);
            let admitted = account.admit(&route, key.map(digest), now);
            if let Ok(admitted) = &admitted {
                held.push((route.cost, admitted.key));
            }
            format!("{admitted:?}")
        }
        Step::Settle(first) => take(held, first).map_or_else(String::new, |(cost, key)| {
            let charge = account.settle(&cost, key, now);
            match charge.key {
                Some(key) if charge.is_repeat() => {
                    let known = charged.iter_mut().find(|(known, _)| *known == key);
                    known.expect("a repeat's key is known").1.repeats += 1;
                }
                Some(key) => {
                    charged.retain(|(known, _)| *known != key);
                    charged.push((key, Charged { at: now, repeats: 0 }));
                }
                None => {}
            }
            format!("{charge:?}")
        }),
        Step::Release(first) => take(held, first).map_or_else(String::new, |(cost, key)| {
            account.release(&cost, key);
            String::new()
        }),
    }
}

proptest! {
    #[test]
    fn an_heir_goes_on_as_the_account_would_have(
        before in prop::collection::vec(step(), 0..20),
        after in prop::collection::vec(step(), 0..20),
        denies in any::<bool>(),
    ) {
        let overage = if denies { Overage::Deny } else { priced(1, Some(20)) };
        let mut account = account(tier(30, overage, Some(rate(5, 8))));
        Arc::make_mut(&mut account.terms).key_limits = Limits { keys: 1_000, repeats: 3 };
        let (mut held, mut charged) = (Held::new(), Vec::new());
        for (second, step) in (0..).zip(before) {
            play(&mut account, &mut held, &mut charged, step, at(second));
        }
        let now = at(20);
        let mut heir = Account::new(account.terms().clone(), account.window(now)).with_keys(charged.iter().copied());
        if let Some(in_flight) = account.in_flight(now) {
            heir.take_over(in_flight);
        }
        prop_assert_eq!(heir.is_at_rest(now), account.is_at_rest(now));
        let (mut held_by_heir, mut charged_by_heir) = (held.clone(), charged.clone());
        for (second, step) in (20..).zip(after) {
            let stayed = play(&mut account, &mut held, &mut charged, step, at(second));
            let went_over = play(&mut heir, &mut held_by_heir, &mut charged_by_heir, step, at(second));
            prop_assert_eq!(stayed, went_over);
        }
        prop_assert_eq!(account.window(now), heir.window(now));
    }
}

#[test]
fn an_heir_that_has_begun_already_holds_both() {
    let mut old = account(tier(10, Overage::Deny, None));
    let (now, six) = (at(0), route(6));
    let admitted = old.admit(&six, None, now).expect("it fits");
    let mut heir = account(tier(10, Overage::Deny, None));
    heir.take_over(old.in_flight(now).expect("six units"));
    assert_eq!(heir.admit(&six, None, now), Err(Refusal::QuotaExceeded { meter: API }));
    heir.admit(&route(4), None, now).expect("four are left");
    heir.release(&six.cost, admitted.key);
    heir.admit(&six, None, now).expect("they are free again");
}

#[test]
fn an_account_at_rest_has_nothing_to_hand_over() {
    let mut account = account(tier(10, Overage::Deny, Some(rate(1, 1))));
    let one = route(1);
    assert_eq!(account.in_flight(at(0)), None);
    let admitted = account.admit(&one, None, at(0)).expect("it fits");
    account.settle(&one.cost, admitted.key, at(0));
    assert!(account.in_flight(at(0)).is_some(), "the rate is not earned back");
    assert_eq!(account.in_flight(at(1)), None);
}
