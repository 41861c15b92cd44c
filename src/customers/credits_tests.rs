//! Credits of customers in memory, beside what the store knows of them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::tests::{NOW, World, now, route};
use super::*;
use crate::domain::subscription::Status;
use crate::domain::usage::Charge;
use crate::store::{Batch, CreditAct, CreditGrant, CreditKey, CreditUse};

fn act(cause: &str) -> CreditAct {
    CreditAct { cause: cause.into(), reason: "a test".into(), actor: "operator" }
}

async fn grant(world: &World, units: u64, cause: &str) -> Option<u64> {
    let granted = world.customers.grant_credits("acme", units, None, cause.into(), "a test".into(), now());
    granted.await.expect("grants")
}

fn charge(entry: &Arc<Entry>, cost: u64) -> Charge {
    let mut reservation = entry.admit(None, &route(cost), None, now()).expect("fits");
    reservation.settle(now()).expect("held").charge
}

fn credits(world: &World, entry: &Entry) -> u64 {
    world.customers.snapshot(entry, now()).credits
}

#[tokio::test]
async fn a_grant_can_be_spent_at_once_and_is_made_once() {
    let world = World::new();
    assert_eq!(grant(&world, 30, "payment:pi_1").await, Some(30), "of whom no token has come yet");
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    assert_eq!(grant(&world, 12, "payment:pi_2").await, Some(42));
    assert_eq!(grant(&world, 12, "payment:pi_2").await, None);
    assert_eq!(charge(&entry, 105).draws[0].credits, 5, "100 are included");
    assert_eq!(credits(&world, &entry), 37);
}

#[tokio::test]
async fn a_refresh_brings_grants_and_never_what_has_been_spent() {
    let world = World::new();
    let entry = world.customers.load("acme", Some("cus_1"), now()).await.expect("loads");
    grant(&world, 10, "a").await;
    charge(&entry, 110);
    assert_eq!(credits(&world, &entry), 0);
    world.subscribe(Status::Active, 1).await;
    assert_eq!(credits(&world, &entry), 0, "the store has not heard of the spends");
    let beside = CreditGrant { customer: entry.number, units: 7, expires_at: None, act: act("b") };
    world.store.grant_credits(beside, NOW).await.expect("grants").expect("new");
    world.subscribe(Status::Active, 2).await;
    assert_eq!(credits(&world, &entry), 7);
    world.subscribe(Status::Active, 3).await;
    assert_eq!(credits(&world, &entry), 7, "once");
}

#[tokio::test]
async fn what_has_left_memory_comes_back_with_what_is_left_of_each_grant() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    grant(&world, 10, "a").await;
    let charge = charge(&entry, 104);
    let number = entry.number;
    drop(entry);
    let mut batch = Batch { next_record: 1, ..Batch::default() };
    for lot in &charge.lots {
        let used = CreditUse { spent: lot.units.cast_signed(), ..CreditUse::default() };
        batch.credits.insert(CreditKey { customer: number, grant: lot.grant }, used);
    }
    world.store.fold(batch).expect("folds");
    world.customers.folded(1);
    world.customers.evict(Now::from_seconds(NOW + 7_200));
    assert!(world.customers.get("acme").is_none());
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    assert_eq!(credits(&world, &entry), 6);
}

#[tokio::test]
async fn what_is_taken_is_all_or_nothing_and_once() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    grant(&world, 10, "a").await;
    let held = entry.admit(None, &route(104), None, now()).expect("fits");
    let take = async |units, cause: &str| {
        world.customers.take_credits("acme", units, act(cause), now()).await.expect("takes")
    };
    assert_eq!(take(7, "b").await, Taken::Short(6));
    assert_eq!(take(6, "b").await, Taken::Left(4), "those in flight are still there");
    assert_eq!(take(1, "b").await, Taken::Known);
    drop(held);
    assert_eq!((credits(&world, &entry), take(5, "c").await), (4, Taken::Short(4)));
    let rows = world.store.credit_history(entry.number, None, 10).await.expect("reads");
    assert_eq!(rows.iter().map(|row| row.units).collect::<Vec<_>>(), [-6, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_threads_spend_exactly_what_is_granted_meanwhile() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    charge(&entry, 100);
    grant(&world, 50, "before").await;
    let (route, charged) = (route(1), AtomicU64::new(0));
    let ask = |turn: usize| {
        let Ok(mut reservation) = entry.admit(None, &route, None, now()) else { return };
        // Some settle, some are dropped: those give their units back.
        if !turn.is_multiple_of(3)
            && let Some(settled) = reservation.settle(now())
        {
            charged.fetch_add(settled.charge.draws[0].credits, Ordering::Relaxed);
        }
    };
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            for thread in 0..64 {
                let ask = &ask;
                scope.spawn(move || (0..20).for_each(|turn| ask(thread + turn)));
            }
            for number in 0..10 {
                runtime.block_on(grant(&world, 5, &format!("grant {number}")));
            }
        });
    });
    while credits(&world, &entry) > 0 {
        ask(1);
    }
    assert_eq!(charged.into_inner(), 100);
    assert!(entry.admit(None, &route, None, now()).is_err());
}
