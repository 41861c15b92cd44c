//! Customers over a real store, raced by real threads.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use rust_decimal::Decimal;

use super::*;
use crate::domain::catalogue::Report;
use crate::domain::idempotency::Digest;
use crate::domain::money::Currency;
use crate::domain::rate::Rate;
use crate::domain::route::{Methods, Route, RouteId, RouteTable, StatusSet, UpstreamId};
use crate::domain::subscription::{Facts, ItemFacts, Status};
use crate::domain::tier::{Allowance, FeatureSet, Mode, Overage, Price, Tier, TierId};
use crate::domain::units::{Cost, Meter, MeterId};
use crate::store::{Batch, KeyChange, KeyNews, Upsert};

pub(super) const NOW: i64 = 1_795_174_000;

pub(super) fn now() -> Now {
    Now::from_seconds(NOW)
}

fn tier(index: u16, name: &str, included: u64, overage: Overage) -> Arc<Tier> {
    let nz = |n| NonZeroU32::new(n).expect("not zero");
    Arc::new(Tier {
        id: TierId(index),
        name: name.into(),
        price: Price::default(),
        stripe_prices: vec![format!("price_{name}")],
        included: vec![Allowance::Units(included)],
        overage,
        rate: Some(Rate::new(nz(1_000_000), nz(1), nz(1_000_000))),
        features: FeatureSet::default(),
        limits: Vec::new(),
        trial_days: None,
        credits_per_cycle: 0,
        credits_expire: None,
        degraded_allowance: 100,
        mode: Mode::Enforce,
        member: None,
    })
}

pub(super) fn catalogue() -> Catalogue {
    let overage = Overage::Priced { unit_amounts: vec![Decimal::new(2, 2)], cap: None };
    Catalogue {
        currency: Currency::parse("usd").expect("a currency"),
        meters: vec![Meter { name: "api_calls".into(), stripe_event_name: "api_calls".into() }].into(),
        tiers: vec![tier(0, "free", 100, Overage::Deny), tier(1, "pro", 10_000, overage)].into(),
        default_tier: Some(TierId(0)),
        anonymous_tier: None,
        features: Vec::new(),
        scopes: vec![],
        routes: RouteTable::default(),
        report: Report::All,
        past_due_grace: 100,
        credit_packs: Vec::new(),
        silence_grace: i64::MAX,
    }
}

pub(super) struct World {
    pub(super) customers: Customers,
    pub(super) store: Arc<Store>,
    unknown: mpsc::UnboundedReceiver<String>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_keys(Limits { keys: 100, repeats: 2 })
    }

    fn with_keys(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path()).expect("opens"));
        let (ask, unknown) = mpsc::unbounded_channel();
        let customers = Customers::new(Arc::new(catalogue()), store.clone(), vec![1], limits, ask);
        Self { customers, store, unknown, _folder: folder }
    }

    pub(super) async fn subscribe(&self, status: Status, version: u64) {
        let item = ItemFacts {
            id: String::new(),
            price: "price_pro".into(),
            lookup_key: None,
            metered: false,
            interval: "month".into(),
            interval_count: 1,
            period_start: NOW - 1_000,
            period_end: NOW + 2_000_000,
            unit_amount: None,
            quantity: None,
        };
        let facts = Facts {
            id: "sub_1".into(),
            stripe_customer: "cus_1".into(),
            status,
            items: vec![item],
            billing_cycle_anchor: NOW - 1_000,
            cancel_at: None,
            cancel_at_period_end: false,
            past_due_since: None,
            trial_start: None,
            trial_end: None,
            currency: None,
            read_at: None,
        };
        self.store
            .upsert_subscription(
                Upsert {
                    facts,
                    version,
                    reread_at: None,
                    window: None,
                    rank: 0,
                    tier: None,
                    amount: None,
                    paid_until: None,
                },
                NOW,
            )
            .await
            .expect("stores");
        self.customers.refresh("cus_1", now()).await.expect("refreshes");
    }
}

pub(super) fn route(cost: u64) -> Route {
    Route {
        id: RouteId(0),
        pattern: "/r".into(),
        methods: Methods::All,
        upstream: UpstreamId(0),
        cost: Cost::new([(MeterId(0), cost)]),
        measures: [].into(),
        requires: FeatureSet::default(),
        charge_on: StatusSet::default(),
        rate: None,
        public: false,
        extras: None,
    }
}

fn leave(world: &World, folded: u64, now: Now) {
    world.customers.folded(folded);
    world.customers.evict(now);
}

