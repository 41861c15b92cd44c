//! Statuses, choices between subscriptions, and windows.

use super::*;
use crate::domain::catalogue::Report;
use crate::domain::money::Currency;
use crate::domain::route::RouteTable;
use crate::domain::tier::{Allowance, FeatureSet, Mode, Overage, Price};
use crate::domain::units::Meter;

const DAY: i64 = 86_400;
/// 2026-01-31T00:00:00Z
const ANCHOR: i64 = 1_769_817_600;

fn catalogue() -> Catalogue {
    let tier = |id: u16, name: &str, prices: &[&str]| {
        Arc::new(Tier {
            id: TierId(id),
            name: name.into(),
            price: Price::default(),
            stripe_prices: prices.iter().map(|price| (*price).to_owned()).collect(),
            included: vec![Allowance::Units(1)],
            overage: Overage::Deny,
            rate: None,
            features: FeatureSet::default(),
            limits: Vec::new(),
            trial_days: None,
            credits_per_cycle: 0,
            credits_expire: None,
            degraded_allowance: 100,
            mode: Mode::Enforce,
            member: None,
        })
    };
    Catalogue {
        currency: Currency::parse("usd").expect("a currency"),
        meters: vec![Meter { name: "api_calls".into(), stripe_event_name: "api_calls".into() }].into(),
        tiers: vec![tier(0, "free", &[]), tier(1, "starter", &["price_s"]), tier(2, "pro", &["price_p"])]
            .into(),
        default_tier: Some(TierId(0)),
        anonymous_tier: None,
        features: Vec::new(),
        scopes: vec![],
        routes: RouteTable::default(),
        report: Report::All,
        past_due_grace: 7 * DAY,
        credit_packs: Vec::new(),
        silence_grace: i64::MAX,
    }
}

fn item(price: &str, metered: bool, interval: &str, days: i64) -> ItemFacts {
    ItemFacts {
        id: String::new(),
        price: price.into(),
        lookup_key: None,
        metered,
        interval: interval.into(),
        interval_count: 1,
        period_start: ANCHOR,
        period_end: ANCHOR + days * DAY,
        unit_amount: None,
        quantity: None,
    }
}

fn facts(status: Status, items: Vec<ItemFacts>) -> Facts {
    Facts {
        id: "sub".into(),
        stripe_customer: "cus".into(),
        status,
        items,
        billing_cycle_anchor: ANCHOR,
        cancel_at: None,
        cancel_at_period_end: false,
        past_due_since: (status == Status::PastDue).then_some(ANCHOR),
        trial_start: None,
        trial_end: None,
        currency: None,
        read_at: None,
    }
}

fn read(status: Status, items: Vec<ItemFacts>) -> Subscription {
    Subscription::read(&facts(status, items), &catalogue())
}

fn of(status: Status, price: &str) -> Subscription {
    read(status, vec![item(price, false, "month", 28)])
}

#[test]
fn each_status_admits_what_stripe_means_by_it() {
    let catalogue = catalogue();
    let standing = |status| {
        let entitlement = Entitlement::of(Some(&of(status, "price_p")), &catalogue);
        (entitlement.standing, entitlement.tier.expect("a tier").name.to_string())
    };
    for (status, expected, tier) in [
        (Status::Trialing, Standing::Admitted, "pro"),
        (Status::Active, Standing::Admitted, "pro"),
        (Status::PastDue, Standing::Grace { until: ANCHOR + 7 * DAY }, "pro"),
        (Status::Unpaid, Standing::PaymentRequired, "pro"),
        (Status::Paused, Standing::Paused, "pro"),
        (Status::Incomplete, Standing::Admitted, "free"),
        (Status::IncompleteExpired, Standing::Admitted, "free"),
        (Status::Canceled, Standing::Admitted, "free"),
    ] {
        assert_eq!(standing(status), (expected, tier.to_owned()), "{}", status.as_str());
    }
}

#[test]
fn without_a_default_tier_payment_is_required() {
    let catalogue = Catalogue { default_tier: None, ..catalogue() };
    for subscription in [None, Some(of(Status::Canceled, "price_p"))] {
        let entitlement = Entitlement::of(subscription.as_ref(), &catalogue);
        assert_eq!((entitlement.standing, entitlement.tier), (Standing::PaymentRequired, None));
    }
}

#[test]
fn one_that_entitles_beats_one_that_does_not_and_then_the_later_tier() {
    let best = |all: &[Subscription]| Subscription::best(all).expect("one").clone();
    let (starter, pro) = (of(Status::Active, "price_s"), of(Status::Active, "price_p"));
    let (ended, unpaid) = (of(Status::Canceled, "price_p"), of(Status::Unpaid, "price_p"));
    assert_eq!(best(&[pro.clone(), starter.clone()]), pro);
    assert_eq!(best(&[ended.clone(), starter.clone()]), starter);
    assert_eq!(best(&[unpaid.clone(), starter.clone()]), starter);
    assert_eq!(best(&[ended, unpaid.clone()]), unpaid);
    let elsewhere = of(Status::Active, "price_else");
    assert_eq!(best(&[elsewhere.clone(), unpaid.clone()]), unpaid);
    assert_eq!(best(&[elsewhere, starter.clone()]), starter);
}

