//! Members' caps, by example and against plain sums of what was recorded.

use std::collections::BTreeMap;

use proptest::prelude::*;
use smallvec::smallvec;

use super::correct_tests::truth;
use super::members::MOST;
use super::tests::{API, MONTH, account, at, entitlement, priced, rate, route, tier};
use super::*;
use crate::domain::idempotency::Limits;
use crate::domain::money::Currency;
use crate::domain::period::Interval;
use crate::domain::rate::Rate;
use crate::domain::subscription::Windows;
use crate::domain::tier::{Allowance, MemberTerms, Overage};
use crate::domain::usage::{Charge, MemberId, signed};

const CAP: u64 = 10;

fn member(number: u32) -> MemberId {
    MemberId::new(number).expect("a number")
}

fn by(number: u32) -> By {
    By { member: MemberId::new(number).map(ByMember::from), ..By::default() }
}

pub(super) fn capped(tier: &Tier, cap: u64, rate: Option<Rate>) -> Arc<Tier> {
    let terms = MemberTerms { included: vec![Allowance::Units(cap)], rate };
    Arc::new(Tier { member: Some(Arc::new(terms)), ..tier.clone() })
}

fn plenty() -> Arc<Tier> {
    tier(1_000_000, Overage::Deny, None)
}

fn of_cap(cap: u64) -> Account {
    account(capped(&plenty(), cap, None))
}

fn charge(account: &mut Account, number: u32, cost: u64, now: Now) -> Result<Charge, Refusal> {
    let admitted = account.admit(&route(cost), by(number), now)?;
    Ok(account.settle(&route(cost).cost, admitted.by(), now))
}

fn used(account: &mut Account, number: u32, now: Now) -> u64 {
    account.member_units(now).get(&(MemberId::new(number), API)).copied().unwrap_or_default()
}

const REFUSED: Refusal = Refusal::MemberQuotaExceeded { meter: API };

#[test]
fn one_member_reaches_the_cap_and_the_others_go_on() {
    let mut account = of_cap(CAP);
    for _ in 0..3 {
        assert_eq!(charge(&mut account, 1, 3, at(1)).expect("within").member, Some(member(1)));
    }
    assert_eq!(charge(&mut account, 1, 2, at(1)), Err(REFUSED));
    charge(&mut account, 1, 1, at(1)).expect("the last unit");
    assert_eq!(charge(&mut account, 1, 1, at(1)), Err(REFUSED));
    charge(&mut account, 2, CAP, at(1)).expect("another's are another's");
    assert_eq!([1, 2, 3].map(|number| used(&mut account, number, at(1))), [CAP, CAP, 0]);
    charge(&mut account, 0, 5 * CAP, at(1))
        .expect("who does not say who calls is held against the customer's");
    account.admit(&route(0), by(1), at(1)).expect("what costs nothing is not capped");
}

#[test]
fn units_in_flight_count_for_their_member_and_come_back_when_released() {
    let mut account = of_cap(CAP);
    let flying = account.admit(&route(6), by(1), at(1)).expect("fits");
    assert_eq!(account.admit(&route(6), by(1), at(1)), Err(REFUSED));
    let other = account.admit(&route(6), by(2), at(1)).expect("another's");
    account.release(&route(6).cost, other.by());
    assert_eq!(account.admit(&route(6), by(1), at(1)), Err(REFUSED), "nobody gives back what is another's");
    account.release(&route(6).cost, flying.by());
    account.admit(&route(CAP), by(1), at(1)).expect("all of it again");
}

#[test]
fn a_cap_is_on_units_whatever_pays_for_them() {
    let mut account = account(capped(&tier(2, priced(1, None), None), CAP, None));
    account.put_credits(Lot { grant: 1, units: 3, expires_at: None });
    let charge = charge(&mut account, 1, CAP, at(1)).expect("fits");
    assert_eq!((charge.draws[0].included, charge.draws[0].credits, charge.draws[0].overage), (2, 3, 5));
    assert_eq!(account.admit(&route(1), by(1), at(1)), Err(REFUSED));
    account.admit(&route(1), by(2), at(1)).expect("more is sold to others");
    account.undo(&charge, at(1));
    assert_eq!(used(&mut account, 1, at(1)), 0, "and all of it comes back");
}

