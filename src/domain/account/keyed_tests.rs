//! Requests with keys, by example and against a plain list of what happened.

use proptest::prelude::*;

use super::tests::{API, account, at, rate, route, tier};
use super::*;
use crate::domain::idempotency::{Limits, REMEMBERED_SECONDS};
use crate::domain::tier::Overage;
use crate::domain::usage::Charge;

const REPEATS: u32 = 3;
const COST: u64 = 5;

fn keyed(included: u64) -> Account {
    let mut account = account(tier(included, Overage::Deny, None));
    let terms = Arc::make_mut(&mut account.terms);
    terms.key_limits = Limits { keys: 1_000, repeats: REPEATS };
    account
}

fn key(number: u8) -> Digest {
    Digest([number; 16])
}

fn admit(account: &mut Account, number: u8) -> Result<Option<Digest>, Refusal> {
    account.admit(&route(COST), Some(key(number)), at(1)).map(|admitted| admitted.key)
}

fn settle(account: &mut Account, number: u8, second: i64) -> Charge {
    account.settle(&route(COST).cost, Some(key(number)), at(second))
}

#[test]
fn twins_share_the_units_of_one_and_one_of_them_is_charged() {
    let mut account = keyed(COST);
    for _ in 0..=REPEATS {
        assert_eq!(admit(&mut account, 1), Ok(Some(key(1))));
        assert_eq!(account.taken(API), COST);
    }
    assert!(admit(&mut account, 2).is_err(), "another request finds no units");
    let charges: Vec<_> = (0..=REPEATS).map(|_| settle(&mut account, 1, 1)).collect();
    assert_eq!(charges.iter().filter(|charge| !charge.is_repeat()).count(), 1);
    assert_eq!((account.taken(API), account.window(at(1)).used[0]), (COST, COST));
}

#[test]
fn a_repeat_passes_when_the_quota_is_used_up_and_spends_rate() {
    let mut account = keyed(COST);
    let limited = Route { rate: Some(rate(1, 2)), ..route(COST) };
    account.admit(&limited, Some(key(1)), at(1)).expect("fits");
    assert!(!settle(&mut account, 1, 1).is_repeat());
    assert!(account.admit(&limited, Some(key(2)), at(1)).is_err(), "nothing is left");
    account.admit(&limited, Some(key(1)), at(1)).expect("a repeat needs nothing");
    assert!(settle(&mut account, 1, 1).is_repeat());
    assert!(matches!(account.admit(&limited, Some(key(1)), at(1)), Err(Refusal::RateLimited { .. })));
}

#[test]
fn too_many_repeats_are_charged_like_any_request() {
    let mut account = keyed(2 * COST);
    for _ in 0..=REPEATS {
        assert_eq!(admit(&mut account, 1), Ok(Some(key(1))));
        settle(&mut account, 1, 1);
    }
    assert_eq!(admit(&mut account, 1), Ok(None));
    assert_eq!(account.settle(&route(COST).cost, None, at(1)).draws[0].units(), COST);
    assert!(admit(&mut account, 1).is_err(), "the next one finds no units");
}

#[test]
fn a_charge_taken_back_is_held_by_the_twin_in_the_same_step() {
    let mut account = keyed(COST);
    admit(&mut account, 1).expect("fits");
    admit(&mut account, 1).expect("shares");
    let first = settle(&mut account, 1, 1);
    account.undo(&first, at(2));
    assert_eq!((account.window(at(2)).used[0], account.taken(API)), (0, COST));
    assert!(admit(&mut account, 2).is_err(), "the units are held again");
    assert!(!settle(&mut account, 1, 3).is_repeat());
    assert_eq!(account.taken(API), COST);
}

#[test]
fn a_charge_taken_back_over_an_edge_overruns_nothing() {
    let mut account = keyed(COST);
    admit(&mut account, 1).expect("fits");
    admit(&mut account, 1).expect("shares");
    let first = settle(&mut account, 1, 1);
    let next = Now::from_seconds(first.period.end + 1);
    account.admit(&route(COST), None, next).expect("another period");
    account.settle(&route(COST).cost, None, next);
    account.undo(&first, next);
    assert_eq!(account.taken(API), COST, "the new period has no room for the twin");
    assert!(account.settle(&route(COST).cost, Some(key(1)), next).is_repeat());
}

#[test]
fn a_key_that_is_known_late_makes_a_repeat_of_what_holds_units() {
    let mut account = keyed(2 * COST);
    let cost = route(COST).cost;
    assert_eq!(account.admit(&route(COST), None, at(1)).expect("fits").key, None);
    assert!(account.identify(&cost, key(1), None, at(1)));
    assert_eq!(account.taken(API), COST, "the first keeps its units");
    assert!(!settle(&mut account, 1, 1).is_repeat());
    account.admit(&route(COST), None, at(1)).expect("fits");
    assert!(account.identify(&cost, key(1), None, at(1)));
    assert_eq!(account.taken(API), COST, "the second has given them back");
    assert!(settle(&mut account, 1, 1).is_repeat());
}

#[derive(Clone, Debug)]
enum Action {
    /// Before it is admitted, or once the body is there.
    Come {
        key: u8,
        late: bool,
    },
    Settle(usize),
    Release(usize),
    Undo(usize),
    Wait(i64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0u8..3, prop::bool::weighted(0.2)).prop_map(|(key, late)| Action::Come { key, late }),
        4 => (0usize..8).prop_map(Action::Settle),
        2 => (0usize..8).prop_map(Action::Release),
        1 => (0usize..8).prop_map(Action::Undo),
        1 => prop_oneof![Just(1i64), Just(REMEMBERED_SECONDS / 2)].prop_map(Action::Wait),
    ]
}

