//! Many customers in memory: who stays, who leaves, and what others see of it.

use std::sync::atomic::AtomicBool;

use super::tests::{World, now, route};
use super::*;
use crate::domain::account::{Account, Window};

/// Eight to a table.
const FEW: usize = 8 * 4_096;

impl World {
    /// As if loaded from an empty store.
    fn come(&self, name: &str, now: Now) -> Arc<Entry> {
        let customers = &self.customers;
        let window = Window::new(
            customers.book().fallback.entitlement.windows.at(now.seconds()),
            smallvec::smallvec![0],
        );
        let account = Account::new(customers.book().fallback.clone(), window);
        let entry = Arc::new(Entry::new(name.into(), 7, account, now));
        customers.take_in(entry.clone(), &customers.book(), now);
        entry
    }

    fn is_there(&self, name: &str) -> bool {
        self.customers.get(name).is_some()
    }
}

fn later(seconds: u64) -> Now {
    Now(now().nanos() + seconds * 1_000_000_000)
}

#[tokio::test]
async fn whoever_comes_where_there_is_no_room_makes_those_go_who_rest_and_nobody_else() {
    let mut world = World::new();
    world.customers.roomy = FEW;
    let held = world.come("held", now());
    let in_flight = world.come("in-flight", now()).admit(None, &route(1), None, now()).expect("fits");
    world.come("not-folded", now()).recorded(41);
    world.customers.folded(41);
    for number in 0..4 * FEW {
        world.come(&format!("passer-by-{number}"), later(1));
        assert!(world.customers.entries.len() <= FEW + FEW / 4 + 1, "after {number}");
    }
    assert!(world.is_there("held") && world.is_there("in-flight") && world.is_there("not-folded"));
    drop((held, in_flight));
    world.customers.folded(42);
    for number in 0..8 * FEW {
        world.come(&format!("another-{number}"), later(2));
    }
    assert!(!world.is_there("held") && !world.is_there("in-flight") && !world.is_there("not-folded"));
}

#[tokio::test]
async fn an_entry_stays_until_its_rate_is_earned_back_however_many_there_are() {
    let mut world = World::new();
    world.customers.roomy = 0;
    drop(world.come("acme", now()).admit(None, &route(1), None, now()).expect("fits"));
    world.customers.evict(now());
    assert!(world.is_there("acme"), "its burst would be given again");
    world.customers.evict(later(1));
    assert!(!world.is_there("acme"));
}

#[tokio::test]
async fn where_there_is_room_an_entry_stays_for_ten_minutes() {
    let mut world = World::new();
    world.customers.roomy = FEW;
    for number in 0..FEW / 2 {
        world.come(&number.to_string(), now());
    }
    world.customers.evict(later(599));
    assert_eq!(world.customers.entries.len(), FEW / 2);
    world.customers.evict(later(600));
    assert_eq!(world.customers.entries.len(), 0);
}

#[tokio::test]
async fn the_more_there_are_the_sooner_they_leave() {
    let mut world = World::new();
    world.customers.roomy = 400;
    let rests = |world: &World| world.customers.rest_seconds();
    assert_eq!(rests(&world), 600);
    let mut stays = Vec::new();
    for (there, seconds) in [(400, 600), (450, 300), (500, 0), (600, 0)] {
        stays.extend((stays.len()..there).map(|number| world.come(&number.to_string(), now())));
        assert_eq!(rests(&world), seconds, "of {there}");
    }
}

#[tokio::test]
async fn a_customer_is_never_in_memory_twice_while_others_come_and_go() {
    const NAMES: usize = 64;
    let world = World::new();
    let names: Vec<String> = (0..NAMES).map(|number| number.to_string()).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (world, names, done) = (&world, &names, &done);
        // Each thread brings in customers of its own, as the lock of a load sees to it.
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    for turn in 0..2_000 {
                        let name = &names[(turn * 7) % (NAMES / 4) * 4 + thread];
                        let entry = world.customers.get(name).unwrap_or_else(|| world.come(name, now()));
                        std::thread::yield_now();
                        let again = world.customers.get(name).expect("whoever is held stays");
                        assert!(Arc::ptr_eq(&entry, &again));
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                world.customers.evict(later(3_600));
            }
        });
        let results: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    world.customers.evict(later(3_600));
    assert_eq!(world.customers.entries.len(), 0, "none was counted twice or forgotten");
}
