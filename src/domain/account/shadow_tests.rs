//! Shadow against the same limits enforced.

use proptest::prelude::*;

use super::correct_tests::truth;
use super::members_tests::capped;
use super::tests::{account, at, entitlement, priced, rate, route, tier};
use super::*;
use crate::domain::idempotency::Digest;
use crate::domain::subscription::Entitlement;
use crate::domain::tier::{Mode, Overage, Tier};
use crate::domain::usage::{Charge, MemberId};

fn in_shadow(tier: &Tier) -> Arc<Tier> {
    Arc::new(Tier { mode: Mode::Shadow, ..tier.clone() })
}

#[test]
fn what_is_refused_is_served_uncovered_and_counted_by_no_limit() {
    let mut account = account(in_shadow(&tier(5, Overage::Deny, Some(rate(1, 2)))));
    account.put_credits(Lot { grant: 1, units: 1, expires_at: None });
    for cost in [3, 2] {
        let admitted = account.admit(&route(cost), None, at(1)).expect("fits");
        account.settle(&route(cost).cost, admitted.by(), at(1));
    }
    let before = format!("{account:?}");
    account.admit(&route(9), None, at(1)).expect_err("too fast");
    let passed = account.pass_in_shadow(Mode::Enforce, None, at(1)).expect("in shadow");
    let charge = account.settle(&route(9).cost, passed.by(), at(1));
    let draw = charge.draws[0];
    assert_eq!((draw.units(), draw.uncovered, draw.reached), (9, 9, None));
    account.undo(&charge, at(1));
    let corrected = account.correct(&charge, &truth(&[4]), &account.terms().clone(), at(1));
    assert_eq!((corrected.draws[0].uncovered, corrected.draws[0].units()), (-5, -5));
    account.release(&route(9).cost, passed.by());
    assert_eq!(format!("{account:?}"), before, "nothing of it is left anywhere");
}

