//! The union of facts, against what it promises.

use proptest::prelude::*;

use super::*;
use crate::domain::subscription::{Facts, ItemFacts, Status};

const NOW: u64 = 1_800_000_000_000_000;

fn item(id: &str, price: &str, metered: bool) -> ItemFacts {
    ItemFacts {
        id: id.to_owned(),
        price: price.to_owned(),
        lookup_key: None,
        metered,
        interval: "month".to_owned(),
        interval_count: 1,
        period_start: 1_799_000_000,
        period_end: 1_801_592_000,
        unit_amount: (!metered).then_some(4_900),
        quantity: (!metered).then_some(1),
    }
}

fn subscription(status: Status, since: Option<i64>) -> Facts {
    Facts {
        id: "sub_1MowQVLkdIwHu7ixeraBm864".to_owned(),
        stripe_customer: "cus_NffrFeUfNV2Hib".to_owned(),
        status,
        items: vec![
            item("si_NcLYdDxLHxlFo7", "price_1MowQULkdIwHu7ixraBm864M", false),
            item("si_NcLYdDxLHxlFo8", "price_1MowQULkdIwHu7ixraBm864N", true),
        ],
        billing_cycle_anchor: 1_799_000_000,
        cancel_at: None,
        cancel_at_period_end: false,
        past_due_since: since,
        trial_start: None,
        trial_end: None,
        currency: Some("usd".to_owned()),
        read_at: Some(1_800_000_000),
    }
}

fn entry(at: u64, body: Option<Box<[u8]>>) -> Entry {
    Entry { at, body }
}

