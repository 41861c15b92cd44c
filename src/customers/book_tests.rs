//! Another catalogue while customers are loaded, refreshed and served.

use std::sync::atomic::{AtomicBool, Ordering};

use super::tests::{World, catalogue, now};
use super::*;
use crate::domain::route::{Methods, Route, RouteId, StatusSet, UpstreamId};
use crate::domain::subscription::Status;
use crate::domain::tier::{Allowance, FeatureSet, Tier, TierId};
use crate::domain::units::{Cost, Meter, MeterId};

/// One that follows the one in force: the first tier has so many units of each of so many meters.
fn next(before: &Catalogue, included: u64, meters: usize) -> Arc<Catalogue> {
    let name = |at: usize| if at == 0 { "api_calls".to_owned() } else { format!("meter_{at}") };
    let meter = |at| Meter { name: name(at).into(), stripe_event_name: name(at).into() };
    let mut written = catalogue();
    written.meters = (0..meters).map(meter).collect::<Vec<_>>().into();
    let tier = |tier: &Arc<Tier>| {
        let units = if &*tier.name == "free" { included } else { 10_000 };
        Arc::new(Tier { included: vec![Allowance::Units(units); meters], ..Tier::clone(tier) })
    };
    written.tiers = written.tiers.iter().map(tier).collect::<Vec<_>>().into();
    Arc::new(written.succeeding(before).expect("few names"))
}

fn numbers(catalogue: &Catalogue) -> Vec<u32> {
    (1..).take(catalogue.meters.by_number().len()).collect()
}

fn costs(meter: u16, units: u64) -> Route {
    Route {
        id: RouteId(0),
        pattern: "/r".into(),
        methods: Methods::All,
        upstream: UpstreamId(0),
        cost: Cost::new([(MeterId(meter), units)]),
        measures: [].into(),
        requires: FeatureSet::default(),
        charge_on: StatusSet::default(),
        rate: None,
        public: false,
        extras: None,
    }
}

impl World {
    fn put_in_force(&self, included: u64, meters: usize) {
        let catalogue = next(&self.customers.book().catalogue, included, meters);
        let numbers = numbers(&catalogue);
        self.customers.succeed(catalogue, numbers, now());
    }
}

#[tokio::test]
async fn whoever_is_there_has_the_new_terms_and_what_was_used() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    let mut charged = entry.admit(None, &costs(0, 60), None, now()).expect("fits");
    charged.settle(now()).expect("held");
    let in_flight = entry.admit(None, &costs(0, 30), None, now()).expect("fits");
    world.put_in_force(91, 1);
    assert!(entry.admit(None, &costs(0, 2), None, now()).is_err(), "60 are used and 30 in flight");
    drop(in_flight);
    drop(entry.admit(None, &costs(0, 31), None, now()).expect("what was in flight has been given back"));
    assert!(Arc::ptr_eq(entry.account().terms(), &world.customers.book().fallback), "all share one");
}

#[tokio::test]
async fn a_meter_that_comes_has_room_at_once() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    world.put_in_force(100, 3);
    let mut charged = entry.admit(None, &costs(2, 40), None, now()).expect("fits");
    charged.settle(now()).expect("held");
    assert!(entry.admit(None, &costs(2, 61), None, now()).is_err());
    let usage = world.customers.snapshot(&entry, now()).usage;
    assert_eq!(usage.iter().map(|usage| usage.current).collect::<Vec<_>>(), [0, 0, 40]);
}

#[tokio::test]
async fn who_was_being_read_comes_in_under_the_new_terms() {
    let world = World::new();
    world.subscribe(Status::Active, 1).await;
    for (name, claimed) in [("acme", None), ("paying", Some("cus_1"))] {
        let old = world.customers.book();
        let loaded = world.customers.read(name, claimed, true, now()).await.expect("is read");
        let entry = Arc::new(world.customers.entry(loaded, now()));
        world.put_in_force(7, 2);
        world.customers.take_in(entry.clone(), &old, now());
        let terms = entry.account().terms().clone();
        let book = world.customers.book();
        let tier = terms.entitlement.tier.as_ref().expect("a tier");
        assert!(Arc::ptr_eq(tier, book.catalogue.tier(tier.id)), "{name}");
        drop(entry.admit(claimed, &costs(1, 7), None, now()).expect("there is room for the new meter"));
    }
}

#[tokio::test]
async fn who_was_being_refreshed_keeps_the_new_terms() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    let loaded = world.customers.read("acme", None, false, now()).await.expect("is read");
    world.put_in_force(7, 2);
    world.customers.renew(&entry, loaded, now());
    assert!(Arc::ptr_eq(entry.account().terms(), &world.customers.book().fallback));
    drop(entry.admit(None, &costs(1, 7), None, now()).expect("the room for the new meter is still there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_behind_while_catalogues_follow_each_other() {
    let world = Arc::new(World::new());
    let stop = Arc::new(AtomicBool::new(false));
    let loaders: Vec<_> = (0..3)
        .map(|loader| {
            let (world, stop) = (world.clone(), stop.clone());
            tokio::spawn(async move {
                let mut loaded = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return loaded;
                    }
                    let meters = world.customers.book().meter_numbers.len();
                    let name = format!("user-{loader}-{number}");
                    let entry = world.customers.load(&name, None, now()).await.expect("loads");
                    let newest = u16::try_from(meters - 1).expect("few");
                    // As under the parts that were made for the catalogue that was in force.
                    drop(entry.admit(None, &costs(newest, 1), None, now()).expect("fits"));
                    loaded.push(entry);
                }
                loaded
            })
        })
        .collect();
    for turn in 1..=40 {
        world.put_in_force(100 + turn as u64, turn);
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    for loader in loaders {
        for entry in loader.await.expect("no panic") {
            let fallback = &world.customers.book().fallback;
            assert!(Arc::ptr_eq(entry.account().terms(), fallback), "{} was left behind", entry.name);
        }
    }
}

#[tokio::test]
async fn who_is_anonymous_goes_over_to_the_new_terms_of_the_anonymous_tier_alone() {
    let world = World::new();
    let anonymous = |tier: &str, included| {
        let next = next(&world.customers.book().catalogue, included, 1);
        let tier = next.tiers.iter().find(|known| &*known.name == tier).map(|tier| tier.id);
        Arc::new(Catalogue { anonymous_tier: tier, ..Catalogue::clone(&next) })
    };
    world.customers.succeed(anonymous("pro", 60), vec![1], now());
    let entry = world.customers.load("ip 192.0.2.1", None, now()).await.expect("loads");
    let other = world.customers.load("acme", None, now()).await.expect("loads");
    let tiers = || [&entry, &other].map(|entry| entry.own_tier().map(TierId::index));
    assert_eq!(tiers(), [Some(1), Some(0)]);
    let units =
        |units| entry.admit(None, &costs(0, units), None, now()).map(|mut held| held.release()).is_ok();
    assert!(units(10_000));
    world.customers.succeed(anonymous("free", 60), vec![1], now());
    assert_eq!(tiers(), [Some(0), Some(0)]);
    assert!(units(60) && !units(61), "they have what that tier has now");
}
