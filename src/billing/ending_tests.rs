use std::sync::Arc;

use super::*;
use crate::domain::catalogue::{Numbered, Report};
use crate::domain::money::Currency;
use crate::domain::route::RouteTable;
use crate::domain::subscription::ItemFacts;
use crate::domain::tier::{FeatureSet, Mode, Overage, Price, Tier, TierId};

const NOW: i64 = 1_795_174_000;
const GRACE: i64 = 3 * DAY_SECONDS;

fn catalogue() -> Catalogue {
    let pro = Tier {
        id: TierId(0),
        name: "pro".into(),
        price: Price::default(),
        stripe_prices: vec!["price_pro".to_owned()],
        included: Vec::new(),
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
    };
    Catalogue {
        currency: Currency::parse("usd").expect("a currency"),
        meters: Numbered::default(),
        tiers: vec![Arc::new(pro)].into(),
        default_tier: None,
        anonymous_tier: None,
        features: Vec::new(),
        scopes: vec![],
        routes: RouteTable::default(),
        report: Report::All,
        past_due_grace: GRACE,
        credit_packs: Vec::new(),
        silence_grace: 0,
    }
}

fn facts(status: Status) -> Facts {
    let item = ItemFacts {
        id: String::new(),
        price: "price_pro".to_owned(),
        lookup_key: None,
        metered: false,
        interval: "month".to_owned(),
        interval_count: 1,
        period_start: NOW - 25 * DAY_SECONDS,
        period_end: NOW + 5 * DAY_SECONDS,
        unit_amount: None,
        quantity: None,
    };
    Facts {
        id: "sub_1".to_owned(),
        stripe_customer: "cus_1".to_owned(),
        status,
        items: vec![item],
        billing_cycle_anchor: 0,
        cancel_at: None,
        cancel_at_period_end: false,
        past_due_since: None,
        trial_start: None,
        trial_end: None,
        currency: None,
        read_at: None,
    }
}

/// Nothing is told.
const NOTHING: [(NoticeKind, i64); 0] = [];

fn told(facts: &Facts, now: i64) -> Vec<(NoticeKind, i64)> {
    of(facts, &catalogue(), now).into_iter().map(|ending| (ending.kind, ending.at)).collect()
}

#[test]
fn a_trial_is_told_in_its_last_three_days() {
    let end = NOW + 10 * DAY_SECONDS;
    let trial = Facts { trial_end: Some(end), ..facts(Status::Trialing) };
    assert_eq!(told(&trial, end - TRIAL_TOLD_BEFORE - 1), NOTHING);
    for now in [end - TRIAL_TOLD_BEFORE, end - 1] {
        assert_eq!(told(&trial, now), [(NoticeKind::TrialEnding, end)]);
    }
    assert_eq!(told(&trial, end), NOTHING, "it is over");
    assert_eq!(told(&Facts { status: Status::Active, ..trial }, end - 1), NOTHING, "it was one once");
}

#[test]
fn a_grace_is_told_before_it_ends() {
    let late = Facts { past_due_since: Some(NOW), ..facts(Status::PastDue) };
    assert_eq!(told(&late, NOW), NOTHING);
    assert_eq!(told(&late, NOW + DAY_SECONDS), [(NoticeKind::GraceEnding, NOW + GRACE)]);
    assert_eq!(told(&late, NOW + GRACE), NOTHING);
}

#[test]
fn what_will_not_be_renewed_is_told_in_its_last_week() {
    assert_eq!(told(&facts(Status::Active), NOW), NOTHING, "it is renewed");
    let period_end = NOW + 5 * DAY_SECONDS;
    let cancelled = Facts { cancel_at_period_end: true, ..facts(Status::Active) };
    assert_eq!(told(&cancelled, NOW), [(NoticeKind::SubscriptionExpiring, period_end)]);
    assert_eq!(told(&cancelled, NOW - 3 * DAY_SECONDS), NOTHING);
    let dated = Facts { cancel_at: Some(NOW + 60), ..cancelled };
    assert_eq!(told(&dated, NOW), [(NoticeKind::SubscriptionExpiring, NOW + 60)]);
    assert_eq!(told(&Facts { status: Status::Canceled, ..dated }, NOW), NOTHING);
}

#[test]
fn what_is_sold_elsewhere_is_nobodys_business_here() {
    let mut trial = Facts { trial_end: Some(NOW + 60), ..facts(Status::Trialing) };
    assert_eq!(told(&trial, NOW).len(), 1);
    trial.items[0].price = "price_elsewhere".to_owned();
    assert_eq!(told(&trial, NOW), NOTHING);
}

#[test]
fn each_end_has_a_cause_of_its_own() {
    let trial = |end| Facts { trial_end: Some(end), ..facts(Status::Trialing) };
    let cause = |end| of(&trial(end), &catalogue(), NOW).remove(0).cause;
    assert_eq!(cause(NOW + 60), format!("trial:sub_1:{}", NOW + 60));
    assert_ne!(cause(NOW + 60), cause(NOW + 61), "a trial that is extended ends anew");
}

#[test]
fn a_trial_that_is_over_and_a_payment_that_failed_are_read_again() {
    let trial = Facts { trial_end: Some(NOW), ..facts(Status::Trialing) };
    assert!(is_overdue(&trial, NOW) && !is_overdue(&trial, NOW - 1));
    let overdue = Status::ALL.into_iter().filter(|status| is_overdue(&facts(*status), NOW));
    let words: Vec<_> = overdue.map(Status::as_str).collect();
    assert_eq!(words, ["past_due", "unpaid", "incomplete"]);
}
