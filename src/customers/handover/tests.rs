//! Two processes over one store, as far as customers go.

use super::super::tests::{World, catalogue, now, route};
use super::*;
use crate::customers::Denied;
use crate::domain::catalogue::Catalogue;
use crate::domain::idempotency::{Digest, Limits};
use crate::domain::refusal::Refusal;
use crate::domain::units::{Cost, Meter, MeterId};

/// The next process: its configuration has another meter before the only one of this one.
fn next(world: &World) -> Arc<Customers> {
    let other = Meter { name: "bytes".into(), stripe_event_name: "bytes".into() };
    let before = catalogue();
    let meters = std::iter::once(other).chain(before.meters.iter().cloned()).collect::<Vec<_>>();
    let tiers = before.tiers.iter().map(|tier| {
        let mut tier = crate::domain::tier::Tier::clone(tier);
        tier.included.insert(0, crate::domain::tier::Allowance::Units(0));
        Arc::new(tier)
    });
    let catalogue = Catalogue { meters: meters.into(), tiers: tiers.collect::<Vec<_>>().into(), ..before };
    let (ask, _) = tokio::sync::mpsc::unbounded_channel();
    let limits = Limits { keys: 100, repeats: 2 };
    Arc::new(Customers::new(Arc::new(catalogue), world.store.clone(), vec![2, 1], limits, ask))
}

/// As it arrives there.
fn sent(estate: &Estate) -> Estate {
    serde_json::from_str(&serde_json::to_string(estate).expect("JSON")).expect("the same")
}

fn units(units: u64) -> Cost {
    Cost::new([(MeterId(1), units)])
}

const KEY: Digest = Digest([7; 16]);

#[tokio::test]
async fn what_is_in_flight_is_held_there_until_it_is_settled_or_its_process_ends() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    let admit = |cost: u64, key| entry.admit(None, &route(cost), key, now()).expect("within the limits");
    let held = [admit(10, None), admit(20, None), admit(30, Some(KEY)), admit(30, Some(KEY))];
    let heir = next(&world);
    let guests = heir.inherit(sent(&world.customers.estate(now())));
    let there = guests.customer("acme", now()).await.expect("loads");
    let more = |cost: u64| there.extend(&units(cost), None, now()).map(drop);
    assert_eq!(more(40), Ok(()), "60 of 100 are held");
    assert_eq!(more(41), Err(Denied::Refused(Refusal::QuotaExceeded { meter: MeterId(1) })));

    let mut settled = guests.take(&there, &units(10), None.into()).expect("it is held");
    assert_eq!(settled.settle(now()).expect("it is held").charge.draws[0].included, 10);
    let mut keyed = guests.take(&there, &units(30), Some(KEY).into()).expect("it is held");
    assert_eq!(keyed.settle(now()).expect("it is held").charge.draws[0].included, 30);
    assert!(guests.take(&there, &units(21), None.into()).is_none(), "so much is not held");
    assert_eq!(more(41), Err(Denied::Refused(Refusal::QuotaExceeded { meter: MeterId(1) })));

    let mut twin = guests.take(&there, &units(30), Some(KEY).into()).expect("it is held");
    assert!(twin.settle(now()).expect("it is held").charge.is_repeat(), "its twin has been charged");
    assert!(guests.take(&there, &units(30), Some(KEY).into()).is_none(), "there were two");
    drop(guests);
    assert_eq!(more(60), Ok(()), "40 are used, and nothing is held");
    drop((held, settled, keyed, twin));
    assert_eq!(more(60), Ok(()), "nothing was given back twice");
}

#[tokio::test]
async fn what_comes_later_is_held_as_well() {
    let world = World::new();
    let heir = next(&world);
    let guests = heir.inherit(sent(&world.customers.estate(now())));
    let entry = guests.customer("late", now()).await.expect("loads");
    guests.hold(entry.extend(&units(90), None, now()).expect("within the limits"));
    assert!(entry.extend(&units(11), None, now()).is_err(), "90 are held");
    drop(guests.take(&entry, &units(90), None.into()).expect("it is held"));
    guests.hold(entry.extend(&units(100), None, now()).expect("it was given back"));
    drop(guests);
    assert!(entry.extend(&units(100), None, now()).is_ok());
    assert!(entry.account().is_at_rest(now()));
}

#[tokio::test]
async fn what_ends_before_its_customer_is_loaded_is_not_held_then() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    let _held = entry.admit(None, &route(100), Some(KEY), now()).expect("within the limits");
    let heir = next(&world);
    let guests = heir.inherit(sent(&world.customers.estate(now())));
    assert!(heir.get("acme").is_none(), "nobody is loaded for it");
    drop(guests);
    let there = heir.load("acme", None, now()).await.expect("loads");
    assert!(there.extend(&units(100), None, now()).is_ok());
    assert!(!there.account().is_at_rest(now()), "the rate stays spent");
}

#[tokio::test]
async fn a_meter_that_the_next_configuration_lacks_is_named() {
    let world = World::new();
    let names = Names::of(&next(&world).book().catalogue);
    assert_eq!(names.meter_missing_in(&catalogue()), Some("bytes"));
    assert_eq!(Names::of(&catalogue()).meter_missing_in(&next(&world).book().catalogue), None);
}
