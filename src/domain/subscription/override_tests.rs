//! What an operator sets, over what the subscription gives.

use rust_decimal::Decimal;

use super::*;
use crate::domain::tier::{FeatureSet, Mode, Price};

const NOW: i64 = 1_800_000_000;
const API: MeterId = MeterId(0);
const BYTES: MeterId = MeterId(1);

fn tier(id: u16, included: [Allowance; 2], overage: Overage) -> Arc<Tier> {
    Arc::new(Tier {
        id: TierId(id),
        name: format!("tier-{id}").into(),
        price: Price::default(),
        stripe_prices: Vec::new(),
        included: included.to_vec(),
        overage,
        rate: None,
        features: FeatureSet::from_indices([usize::from(id)]),
        limits: Vec::new(),
        trial_days: None,
        credits_per_cycle: 0,
        credits_expire: None,
        degraded_allowance: 100,
        mode: Mode::Enforce,
        member: None,
    })
}

fn units(units: u64) -> Allowance {
    Allowance::Units(units)
}

fn priced() -> Overage {
    Overage::Priced { unit_amounts: vec![Decimal::ONE, Decimal::ONE], cap: None }
}

fn entitled(tier: Option<Arc<Tier>>, standing: Standing) -> Entitlement {
    Entitlement { standing, tier, windows: Windows::CalendarMonth, overridden: None }
}

#[test]
fn a_tier_that_is_set_is_in_force_until_its_second_and_keeps_the_overage_that_stripe_bills() {
    let own = tier(1, [units(10), units(50)], priced());
    let set = tier(2, [units(100), units(5)], Overage::Deny);
    let entitled = entitled(Some(own.clone()), Standing::Admitted);
    let over = entitled.with_override(Some(&set), &[], Some(NOW));
    let in_force = over.tier_at(NOW - 1).expect("a tier");
    assert_eq!((in_force.id, in_force.features), (set.id, set.features));
    assert_eq!(in_force.included, [units(100), units(50)], "nobody gets less by it");
    assert_eq!(in_force.overage, own.overage);
    assert_eq!(over.tier_at(NOW), Some(&own));
    assert_eq!(over.tier, Some(own), "what is billed stays");
}

#[test]
fn units_that_are_set_replace_those_of_the_tier_where_they_are_more() {
    let own = tier(1, [units(10), units(50)], priced());
    let included = [Some(units(99)), Some(units(1))];
    let over = entitled(Some(own.clone()), Standing::Admitted).with_override(None, &included, None);
    let in_force = over.tier_at(i64::MAX - 1).expect("a tier");
    assert_eq!((in_force.id, &*in_force.included), (own.id, &[units(99), units(50)][..]));
    let both = entitled(Some(own), Standing::Admitted);
    let set = tier(2, [units(20), units(60)], Overage::Deny);
    let unlimited = [None, Some(Allowance::Unlimited)];
    let both = both.with_override(Some(&set), &unlimited, None);
    let in_force = both.tier_at(NOW).expect("a tier");
    assert_eq!((in_force.included(API), in_force.included(BYTES)), (units(20), Allowance::Unlimited));
}

#[test]
fn only_a_tier_that_is_set_admits_whoever_has_not_paid_and_nothing_admits_the_blocked() {
    let own = tier(1, [units(10), units(50)], priced());
    for standing in [Standing::PaymentRequired, Standing::Paused, Standing::Grace { until: NOW }] {
        let unpaid = || entitled(Some(own.clone()), standing.clone());
        let given = unpaid().with_override(Some(&own), &[], Some(NOW + 10));
        assert!(given.admits(NOW + 9) && !given.admits(NOW + 10), "{standing:?}");
        let more = unpaid().with_override(None, &[Some(units(99))], None);
        assert!(!more.admits(NOW), "{standing:?}");
        assert!(!given.with_block(true).admits(NOW), "{standing:?}");
    }
    let admitted = entitled(Some(own), Standing::Admitted);
    assert!(admitted.clone().with_block(false).admits(NOW));
    assert!(!admitted.with_block(true).admits(NOW));
}

#[test]
fn without_a_tier_of_their_own_a_customer_gets_that_which_is_set_and_units_alone_change_nothing() {
    let set = tier(2, [units(20), units(60)], Overage::Deny);
    let none = || entitled(None, Standing::PaymentRequired);
    let given = none().with_override(Some(&set), &[], None);
    assert_eq!(given.tier_at(NOW), Some(&set));
    assert!(given.admits(NOW));
    let priced = none().with_override(Some(&tier(2, [units(20), units(60)], priced())), &[], None);
    assert_eq!(priced.tier_at(NOW), Some(&set), "overage that nobody bills is denied");
    assert_eq!(none().with_override(None, &[Some(units(5))], None), none());
}