fn of(entries: impl IntoIterator<Item = (Kind, &'static str, Entry)>) -> Entries {
    let mut facts = Entries::default();
    for (kind, key, entry) in entries {
        facts.put((kind, key.to_owned()), entry);
    }
    facts
}

#[test]
fn a_subscriber_with_two_items_takes_at_most_160_bytes() {
    let link = Link { stripe_customer: "cus_NffrFeUfNV2Hib".to_owned(), is_claimed: false };
    let facts = of([
        (Kind::LINK, "", entry(NOW, Some(link.write()))),
        (
            Kind::SUBSCRIPTION,
            "sub_1MowQVLkdIwHu7ixeraBm864",
            entry(NOW, Some(of_subscription(&subscription(Status::Active, None)))),
        ),
    ]);
    let bytes = facts.write().len();
    assert!(bytes <= 160, "{bytes}");
    assert_eq!(Entries::read(&facts.write()), Some(facts));
}

#[test]
fn a_subscription_is_read_as_it_was_written() {
    let mut odd = subscription(Status::PastDue, Some(1_799_999_000));
    odd.cancel_at = Some(1_802_000_000);
    odd.cancel_at_period_end = true;
    odd.trial_start = Some(1_798_000_000);
    odd.trial_end = Some(1_799_000_000);
    odd.stripe_customer = "a customer".to_owned();
    odd.items[0].lookup_key = Some("pro monthly é".to_owned());
    odd.items[0].interval_count = 3;
    odd.items[1].interval = "fortnight".to_owned();
    odd.items[1].period_end = 0;
    odd.items.push(item("", "gold", false));
    let mut bare = subscription(Status::Canceled, None);
    bare.items.clear();
    bare.currency = None;
    bare.billing_cycle_anchor = 0;
    for facts in [subscription(Status::Active, None), odd, bare] {
        let body = of_subscription(&facts);
        assert_eq!(read_subscription(&facts.id, NOW, &body), Some(facts.clone()));
        let longer: Vec<u8> = body.iter().copied().chain([7, 7]).collect();
        assert_eq!(read_subscription(&facts.id, NOW, &longer), Some(facts), "a later version says more");
        for short in 0..body.len() {
            read_subscription("sub_1", NOW, &body[..short]);
        }
    }
}

#[test]
fn grants_and_overrides_are_read_as_they_were_written() {
    for expires_at in [None, Some(0), Some(1_900_000_000)] {
        let grant = Grant { units: 7, expires_at, reason: "the pack é".to_owned() };
        assert_eq!(Grant::read(&grant.write()), Some(grant));
        let set = Override { tier: None, included: Some("{}".into()), until: expires_at, reason: "x".into() };
        assert_eq!(Override::read(&set.write()), Some(set));
    }
}

#[test]
fn a_claim_beats_what_stripe_says_and_of_that_the_first_holds() {
    let link = |at, id: &str, is_claimed| {
        entry(at, Some(Link { stripe_customer: id.to_owned(), is_claimed }.write()))
    };
    let holds = |entries: &[&Entry]| {
        let mut facts = Entries::default();
        for entry in entries {
            facts.put((Kind::LINK, String::new()), (*entry).clone());
        }
        facts.get(&(Kind::LINK, String::new())).and_then(|entry| Link::read(entry.body.as_deref()?))
    };
    let (first, second) = (link(1, "cus_1", false), link(2, "cus_2", false));
    let (claim, later) = (link(0, "cus_3", true), link(3, "cus_4", true));
    let id = |entries: &[&Entry]| holds(entries).map(|link| link.stripe_customer).unwrap_or_default();
    assert_eq!(id(&[&second, &first]), "cus_1");
    assert_eq!(id(&[&claim, &first]), "cus_3");
    assert_eq!(id(&[&later, &claim]), "cus_4");
}

#[test]
fn past_due_is_since_the_first_who_saw_it_until_it_has_recovered() {
    let read = |at, status, since| entry(at, Some(of_subscription(&subscription(status, since))));
    let since = |entries: &[Entry]| {
        let key = (Kind::SUBSCRIPTION, "sub_1".to_owned());
        let mut facts = Entries::default();
        for entry in entries {
            facts.put(key.clone(), entry.clone());
        }
        let holds = facts.get(&key).expect("there");
        read_subscription("sub_1", 0, holds.body.as_deref().expect("there")).expect("read").past_due_since
    };
    let (first, again) = (read(1, Status::PastDue, Some(5)), read(9, Status::PastDue, Some(8)));
    assert_eq!(since(&[again.clone(), first.clone()]), Some(5));
    assert_eq!(since(&[first.clone(), again.clone()]), Some(5));
    let well = read(3, Status::Active, None);
    assert_eq!(since(&[first, well, again]), Some(8));
}

#[test]
fn what_cannot_matter_any_more_goes_and_what_may_still_be_told_again_stays() {
    let day = |days: u64| NOW - days * DAY_MICROS;
    let seconds = |micros: u64| i64::try_from(micros / 1_000_000).expect("small");
    let grant = |at: u64, expires_at: Option<u64>| {
        let expires_at = expires_at.map(seconds);
        entry(at, Some(Grant { units: 1, expires_at, reason: String::new() }.write()))
    };
    let mut facts = of([
        (Kind::GRANT, "over", grant(day(90), Some(day(60)))),
        (Kind::GRANT, "just over", grant(day(90), Some(day(20)))),
        (Kind::GRANT, "for ever", grant(day(900), None)),
        (Kind::SUBSCRIPTION, "canceled", entry(day(60), Some(Box::new([7])))),
        (Kind::SUBSCRIPTION, "live", entry(day(60), Some(Box::new([1])))),
        (Kind::BLOCK, "", entry(day(900), None)),
        (Kind(99), "unknown", entry(day(900), Some(Box::default()))),
    ]);
    facts.prune(NOW);
    let left: Vec<_> = facts.iter().map(|((_, key), _)| key.as_str()).collect();
    assert_eq!(left, ["live", "", "for ever", "just over", "unknown"]);
    assert_eq!(facts.ends_at(), None);
    assert_eq!(of([(Kind::GRANT, "a", grant(1, Some(2_000_000)))]).ends_at(), Some(2));
}

fn bodies() -> impl Strategy<Value = Option<Box<[u8]>>> {
    let past_due = (0_i64..3, 0_u8..3).prop_map(|(since, rest)| {
        let mut body = of_subscription(&subscription(Status::PastDue, Some(since))).into_vec();
        body.push(rest);
        Some(body.into())
    });
    let any = proptest::collection::vec(0_u8..3, 0..3).prop_map(|body| Some(body.into()));
    prop_oneof![past_due, any, Just(None)]
}

fn facts() -> impl Strategy<Value = Entries> {
    let one = (1_u8..8, "[ab]?", 0_u64..4, bodies());
    proptest::collection::vec(one, 0..8).prop_map(|all| {
        let mut facts = Entries::default();
        for (kind, key, at, body) in all {
            facts.put((Kind(kind), key), Entry { at, body });
        }
        facts
    })
}

fn union(one: &Entries, other: &Entries) -> Entries {
    let mut union = one.clone();
    union.merge(other);
    union
}

proptest! {
    #[test]
    fn a_union_commutes_and_takes_in_each_part_once(one in facts(), other in facts()) {
        let both = union(&one, &other);
        prop_assert_eq!(&both, &union(&other, &one));
        prop_assert_eq!(&both, &union(&both, &one));
        prop_assert_eq!(&both, &union(&other, &both));
    }

    #[test]
    fn bytes_are_read_as_they_were_written(facts in facts()) {
        prop_assert_eq!(Entries::read(&facts.write()), Some(facts));
    }

    #[test]
    fn whatever_is_read_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entries::read(&bytes);
        let _ = (Grant::read(&bytes), Override::read(&bytes), Link::read(&bytes));
        let _ = read_subscription("sub_1", 1, &bytes);
    }
}