#[tokio::test]
async fn sixty_four_threads_never_pass_a_hard_limit() {
    for cost in [1, 2, 3, 7] {
        let world = World::new();
        let entry = world.customers.load("acme", None, now()).await.expect("loads");
        let (route, charged) = (route(cost), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..64 {
                let (entry, route, charged) = (&entry, &route, &charged);
                scope.spawn(move || {
                    for turn in 0..20 {
                        let Ok(mut reservation) = entry.admit(None, route, None, now()) else { continue };
                        // Some settle, some are dropped: those give their units back.
                        if (thread + turn) % 3 != 0 && reservation.settle(now()).is_some() {
                            charged.fetch_add(cost, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // What was given back can still be used: up to the last unit that fits.
        while let Ok(mut reservation) = entry.admit(None, &route, None, now()) {
            reservation.settle(now()).expect("held");
            charged.fetch_add(cost, Ordering::Relaxed);
        }
        assert_eq!(charged.into_inner(), 100 / cost * cost, "cost {cost}");
    }
}

#[tokio::test]
async fn a_reservation_counts_once_however_it_ends() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    let mut reservation = entry.admit(None, &route(60), None, now()).expect("fits");
    let settled = reservation.settle(now()).expect("held");
    assert!(reservation.settle(now()).is_none());
    reservation.release();
    drop(reservation);
    assert_eq!(world.customers.snapshot(&entry, now()).usage[0].current, 60);
    let reservation = entry.admit(None, &route(40), None, now()).expect("the rest");
    reservation.undo(&settled, now());
    assert_eq!(world.customers.snapshot(&entry, now()).usage[0].current, 0);
}

#[tokio::test]
async fn a_settled_reservation_shows_the_limits_that_are_asked_for_next() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    let (route, currency) = (route(60), world.customers.book().catalogue.currency);
    let mut reservation = entry.admit(None, &route, None, now()).expect("fits");
    let (settled, shown) = reservation.settle_showing(&route, currency, now()).expect("held");
    assert_eq!((settled.charge.draws[0].included, shown[0].remaining), (60, 40));
    assert_eq!(shown, entry.policies(&route, None, currency, now()));
    assert!(reservation.settle_showing(&route, currency, now()).is_none(), "it counts once");
}

#[tokio::test]
async fn news_of_a_subscription_reaches_a_loaded_customer() {
    let mut world = World::new();
    let entry = world.customers.load("acme", Some("cus_1"), now()).await.expect("loads");
    assert_eq!(world.unknown.recv().await.as_deref(), Some("cus_1"), "nothing was known of them");
    let tier = |world: &World| world.customers.snapshot(&entry, now()).tier.expect("a tier").name.clone();
    assert_eq!(&*tier(&world), "free");
    world.subscribe(Status::Active, 1).await;
    assert_eq!(&*tier(&world), "pro");
    world.subscribe(Status::Canceled, 2).await;
    assert_eq!(&*tier(&world), "free");
}

#[tokio::test]
async fn keys_are_remembered_under_new_terms_as_under_the_old_ones() {
    let world = World::new();
    let entry = world.customers.load("acme", Some("cus_1"), now()).await.expect("loads");
    let ask = || {
        let key = Some(Digest([1; 16]));
        let mut reservation = entry.admit(None, &route(1), key, now()).expect("fits");
        reservation.settle(now()).expect("held").charge.is_repeat()
    };
    assert!(!ask());
    world.subscribe(Status::Active, 1).await;
    assert!(ask() && ask());
    assert!(!ask(), "only two repeats are free");
    let other = world.customers.load("other", Some("cus_1"), now()).await.expect("loads");
    let repeats = |entry: &Arc<Entry>| {
        let mut reservation = entry.admit(None, &route(1), Some(Digest([2; 16])), now()).expect("fits");
        reservation.settle(now()).expect("held").charge.is_repeat()
    };
    assert!(!repeats(&other) && repeats(&other), "loaded with a subscription");
}

#[tokio::test]
async fn a_customer_is_told_of_the_subscription_as_long_as_it_is_the_best() {
    let world = World::new();
    let entry = world.customers.load("acme", Some("cus_1"), now()).await.expect("loads");
    let told = || {
        let shown = world.customers.snapshot(&entry, now()).subscription;
        shown.map(|outline| (outline.status, outline.expires_at()))
    };
    assert_eq!(told(), None);
    world.subscribe(Status::Active, 1).await;
    assert_eq!(told(), Some((Status::Active, Some(NOW + 2_000_000))));
    world.subscribe(Status::Canceled, 2).await;
    assert_eq!(told(), Some((Status::Canceled, None)));
}

#[tokio::test]
async fn long_names_and_ids_are_told_apart_to_their_last_byte() {
    let world = World::new();
    let long = |last: char| format!("{}{last}", "a".repeat(255));
    let (name, id) = (long('1'), format!("cus_{}", long('1')));
    let entry = world.customers.load(&name, Some(&id), now()).await.expect("loads");
    assert_eq!(&*entry.name, name);
    assert!(world.customers.get(&name).is_some() && world.customers.get(&long('2')).is_none());
    assert!(entry.admit(Some(&id), &route(1), None, now()).is_ok());
    let other = format!("cus_{}", long('2'));
    assert!(matches!(entry.admit(Some(&other), &route(1), None, now()), Err(Denied::Stale)));
}

#[tokio::test]
async fn news_before_the_first_token_waits_for_it() {
    let world = World::new();
    world.subscribe(Status::Active, 1).await;
    let entry = world.customers.load("acme", Some("cus_1"), now()).await.expect("loads");
    assert_eq!(&*world.customers.snapshot(&entry, now()).tier.expect("a tier").name, "pro");
}

#[tokio::test]
async fn a_token_with_another_stripe_customer_makes_the_entry_stale() {
    let world = World::new();
    let entry = world.customers.load("acme", Some("cus_1"), now()).await.expect("loads");
    assert!(
        entry.admit(None, &route(1), None, now()).is_ok(),
        "a token without the claim goes with any link"
    );
    assert!(matches!(entry.admit(Some("cus_2"), &route(1), None, now()), Err(Denied::Stale)));
    let entry = world.customers.load("acme", Some("cus_2"), now()).await.expect("loads");
    assert!(entry.admit(Some("cus_2"), &route(1), None, now()).is_ok());
}

#[tokio::test]
async fn an_entry_leaves_only_when_nobody_holds_it_at_rest_and_folded() {
    let world = World::new();
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    let much_later = Now::from_seconds(NOW + 7_200);
    let mut reservation = entry.admit(None, &route(5), None, now()).expect("fits");
    leave(&world, 41, much_later);
    assert!(world.customers.get("acme").is_some(), "units are in flight");
    reservation.settle(now()).expect("held");
    leave(&world, 41, much_later);
    assert!(world.customers.get("acme").is_some(), "a charged response may still be undone");
    entry.recorded(41);
    drop((reservation, entry));
    leave(&world, 41, much_later);
    assert!(world.customers.get("acme").is_some(), "record 41 is not folded");
    leave(&world, 42, now());
    let entry = world.customers.get("acme").expect("somebody has just asked");
    leave(&world, 42, much_later);
    assert!(world.customers.get("acme").is_some(), "somebody holds it");
    drop(entry);
    leave(&world, 42, much_later);
    assert!(world.customers.get("acme").is_none());
}

#[tokio::test]
async fn sixty_four_twins_are_charged_once_and_never_hold_more_than_one_of_them_needs() {
    for uncharged in [0, 63, 64] {
        let world = World::with_keys(Limits { keys: 100, repeats: 100 });
        let entry = world.customers.load("acme", None, now()).await.expect("loads");
        let (route, counted) = (route(100), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..64 {
                let (entry, route, counted) = (&entry, &route, &counted);
                scope.spawn(move || {
                    // All of the quota: two reservations would not fit.
                    let key = Some(Digest([1; 16]));
                    let mut twin = entry.admit(None, route, key, now()).expect("shares or takes the units");
                    // Some end uncharged, in one case all.
                    if thread >= uncharged {
                        let settled = twin.settle(now()).expect("held");
                        counted.fetch_add(u64::from(!settled.charge.is_repeat()), Ordering::Relaxed);
                    }
                });
            }
        });
        let charged = u64::from(uncharged < 64);
        assert_eq!(counted.into_inner(), charged);
        assert_eq!(world.customers.snapshot(&entry, now()).usage[0].current, 100 * charged);
        let other = entry.admit(None, &route, Some(Digest([2; 16])), now());
        assert_eq!(other.is_ok(), charged == 0, "the units of uncharged twins came back");
    }
}

#[tokio::test]
async fn a_customer_who_has_left_memory_comes_back_with_their_keys() {
    let world = World::new();
    let key = KeyNews { customer: 1, key: [1; 16], what: KeyChange::Charged { at: NOW, record: 1 } };
    let again = KeyNews { what: KeyChange::Repeated, ..key };
    let old = KeyNews { key: [2; 16], what: KeyChange::Charged { at: NOW - 86_400, record: 0 }, ..key };
    world.store.fold(Batch { keys: vec![old, key, again], ..Batch::default() }).expect("folds");
    let entry = world.customers.load("acme", None, now()).await.expect("loads");
    assert_eq!(entry.number, 1);
    let ask = |key: u8| {
        let mut reservation = entry.admit(None, &route(1), Some(Digest([key; 16])), now()).expect("fits");
        reservation.settle(now()).expect("held").charge.is_repeat()
    };
    assert!(ask(1), "the second of two repeats");
    assert!(!ask(1), "the third is charged");
    assert!(!ask(2), "this one was charged 24 hours ago");
}

#[tokio::test]
async fn who_is_in_memory_is_found_while_others_of_the_same_stripe_are_loaded() {
    let world = World::new();
    let entry = world.customers.load("acme", Some("cus_1"), now()).await.expect("loads");
    let _loading = world.customers.stripe("acme").lock().await;
    for claimed in [None, Some("cus_1")] {
        let found = world.customers.load("acme", claimed, now()).now_or_never().expect("it does not wait");
        assert!(Arc::ptr_eq(&found.expect("loads"), &entry));
    }
    let other_link = world.customers.load("acme", Some("cus_2"), now()).now_or_never();
    assert!(other_link.is_none(), "another link is the store's to say");
}