#[test]
fn shadow_is_the_routes_or_the_tiers_and_never_an_operators_block() {
    let passes = |account: &Account, mode| account.pass_in_shadow(mode, None, at(1)).is_some();
    let enforced = tier(0, Overage::Deny, None);
    let shadow = in_shadow(&enforced);
    let with = |tier: Arc<Tier>, standing| {
        let terms = Entitlement { standing, ..entitlement(tier.clone()) };
        Account::new(terms, account(tier).window(at(1)))
    };
    for standing in [Standing::Admitted, Standing::PaymentRequired, Standing::Paused] {
        let (enforced, shadow) = (with(enforced.clone(), standing.clone()), with(shadow.clone(), standing));
        assert!(!passes(&enforced, Mode::Enforce));
        assert!(passes(&enforced, Mode::Shadow));
        assert!(passes(&shadow, Mode::Enforce));
    }
    for tier in [enforced, shadow] {
        let blocked = with(tier, Standing::Blocked);
        assert!(!passes(&blocked, Mode::Enforce) && !passes(&blocked, Mode::Shadow));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask { cost: u64, key: u8, member: u32 },
    Settle { of: usize, truth: Option<u64> },
    Release { of: usize },
    Undo { of: usize },
    Wait { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..6, 0u8..4, 0u32..3).prop_map(|(cost, key, member)| Step::Ask { cost, key, member }),
        3 => (any::<usize>(), prop::option::of(0u64..9)).prop_map(|(of, truth)| Step::Settle { of, truth }),
        1 => any::<usize>().prop_map(|of| Step::Release { of }),
        1 => any::<usize>().prop_map(|of| Step::Undo { of }),
        1 => (0i64..3_000_000).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// The same customer twice, and what is under way of each request.
struct Twins {
    enforced: Account,
    shadow: Account,
    /// Of requests in flight: cost, and the permissions; none where it was refused.
    flying: Vec<(u64, Option<Admitted>, Admitted)>,
    settled: Vec<(Option<Charge>, Charge)>,
}

impl Twins {
    fn ask(&mut self, cost: u64, by: By, now: Now) {
        let asked = self.enforced.admit(&route(cost), by, now);
        let again = self.shadow.admit(&route(cost), by, now);
        assert_eq!(asked, again, "both decide alike");
        let passed = again.unwrap_or_else(|_| {
            let passed = self.shadow.pass_in_shadow(Mode::Enforce, None, now);
            passed.expect("it is never refused")
        });
        self.flying.push((cost, asked.ok(), passed));
    }

    fn settle(&mut self, of: usize, told: Option<u64>, now: Now) {
        let (cost, enforced, passed) = self.flying.swap_remove(of);
        let cost = route(cost).cost;
        let settle = |account: &mut Account, by: By| match told {
            None => account.settle(&cost, by, now),
            Some(units) => account.settle_with(&cost, &truth(&[units]), by, now),
        };
        let due = enforced.map(|admitted| settle(&mut self.enforced, admitted.by()));
        let charge = settle(&mut self.shadow, passed.by());
        match &due {
            Some(due) => assert_eq!(*due, charge),
            None => {
                assert!(charge.in_shadow && charge.draws.iter().all(|draw| draw.units() == draw.uncovered));
            }
        }
        self.settled.push((due, charge));
    }

    fn step(&mut self, step: &Step, now: Now) {
        match *step {
            Step::Ask { cost, key, member } => {
                let key = (key > 0).then_some(Digest([key; 16]));
                let member = MemberId::new(member).map(ByMember::from);
                self.ask(cost, By { key, member, ..By::default() }, now);
            }
            Step::Settle { of, truth } if !self.flying.is_empty() => {
                self.settle(of % self.flying.len(), truth, now);
            }
            Step::Release { of } if !self.flying.is_empty() => {
                let (cost, enforced, passed) = self.flying.swap_remove(of % self.flying.len());
                if let Some(admitted) = enforced {
                    self.enforced.release(&route(cost).cost, admitted.by());
                }
                self.shadow.release(&route(cost).cost, passed.by());
            }
            Step::Undo { of } if !self.settled.is_empty() => {
                let (due, charge) = self.settled.swap_remove(of % self.settled.len());
                if let Some(due) = due.filter(|due| !due.is_repeat()) {
                    self.enforced.undo(&due, now);
                }
                if !charge.is_repeat() {
                    self.shadow.undo(&charge, now);
                }
            }
            _ => {}
        }
    }
}

proptest! {
    /// Whatever comes: the limits decide alike, hold alike, and bill alike.
    #[test]
    fn in_shadow_the_limits_decide_and_bill_as_if_they_were_enforced(
        steps in prop::collection::vec(step(), 1..120), included in 0u64..20, credits in 0u64..9,
        cap in prop::option::of(0i64..60), is_priced: bool, rated: bool, member in prop::option::of(0u64..12),
    ) {
        let overage = if is_priced { priced(3, cap) } else { Overage::Deny };
        let limited = tier(included, overage, rated.then(|| rate(2, 4)));
        let limited = member.map_or(limited.clone(), |units| capped(&limited, units, None));
        let [mut enforced, mut shadow] = [limited.clone(), in_shadow(&limited)].map(account);
        for account in [&mut enforced, &mut shadow] {
            account.put_credits(Lot { grant: 1, units: credits, expires_at: None });
        }
        let mut twins = Twins { enforced, shadow, flying: Vec::new(), settled: Vec::new() };
        let mut second = 0;
        for step in &steps {
            if let Step::Wait { seconds } = step {
                second += seconds / 1_000;
            }
            twins.step(step, at(second));
            let (a, b) = (twins.enforced.window(at(second)), twins.shadow.window(at(second)));
            prop_assert_eq!(a, b);
            prop_assert_eq!(twins.enforced.free_credits(at(second)), twins.shadow.free_credits(at(second)));
        }
    }
}
