//! Nodes, Redis and Stripe that have been apart for long: what each then believes of the others.

use crate::fleet::copy::Copies;
use crate::store::Erased;

use super::machine::{START, Work, transport, wait};
use super::redis::Fate;
use super::world::World;
use super::{LOST, TAKER, assert_once};

#[test]
fn who_is_the_first_to_find_redis_again_takes_nobody_over_who_may_be_about_to() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut world = World::new(2, &transport());
    world.use_units(LOST, 1, 5);
    world.work(LOST, Work::Copy, None);
    world.set_fate(LOST, Fate::Cut);
    world.pass_time(700);
    let now = world.time();
    *world.machines[TAKER].connection.back_at.lock().expect("since") = now - 29;
    world.work(TAKER, Work::TakeOver, None);
    assert_eq!(world.fences(TAKER), 0, "it has been back for 29 seconds");
    world.pass_time(1);
    world.work(TAKER, Work::TakeOver, None);
    assert_eq!(world.fences(TAKER), 1);
}

/// A row that was copied and not sent from here has been sent by another for longer than Stripe remembers.
fn sent_elsewhere_and_forgotten(stands_still_at: Option<u32>) -> World {
    let mut world = World::new(2, &transport());
    world.use_units(LOST, 1, 5);
    for work in [Work::Copy, Work::Seal, Work::Copy] {
        world.work(LOST, work, None);
    }
    if let Some(point) = stands_still_at {
        assert!(!world.work(LOST, Work::Send, Some(point)), "it stands still");
    }
    world.set_fate(LOST, Fate::Cut);
    world.pass_time(700);
    for work in [Work::TakeOver, Work::Send] {
        world.work(TAKER, work, None);
    }
    assert_eq!(world.stripe.lock().expect("stripe").units(LOST), 5);
    world.pass_time(25 * 3_600);
    world.set_fate(TAKER, Fate::Fine);
    world
}

#[test]
fn a_node_that_was_cut_off_for_a_day_sends_nothing_from_memory() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    for is_back in [false, true] {
        let mut world = sent_elsewhere_and_forgotten(None);
        world.set_fate(LOST, if is_back { Fate::Fine } else { Fate::Cut });
        world.work(LOST, Work::Send, None);
        assert_eq!(world.stripe.lock().expect("stripe").units(LOST), 5, "Redis back: {is_back}");
        world.settle(&[LOST, TAKER]);
        assert_once(&world, "a day without Redis");
    }
}

#[test]
fn a_machine_that_stood_still_for_a_day_in_the_middle_of_sending_does_not_send() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    for point in 0..4 {
        let mut world = sent_elsewhere_and_forgotten(Some(point));
        world.set_fate(LOST, Fate::Fine);
        world.go_on(LOST);
        assert_eq!(world.stripe.lock().expect("stripe").units(LOST), 5, "point {point}");
        world.settle(&[LOST, TAKER]);
        assert_once(&world, "a day of sleep");
    }
}

#[test]
fn who_is_erased_is_named_in_redis_by_no_fence() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut world = World::new(2, &transport());
    world.use_units(LOST, 1, 5);
    world.use_units(LOST, 2, 3);
    world.work(LOST, Work::Copy, None);
    world.kill(LOST);
    world.pass_time(700);
    for work in [Work::TakeOver, Work::Send, Work::TakeOver] {
        world.work(TAKER, work, None);
    }
    let store = world.machines[TAKER].store.clone();
    let erased = wait(async move {
        let events = store.events_of_customer("a".into(), START).await?;
        store.erase_customer("a".into(), events, START).await
    });
    assert!(matches!(erased, Ok(Erased::As(_))), "{erased:?}");
    world.work(TAKER, Work::TakeOver, None);
    let lost = world.machines[LOST].connection.clone();
    let fence = wait(async move { lost.own_fence().await }).expect("Redis is there").expect("a fence");
    let names = |name: &str| fence.fields.iter().filter(|(_, text)| text.contains(name)).count();
    assert_eq!((names("\"c\":\"a\""), names("\"c\":\"b\"")), (0, 1), "{fence:?}");
    world.settle(&[LOST, TAKER]);
    assert_once(&world, "one of two is erased");
}

#[test]
fn a_fence_ends_when_stripe_takes_nothing_of_it_any_more_and_all_had_an_answer() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    for is_sent in [true, false] {
        let mut world = World::new(2, &transport());
        world.use_units(LOST, 1, 5);
        world.work(LOST, Work::Copy, None);
        world.kill(LOST);
        world.pass_time(700);
        let send = if is_sent { Work::Send } else { Work::TakeOver };
        for work in [Work::TakeOver, send, Work::TakeOver] {
            world.work(TAKER, work, None);
        }
        world.pass_time(41 * 86_400);
        world.work(TAKER, Work::TakeOver, None);
        assert_eq!(world.fences(TAKER), 1);
        world.pass_time(1);
        world.work(TAKER, Work::TakeOver, None);
        assert_eq!(world.fences(TAKER), usize::from(!is_sent), "sent: {is_sent}");
        assert_eq!(world.redis.lock().expect("redis").has_open_fence(), !is_sent);
    }
}
