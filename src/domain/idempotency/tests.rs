//! The table by example; `account/tests.rs` plays it against a model.

use super::*;
use crate::domain::units::MeterId;

const LIMITS: Limits = Limits { keys: 3, repeats: 2 };

fn key(number: u8) -> Digest {
    Digest([number; 16])
}

fn at(second: i64) -> Now {
    Now::from_seconds(1_800_000_000 + second)
}

fn cost() -> Cost {
    Cost::new([(MeterId(0), 5)])
}

fn charge(keys: &mut Keys, number: u8, now: Now) {
    assert_eq!(keys.role(key(number), now), Role::First);
    keys.begin(key(number), cost());
    assert_eq!(keys.settle(key(number), now), Some(cost()));
}

fn repeat(keys: &mut Keys, number: u8, now: Now) {
    assert_eq!(keys.role(key(number), now), Role::Repeat);
    keys.join(key(number));
    assert_eq!(keys.settle(key(number), now), None);
}

#[test]
fn repeats_are_free_until_there_are_too_many_of_them() {
    let mut keys = Keys::new(LIMITS);
    charge(&mut keys, 1, at(0));
    repeat(&mut keys, 1, at(1));
    repeat(&mut keys, 1, at(2));
    assert_eq!(keys.role(key(1), at(3)), Role::Unkeyed);
    assert_eq!(keys.role(key(2), at(3)), Role::First);
}

#[test]
fn repeats_in_flight_count_before_they_are_answered() {
    let mut keys = Keys::new(LIMITS);
    keys.begin(key(1), cost());
    keys.join(key(1));
    keys.join(key(1));
    assert_eq!(keys.role(key(1), at(0)), Role::Unkeyed, "one will be charged, two repeats are allowed");
    assert_eq!(keys.release(key(1)), None);
    assert_eq!(keys.role(key(1), at(0)), Role::Repeat, "an uncharged answer is no repeat");
}

#[test]
fn the_last_that_ends_uncharged_gives_the_units_back() {
    let mut keys = Keys::new(LIMITS);
    keys.begin(key(1), cost());
    keys.join(key(1));
    assert_eq!(keys.release(key(1)), None);
    assert_eq!(keys.release(key(1)), Some(cost()));
    assert_eq!(keys.role(key(1), at(0)), Role::First);
    assert!(keys.is_at_rest());
}

#[test]
fn when_the_first_is_not_charged_the_next_is() {
    let mut keys = Keys::new(LIMITS);
    keys.begin(key(1), cost());
    keys.join(key(1));
    assert_eq!(keys.release(key(1)), None);
    assert_eq!(keys.settle(key(1), at(0)), Some(cost()));
}

#[test]
fn a_charge_that_is_taken_back_is_taken_over_by_who_is_in_flight() {
    let mut keys = Keys::new(LIMITS);
    keys.begin(key(1), cost());
    keys.join(key(1));
    assert_eq!(keys.settle(key(1), at(0)), Some(cost()));
    assert!(keys.is_charged_at(key(1), at(0)) && keys.is_in_flight(key(1)));
    keys.undo(key(1), cost());
    assert_eq!(keys.settle(key(1), at(1)), Some(cost()));
    assert!(!keys.is_charged_at(key(1), at(0)) && keys.is_charged_at(key(1), at(1)));
}

#[test]
fn a_key_is_remembered_for_24_hours() {
    let mut keys = Keys::new(LIMITS);
    charge(&mut keys, 1, at(0));
    assert_eq!(keys.role(key(1), at(REMEMBERED_SECONDS - 1)), Role::Repeat);
    charge(&mut keys, 1, at(REMEMBERED_SECONDS));
    assert_eq!(keys.role(key(1), at(REMEMBERED_SECONDS + 1)), Role::Repeat, "charged anew");
}

#[test]
fn a_repeat_that_is_answered_after_24_hours_stays_a_repeat() {
    let mut keys = Keys::new(LIMITS);
    charge(&mut keys, 1, at(0));
    keys.join(key(1));
    (2..6).for_each(|other| charge(&mut keys, other, at(REMEMBERED_SECONDS)));
    assert_eq!(keys.role(key(1), at(REMEMBERED_SECONDS)), Role::Repeat);
    assert_eq!(keys.settle(key(1), at(REMEMBERED_SECONDS)), None);
}

#[test]
fn the_oldest_charged_key_is_forgotten_first_and_one_in_flight_never() {
    let mut keys = Keys::new(LIMITS);
    charge(&mut keys, 1, at(0));
    keys.join(key(1));
    (2..6).for_each(|other| charge(&mut keys, other, at(i64::from(other))));
    for (number, role) in
        [(1, Role::Repeat), (2, Role::First), (3, Role::First), (4, Role::Repeat), (5, Role::Repeat)]
    {
        assert_eq!(keys.role(key(number), at(10)), role, "key {number}");
    }
    assert_eq!((keys.charged.len(), keys.by_age.len()), (3, 3));
}

#[test]
fn what_was_charged_earlier_is_known_again() {
    let mut keys = Keys::new(LIMITS);
    keys.remember(key(1), Charged { at: at(0), repeats: 1 });
    repeat(&mut keys, 1, at(1));
    assert_eq!(keys.role(key(1), at(2)), Role::Unkeyed);
}