/// What has happened, as a list: nothing is kept that could be computed from it.
#[derive(Default)]
struct Model {
    flying: Vec<(u8, Option<Digest>)>,
    /// Charges not taken back; false: so old that the key has begun anew.
    charges: Vec<(u8, Charge, bool)>,
    /// Free repeats since a key was last charged.
    repeats: [u32; 3],
    used: u64,
    now: i64,
}

impl Model {
    fn in_flight(&self, number: u8) -> u64 {
        self.flying.iter().filter(|flying| **flying == (number, Some(key(number)))).count() as u64
    }

    fn is_charged(&self, number: u8) -> bool {
        let recent = |charge: &Charge| charge.at.seconds() + REMEMBERED_SECONDS > at(self.now).seconds();
        let mut of_key =
            self.charges.iter().filter(|(_, charge, counts)| charge.key == Some(key(number)) && *counts);
        of_key.any(|(_, charge, _)| recent(charge) || self.in_flight(number) > 0)
    }

    fn begin(&mut self, number: u8) {
        self.charges.iter_mut().filter(|(n, ..)| *n == number).for_each(|(.., counts)| *counts = false);
    }

    /// One reservation for each key in flight that nobody has been charged for, and one for each without a key.
    fn reserved(&self) -> u64 {
        let shared = (0..3).filter(|number| self.in_flight(*number) > 0 && !self.is_charged(*number)).count();
        let own = self.flying.iter().filter(|(_, key)| key.is_none()).count();
        COST * (shared + own) as u64
    }
}

proptest! {
    /// Whatever comes in whatever order: a key is charged at most once in 24 hours beside what comes too often, units
    /// are held exactly for keys in flight that nobody was charged for, and no limit is overrun.
    #[test]
    fn keys_agree_with_a_list_of_what_happened(
        included in 0u64..30, actions in prop::collection::vec(action(), 1..150),
    ) {
        let mut account = keyed(included);
        let cost = route(COST).cost;
        let mut model = Model::default();
        for action in actions {
            let now = at(model.now);
            match action {
                Action::Come { key: number, late } => {
                    let fresh = model.in_flight(number) == 0 && !model.is_charged(number);
                    let fits = model.used + model.reserved() + COST <= included;
                    let admitted = account.admit(&route(COST), (!late).then(|| key(number)), now);
                    if late || fresh {
                        prop_assert_eq!(admitted.is_ok(), fits);
                    }
                    if let Ok(Admitted { key: mut by, .. }) = admitted {
                        if late && account.identify(&cost, key(number), None, now) {
                            by = Some(key(number));
                        }
                        prop_assert!(by.is_some() || !fresh, "the first goes by its key");
                        if fresh {
                            model.begin(number);
                        }
                        model.flying.push((number, by));
                    }
                }
                Action::Settle(at) if at < model.flying.len() => {
                    let charged_before = model.is_charged(model.flying[at].0);
                    let (number, by) = model.flying.swap_remove(at);
                    let charge = account.settle(&cost, by, now);
                    prop_assert_eq!(charge.is_repeat(), by.is_some() && charged_before);
                    if charge.is_repeat() {
                        model.repeats[usize::from(number)] += 1;
                        prop_assert!(model.repeats[usize::from(number)] <= REPEATS);
                    } else {
                        model.used += COST;
                        model.repeats[usize::from(number)] *= u32::from(by.is_none());
                        model.charges.push((number, charge, true));
                    }
                }
                Action::Release(at) if at < model.flying.len() => {
                    let (_, by) = model.flying.swap_remove(at);
                    account.release(&cost, by);
                }
                Action::Undo(at) if at < model.charges.len() => {
                    let (_, charge, _) = model.charges.swap_remove(at);
                    account.undo(&charge, now);
                    model.used -= COST;
                }
                Action::Wait(seconds) => model.now += seconds,
                _ => {}
            }
            let now = at(model.now);
            prop_assert_eq!(account.window(now).used[0], model.used);
            prop_assert_eq!(account.counts[0].reserved, model.reserved());
            prop_assert!(account.taken(API) <= included);
        }
    }
}

#[test]
fn what_is_charged_elsewhere_is_a_repeat_that_gives_its_units_back() {
    let mut account = keyed(2 * COST);
    admit(&mut account, 1).expect("fits");
    admit(&mut account, 1).expect("a twin");
    assert!(account.would_charge(key(1)) && account.taken(API) == COST);
    account.note_charged(key(1), at(1));
    assert!(!account.would_charge(key(1)) && account.taken(API) == 0);
    assert!((0..2).all(|_| settle(&mut account, 1, 2).is_repeat()));
    assert_eq!(account.window(at(2)).used[0], 0);
    account.note_charged(key(2), at(1));
    assert!(!account.is_first(key(2), at(2)));
    admit(&mut account, 2).expect("a repeat needs nothing");
    assert_eq!(account.taken(API), 0);
    assert!(settle(&mut account, 2, 2).is_repeat());
}

#[test]
fn repeats_of_what_is_charged_elsewhere_are_counted_and_forgotten_with_time() {
    let mut account = keyed(10 * COST);
    account.note_charged(key(1), at(1));
    for _ in 0..REPEATS {
        admit(&mut account, 1).expect("a repeat");
        assert!(settle(&mut account, 1, 2).is_repeat());
        // Told again what is known: nothing begins anew.
        account.note_charged(key(1), at(1));
    }
    assert_eq!(admit(&mut account, 1), Ok(None), "a request of its own");
    let mut account = keyed(10 * COST);
    account.note_charged(key(1), at(1));
    assert!(account.is_first(key(1), at(1 + REMEMBERED_SECONDS)));
}