#[test]
fn a_refusal_of_any_limit_takes_nothing_of_another() {
    let tiers = [
        capped(&tier(4, Overage::Deny, Some(rate(1, 3))), 100, Some(rate(1, 3))),
        capped(&tier(100, Overage::Deny, Some(rate(1, 3))), 4, Some(rate(1, 3))),
        capped(&tier(100, Overage::Deny, Some(rate(1, 1))), 100, Some(rate(1, 9))),
        capped(&tier(100, Overage::Deny, Some(rate(1, 9))), 100, Some(rate(1, 1))),
    ];
    let refusals = tiers.map(|tier| {
        let mut account = account(tier);
        charge(&mut account, 1, 3, at(1)).expect("fits");
        let before = format!("{account:?}");
        let refused = account.admit(&route(3), by(1), at(1)).expect_err("one of them is full");
        assert_eq!(format!("{account:?}"), before, "{refused:?}");
        refused
    });
    assert!(matches!(
        refusals,
        [
            Refusal::QuotaExceeded { .. },
            Refusal::MemberQuotaExceeded { .. },
            Refusal::RateLimited { .. },
            Refusal::MemberRateLimited { .. }
        ]
    ));
}

#[test]
fn each_member_has_a_rate_of_its_own_on_free_routes_too() {
    let mut account = account(capped(&plenty(), CAP, Some(rate(1, 2))));
    for number in [1, 1, 2, 2] {
        account.admit(&route(0), by(number), at(1)).expect("within the burst");
    }
    for number in [1, 2] {
        let Err(Refusal::MemberRateLimited { wait_nanos }) = account.admit(&route(0), by(number), at(1))
        else {
            panic!("the burst is spent");
        };
        assert_eq!(wait_nanos, 1_000_000_000);
        account.admit(&route(0), by(number), at(2)).expect("earned back");
    }
    assert!(!account.is_at_rest(at(2)) && account.is_at_rest(at(9)), "it leaves once all is earned back");
}

#[test]
fn a_new_period_resets_what_was_used_and_an_old_one_is_found_as_it_was_left() {
    let mut account = of_cap(CAP);
    charge(&mut account, 1, CAP, at(1)).expect("fits");
    let subscribed = Period { start: MONTH.start + 10, end: MONTH.start + 10 * 86_400 };
    let windows =
        Windows::Periods { current: subscribed, anchor: subscribed.start, interval: Interval::Days(10) };
    let of_month = entitlement(capped(&plenty(), CAP, None));
    account.entitle(crate::domain::subscription::Entitlement { windows, ..of_month.clone() }, None, at(20));
    charge(&mut account, 1, 4, at(20)).expect("a period of its own");
    account.entitle(of_month, None, at(30));
    assert_eq!(charge(&mut account, 1, 1, at(30)), Err(REFUSED), "the month as it was left");
    let next = at(32 * 86_400);
    charge(&mut account, 1, CAP, next).expect("a new month");
    assert_eq!(charge(&mut account, 1, 1, next), Err(REFUSED));
}

#[test]
fn the_store_tells_what_members_used_before() {
    let mut window = Window::new(MONTH, smallvec![9]);
    window.members = [((Some(member(1)), API), 9)].into();
    let mut account = Account::new(entitlement(capped(&plenty(), CAP, None)), window.clone());
    assert_eq!(charge(&mut account, 1, 2, at(1)), Err(REFUSED));
    charge(&mut account, 1, 1, at(1)).expect("the last");
    window.members = [((Some(member(1)), API), 4), ((Some(member(2)), API), CAP)].into();
    account.raise(&window);
    assert_eq!([1, 2].map(|number| used(&mut account, number, at(1))), [CAP, CAP], "never less than before");
}

#[test]
fn all_beyond_the_most_share_what_one_may_use() {
    let mut account = account(capped(&plenty(), CAP, Some(rate(1, 3))));
    let most = u32::try_from(MOST).expect("small");
    for number in 1..=most {
        charge(&mut account, number, 1, at(1)).expect("each has its own");
    }
    charge(&mut account, most + 1, 6, at(1)).expect("the first beyond");
    assert_eq!(charge(&mut account, most + 2, 6, at(1)), Err(REFUSED), "nobody is without a limit");
    let flying = account.admit(&route(4), by(most + 2), at(1)).expect("what is left");
    assert!(account.admit(&route(0), by(most + 3), at(1)).is_ok());
    assert!(matches!(account.admit(&route(0), by(most + 4), at(1)), Err(Refusal::MemberRateLimited { .. })));
    charge(&mut account, 1, CAP - 1, at(1)).expect("who has a place keeps it");
    let next = at(32 * 86_400);
    assert_eq!(account.admit(&route(7), by(most + 2), next), Err(REFUSED), "of all in flight");
    account.settle(&route(4).cost, flying.by(), next);
    assert_eq!(account.member_units(next), [((None, API), 4)].into(), "it was held among those beyond");
}

