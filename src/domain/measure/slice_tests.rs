//! Slices against what an exchange comes to.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;
use crate::domain::measure::{Measure, Missing, Pointer};

const COUNTED: MeterId = MeterId(0);
const TOLD: MeterId = MeterId(1);
const QUICK: Duration = Duration::from_millis(10);
const STEADY: Duration = Duration::from_secs(6);

fn measured(meter: MeterId, hold: u64, most: u64) -> Measured {
    let by = if meter == TOLD {
        Measure::Json([Pointer::parse("/n").expect("a pointer")].into())
    } else {
        Measure::Messages(NonZeroU64::MIN)
    };
    Measured { meter, by, hold, times: NonZeroU64::MIN, most, missing: Missing::Zero }
}

fn counted(measured: &Measured, units: u64) -> std::iter::Once<(&Measured, Truth)> {
    std::iter::once((measured, Truth::Known(units)))
}

#[test]
fn a_slice_that_is_used_up_at_once_is_followed_by_a_larger_one() {
    let messages = measured(COUNTED, 2, 100);
    let slice = Slice::first([(COUNTED, 2)]);
    assert!(!slice.is_exceeded(counted(&messages, 2)));
    assert!(slice.is_exceeded(counted(&messages, 3)));
    for (age, size, more) in [
        (QUICK, Size::Ample, 5),
        (STEADY, Size::Ample, 3),
        (LONG, Size::Ample, 4),
        (QUICK, Size::Modest, 1),
        (QUICK, Size::Least, 1),
    ] {
        assert_eq!(slice.ask(age, size, counted(&messages, 3)).of(COUNTED), more, "{age:?} {size:?}");
    }
    let (truth, next) = slice.renew(&Cost::new([(COUNTED, 4)]), counted(&messages, 3));
    assert_eq!(truth[..], [(COUNTED, 2)]);
    assert!(!next.is_exceeded(counted(&messages, 6)) && next.is_exceeded(counted(&messages, 7)));
    assert_eq!(next.end(false, counted(&messages, 5))[..], [(COUNTED, 3)]);
}

#[test]
fn what_is_left_of_an_old_slice_moves_on() {
    let messages = measured(COUNTED, 1, 100);
    let slice = Slice::first([(COUNTED, 50)]);
    assert!(!slice.is_old(LONG, counted(&messages, 0)), "nothing has passed");
    assert!(!slice.is_old(STEADY, counted(&messages, 10)));
    assert!(slice.is_old(LONG, counted(&messages, 10)));
    let ask = slice.ask(LONG, Size::Ample, counted(&messages, 10));
    assert!(ask.is_free(), "enough is left");
    let (truth, next) = slice.renew(&ask, counted(&messages, 10));
    assert_eq!((&truth[..], next.held().next()), (&[(COUNTED, 10)][..], Some((COUNTED, 40))));
}

#[test]
fn a_limit_that_is_near_is_reached_in_few_slices() {
    let messages = measured(COUNTED, 1, 1 << 40);
    let (mut slice, mut passed, mut left, mut slices) =
        (Slice::first([(COUNTED, 1 << 20)]), 1 << 20, 99_999, 0);
    loop {
        passed += 1;
        if !slice.is_exceeded(counted(&messages, passed)) {
            continue;
        }
        let asked = Size::ALL.map(|size| slice.ask(QUICK, size, counted(&messages, passed)));
        let Some(granted) = asked.iter().find(|more| more.of(COUNTED) <= left) else { break };
        (slice, left, slices) =
            (slice.renew(granted, counted(&messages, passed)).1, left - granted.of(COUNTED), slices + 1);
    }
    assert_eq!((left, passed), (0, (1 << 20) + 99_999 + 1));
    assert!(slices < 60, "{slices}");
}

#[test]
fn nothing_is_held_beyond_the_most() {
    let messages = measured(COUNTED, 4, 10);
    let slice = Slice::first([(COUNTED, 8)]);
    assert_eq!(slice.ask(QUICK, Size::Ample, counted(&messages, 9)).of(COUNTED), 2);
    let dear = std::iter::once((&messages, Truth::Cut(10)));
    let (_, last) = slice.renew(&Cost::new([(COUNTED, 2)]), dear.clone());
    assert!(!last.is_exceeded(dear.clone()));
    assert!(last.ask(LONG, Size::Ample, dear).is_free());
}

#[test]
fn what_is_told_belongs_to_the_last_slice_and_may_be_told_anew() {
    let tokens = measured(TOLD, 5, 100);
    let slice = Slice::first([(TOLD, 5)]);
    let untold = std::iter::once((&tokens, Truth::Untold(0)));
    assert!(!slice.is_exceeded(untold.clone()) && !slice.is_old(LONG, untold));
    assert!(slice.is_exceeded(counted(&tokens, 8)));
    let more = slice.ask(QUICK, Size::Ample, counted(&tokens, 8));
    assert_eq!(more.of(TOLD), 3);
    let (truth, next) = slice.renew(&more, counted(&tokens, 8));
    assert_eq!(truth[..], [(TOLD, 0)]);
    assert_eq!(next.end(false, counted(&tokens, 6))[..], [(TOLD, 6)]);
    assert_eq!(next.end(true, counted(&tokens, 9))[..], [(TOLD, 8)]);
}

proptest! {
    #[test]
    fn all_slices_together_come_to_what_has_passed(
        hold in 0..6_u64,
        most in 1..400_u64,
        steps in prop::collection::vec((0..40_u64, 0..12_u64, prop::sample::select(Size::ALL.to_vec())), 0..40),
    ) {
        let messages = measured(COUNTED, hold.min(most), most);
        let (mut slice, mut passed, mut settled) = (Slice::first([(COUNTED, messages.hold)]), 0, 0);
        let truth = |units: u64| if units > most { Truth::Cut(most) } else { Truth::Known(units) };
        for (more, age, size) in steps {
            passed += more;
            let so_far = std::iter::once((&messages, truth(passed)));
            let age = Duration::from_secs(age);
            if !slice.is_exceeded(so_far.clone()) && !slice.is_old(age, so_far.clone()) {
                continue;
            }
            let granted = slice.ask(age, size, so_far.clone());
            let (came_to, next) = slice.renew(&granted, so_far.clone());
            settled += came_to[0].1;
            prop_assert!(!next.is_exceeded(so_far), "what was asked for is enough");
            let held: u64 = next.held().map(|(_, units)| units).sum();
            prop_assert!(settled + held <= most, "{settled} and {held} are more than {most}");
            slice = next;
        }
        let last = slice.end(false, std::iter::once((&messages, truth(passed))))[0].1;
        prop_assert_eq!(settled + last, passed.min(most));
    }
}