#[test]
fn a_price_that_no_tier_names_gives_the_default_tier() {
    let entitlement = Entitlement::of(Some(&of(Status::Active, "price_else")), &catalogue());
    assert_eq!(&*entitlement.tier.expect("a tier").name, "free");
}

#[test]
fn lookup_keys_name_tiers_too() {
    let catalogue = catalogue();
    for (key, tier) in [
        ("tollgate_pro_monthly", Some(TierId(2))),
        ("tollgate_pro_api_calls", Some(TierId(2))),
        ("tollgate_pro_other", None),
        ("tollgate_prod_monthly", None),
        ("pro_monthly", None),
    ] {
        assert_eq!(catalogue.tier_of_price("price_x", Some(key)), tier, "{key}");
    }
}

#[test]
fn the_window_is_the_metered_items_period() {
    let subscription =
        read(Status::Active, vec![item("price_p", false, "month", 20), item("price_p", true, "month", 28)]);
    assert_eq!(subscription.windows.at(ANCHOR), Period { start: ANCHOR, end: ANCHOR + 28 * DAY });
    assert_eq!(subscription.paid_until, Some(ANCHOR + 20 * DAY));
}

#[test]
fn beside_a_yearly_price_windows_are_monthly_from_the_anchor() {
    let subscription = read(Status::Active, vec![item("price_p", false, "year", 365)]);
    let first = subscription.windows.at(ANCHOR);
    assert_eq!(first, Period { start: ANCHOR, end: ANCHOR + 28 * DAY });
    assert_eq!(subscription.windows.at(first.end).end, ANCHOR + 59 * DAY, "back to the 31st");
}

#[test]
fn when_news_is_late_the_window_rolls_by_itself() {
    let windows = of(Status::Active, "price_p").windows;
    let current = windows.at(ANCHOR);
    let next = windows.at(current.end);
    assert_eq!(next.start, current.end);
    assert_eq!(next.end, ANCHOR + 59 * DAY);
}

#[test]
fn access_ends_with_the_grace_else_with_the_cancellation_else_with_what_is_paid() {
    let outline = |status, cancel_at| {
        let subscription = read(status, vec![item("price_p", false, "month", 28)]);
        Subscription { cancel_at, ..subscription }.outline(&catalogue()).expires_at()
    };
    assert_eq!(outline(Status::Active, None), Some(ANCHOR + 28 * DAY));
    assert_eq!(outline(Status::Trialing, Some(ANCHOR + DAY)), Some(ANCHOR + DAY));
    assert_eq!(outline(Status::PastDue, Some(ANCHOR + DAY)), Some(ANCHOR + 7 * DAY));
    assert_eq!(outline(Status::Canceled, Some(ANCHOR + DAY)), None);
}

/// Paid for until the 28th day, and heard of last at `read_at`.
fn heard(status: Status, price: &str, read_at: i64) -> Subscription {
    let facts = Facts { read_at: Some(read_at), ..facts(status, vec![item(price, false, "month", 28)]) };
    Subscription::read(&facts, &Catalogue { silence_grace: 3 * DAY, ..catalogue() })
}

#[test]
fn a_subscription_that_is_not_heard_of_behind_its_paid_period_keeps_its_tier_for_a_grace() {
    let end = ANCHOR + 28 * DAY;
    let tier = |subscription: &Subscription, now| subscription.clone().at(now).tier;
    for status in [Status::Trialing, Status::Active] {
        let silent = heard(status, "price_p", end - 1);
        assert_eq!(tier(&silent, end + 3 * DAY - 1), Some(TierId(2)), "{}", status.as_str());
        assert_eq!(tier(&silent, end + 3 * DAY), None, "{}", status.as_str());
        let heard = heard(status, "price_p", end);
        assert_eq!(tier(&heard, end + 300 * DAY), Some(TierId(2)), "Stripe has said that it goes on");
    }
    for status in [Status::PastDue, Status::Unpaid, Status::Paused, Status::Canceled] {
        let subscription = heard(status, "price_p", end - 1);
        assert_eq!(tier(&subscription, end + 300 * DAY), Some(TierId(2)), "{}", status.as_str());
    }
    assert_eq!(of(Status::Active, "price_p").silent_from, None, "an older version has kept no instant");
}

#[test]
fn one_that_is_silent_hides_no_other() {
    let (end, catalogue) = (ANCHOR + 28 * DAY, catalogue());
    let late = end + 4 * DAY;
    let all = [heard(Status::Active, "price_p", end - 1), heard(Status::Active, "price_s", end)];
    let all = all.map(|subscription| subscription.at(late));
    let entitlement = Entitlement::of(Subscription::best(&all), &catalogue);
    assert_eq!(&*entitlement.tier.expect("a tier").name, "starter");
    let alone = Entitlement::of(Some(&all[0]), &catalogue);
    assert_eq!((alone.standing, &*alone.tier.expect("a tier").name), (Standing::Admitted, "free"));
}