#[test]
fn terms_without_caps_count_for_nobody_and_give_back_what_was_held() {
    let mut account = of_cap(CAP);
    let flying = account.admit(&route(6), by(1), at(1)).expect("fits");
    account.entitle(entitlement(plenty()), None, at(2));
    let without = account.admit(&route(CAP), by(1), at(2)).expect("no cap");
    assert_eq!(account.settle(&route(6).cost, flying.by(), at(2)).member, None);
    account.entitle(entitlement(capped(&plenty(), CAP, None)), None, at(3));
    let kept = account.admit(&route(CAP), by(1), at(3)).expect("nothing is held any more");
    account.release(&route(CAP).cost, without.by());
    assert_eq!(account.admit(&route(1), by(1), at(3)), Err(REFUSED), "who held nothing gives nothing back");
    account.release(&route(CAP).cost, kept.by());
    account.admit(&route(CAP), by(1), at(3)).expect("all is there");
}

#[test]
fn a_node_of_a_fleet_admits_its_part_rounded_up() {
    let notes = Notes { nodes: 3, ..Notes::default() };
    let terms = capped(&plenty(), CAP, Some(rate(10, 6)));
    let mut account = account(terms).with_notes(notes);
    charge(&mut account, 1, 4, at(1)).expect("a third, rounded up");
    assert_eq!(charge(&mut account, 1, 1, at(1)), Err(REFUSED));
    account.admit(&route(0), by(1), at(1)).expect("the second of two at once");
    assert!(matches!(account.admit(&route(0), by(1), at(1)), Err(Refusal::MemberRateLimited { .. })));
}

#[test]
fn members_are_shown_their_own_limits() {
    let mut account = account(capped(&tier(1_000, Overage::Deny, None), CAP, Some(rate(1, 5))));
    charge(&mut account, 1, 9, at(1)).expect("fits");
    let usd = Currency::parse("usd").expect("a currency");
    let mut shown = |number| {
        let policies = account.policies(&route(1), MemberId::new(number), usd, at(1));
        policies.iter().map(|policy| (policy.name, policy.quota, policy.remaining)).collect::<Vec<_>>()
    };
    let of_all = (PolicyName::Quota(API), 1_000, 991);
    let own =
        |units, permits| [(PolicyName::MemberQuota(API), CAP, units), (PolicyName::MemberRate, 5, permits)];
    assert_eq!(shown(1), [&own(1, 4)[..], &[of_all]].concat());
    assert_eq!(shown(2), [&[of_all][..], &[own(CAP, 5)[1], own(CAP, 5)[0]]].concat());
    assert_eq!(shown(0), [of_all]);
}

#[derive(Clone, Debug)]
enum Action {
    Admit {
        member: u32,
        cost: u64,
        key: Option<u8>,
        late: bool,
    },
    /// What it truly cost; all, some or none of what was held.
    Settle {
        which: usize,
        truth: Option<u64>,
    },
    Release(usize),
    Correct {
        which: usize,
        truth: u64,
    },
    Undo(usize),
    ChargedElsewhere(u8),
    Wait(i64),
}

fn action() -> impl Strategy<Value = Action> {
    let admit = (1u32..4, 1u64..6, prop::option::of(0u8..3), any::<bool>());
    prop_oneof![
        6 => admit.prop_map(|(member, cost, key, late)| Action::Admit { member, cost, key, late }),
        4 => (any::<usize>(), prop::option::of(0u64..6))
            .prop_map(|(which, truth)| Action::Settle { which, truth }),
        2 => any::<usize>().prop_map(Action::Release),
        2 => (any::<usize>(), 0u64..6).prop_map(|(which, truth)| Action::Correct { which, truth }),
        2 => any::<usize>().prop_map(Action::Undo),
        1 => (0u8..3).prop_map(Action::ChargedElsewhere),
        1 => (1i64..400_000).prop_map(Action::Wait),
    ]
}

/// What was recorded: units by period and member.
#[derive(Default)]
struct Recorded(BTreeMap<(i64, u32), i64>);

impl Recorded {
    fn note(&mut self, period: Period, member: Option<MemberId>, units: i64) {
        if let Some(member) = member {
            *self.0.entry((period.start, member.number())).or_default() += units;
        }
    }

    fn of(&self, period: Period, member: u32) -> i64 {
        self.0.get(&(period.start, member)).copied().unwrap_or_default()
    }
}

fn units(charge: &Charge) -> u64 {
    charge.draws.iter().map(|draw| draw.units()).sum()
}

/// No member is beyond its cap, what is counted is what was recorded, and what is held is what is in flight.
fn holds(account: &mut Account, recorded: &Recorded, cap: u64, second: i64) -> Result<(), TestCaseError> {
    let now = at(second);
    let period = account.window(now).period;
    let counted = account.member_units(now);
    for number in 1..4 {
        let used = counted.get(&(MemberId::new(number), API)).copied().unwrap_or_default();
        // What comes back of a period that has closed is taken off the current one, as far as there is any.
        let sum = recorded.of(period, number);
        prop_assert!(signed(used) == sum || sum <= signed(used) && second > 30 * 86_400);
        let held = account.held_for(member(number), API);
        prop_assert!(used + held <= cap, "{} and {} of {}", used, held, cap);
    }
    let held: u64 = (1..4).map(|number| account.held_for(member(number), API)).sum();
    prop_assert_eq!(held, account.counts[0].reserved, "each unit in flight is one member's");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order, with keys, truths, corrections and what is undone: no member uses and holds
    /// more than the cap, what is counted is what was recorded, what is held is what is in flight, and a refusal
    /// changes nothing.
    #[test]
    fn no_order_of_events_passes_a_cap(
        cap in 0u64..14, included in 0u64..30, actions in prop::collection::vec(action(), 1..150),
    ) {
        let mut account = account(capped(&tier(included, Overage::Deny, None), cap, None));
        Arc::make_mut(&mut account.terms).key_limits = Limits { keys: 100, repeats: 3 };
        let (mut flying, mut charges) = (Vec::<(u64, By)>::new(), Vec::<(Charge, Arc<Terms>)>::new());
        let (mut recorded, mut second) = (Recorded::default(), 1);
        for action in actions {
            let now = at(second);
            let terms = account.terms().clone();
            match action {
                Action::Admit { member, cost, key, late } => {
                    let key = key.map(|key| Digest([key; 16]));
                    let asked = By { key: key.filter(|_| !late), ..by(member) };
                    account.window(now);
                    let before = format!("{account:?}");
                    match account.admit(&route(cost), asked, now) {
                        Err(_) => prop_assert_eq!(format!("{:?}", account), before),
                        Ok(admitted) => {
                            let mut by = admitted.by();
                            if let Some(key) = key.filter(|_| late)
                                && account.identify(&route(cost).cost, key, by.member, now)
                            {
                                by.key = Some(key);
                            }
                            flying.push((cost, by));
                        }
                    }
                }
                Action::Settle { which, truth: told } if !flying.is_empty() => {
                    let (held, by) = flying.swap_remove(which % flying.len());
                    let cost = route(held).cost;
                    let charge = match told.map(|told| truth(&[told.min(held)])) {
                        // What a key holds may be of another cost than what it is told of.
                        Some(truth) if by.key.is_none() => account.settle_with(&cost, &truth, by, now),
                        _ => account.settle(&cost, by, now),
                    };
                    recorded.note(charge.period, charge.member, signed(units(&charge)));
                    charges.push((charge, terms));
                }
                Action::Release(which) if !flying.is_empty() => {
                    let (held, by) = flying.swap_remove(which % flying.len());
                    account.release(&route(held).cost, by);
                }
                Action::Correct { which, truth: told } if !charges.is_empty() => {
                    let (charge, terms) = charges.swap_remove(which % charges.len());
                    let told = truth(&[told.min(units(&charge))]);
                    let correction = account.correct(&charge, &told, &terms, now);
                    let changed: i64 = correction.draws.iter().map(super::super::usage::Change::units).sum();
                    recorded.note(correction.period, charge.member, changed);
                }
                Action::Undo(which) if !charges.is_empty() => {
                    let (charge, _) = charges.swap_remove(which % charges.len());
                    let period = account.undo(&charge, now);
                    recorded.note(period, charge.member, -signed(units(&charge)));
                }
                Action::ChargedElsewhere(key) => account.note_charged(Digest([key; 16]), now),
                Action::Wait(seconds) => second += seconds,
                _ => {}
            }
            holds(&mut account, &recorded, cap, second)?;
        }
        for (held, by) in flying {
            account.release(&route(held).cost, by);
        }
        prop_assert!((1..4).all(|number| account.held_for(member(number), API) == 0), "all has come back");
    }
}
