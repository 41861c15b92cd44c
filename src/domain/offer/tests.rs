use proptest::prelude::*;

use super::*;
use crate::domain::route::RouteTable;
use crate::domain::tier::{Allowance, FeatureSet, Mode, Overage, Price, TierId};

fn amount(text: &str) -> Decimal {
    text.parse().expect("an amount")
}

/// By meter: what is included, and what a unit beyond it costs.
fn tier(
    name: &str,
    monthly: Option<&str>,
    yearly: Option<&str>,
    meters: &[(Allowance, Option<&str>)],
) -> Tier {
    let unit_amounts = meters.iter().map(|(_, unit)| unit.map_or(Decimal::ZERO, amount)).collect();
    let is_denied = meters.iter().all(|(_, unit)| unit.is_none());
    Tier {
        id: TierId(0),
        name: name.into(),
        price: Price { monthly: monthly.map(amount), yearly: yearly.map(amount) },
        stripe_prices: Vec::new(),
        included: meters.iter().map(|(included, _)| *included).collect(),
        overage: if is_denied { Overage::Deny } else { Overage::Priced { unit_amounts, cap: None } },
        rate: None,
        features: FeatureSet::default(),
        limits: Vec::new(),
        trial_days: None,
        credits_per_cycle: 0,
        credits_expire: None,
        degraded_allowance: 0,
        member: None,
        mode: Mode::Enforce,
    }
}

fn catalogue(code: &str, meters: &[(&str, &str)], tiers: Vec<Tier>) -> Catalogue {
    let meter =
        |(name, event): &(&str, &str)| Meter { name: (*name).into(), stripe_event_name: (*event).into() };
    Catalogue {
        currency: Currency::parse(code).expect("a currency"),
        meters: meters.iter().map(meter).collect::<Vec<_>>().into(),
        tiers: tiers.into_iter().map(Arc::new).collect::<Vec<_>>().into(),
        default_tier: None,
        anonymous_tier: None,
        features: Vec::new(),
        scopes: Vec::new(),
        routes: RouteTable::default(),
        report: Report::All,
        past_due_grace: 0,
        credit_packs: Vec::new(),
        silence_grace: 0,
    }
}

fn told(catalogue: &Catalogue) -> Vec<String> {
    let offer = Offer::of(catalogue).expect("names that can be told apart");
    let told = |price: &OfferedPrice| format!("{}: {}", price.lookup_key, price.terms.told());
    offer.tiers.iter().flat_map(|tier| tier.prices.iter().map(told)).collect()
}

const METERS: [(&str, &str); 2] = [("calls", "api_calls"), ("bytes", "bytes")];
const FREE: (Allowance, Option<&str>) = (Allowance::Units(100), None);

#[test]
fn a_tier_has_a_price_for_each_cycle_and_for_each_meter_that_is_charged() {
    let pro = [(Allowance::Units(10), Some("0.0007")), (Allowance::Unlimited, Some("0.01"))];
    let mut catalogue = catalogue(
        "usd",
        &METERS,
        vec![
            tier("free", None, None, &[FREE, FREE]),
            tier("pro", Some("99.00"), Some("990.00"), &pro),
            tier("strict", Some("5"), None, &[FREE, FREE]),
        ],
    );
    let all = [
        "tollgate_pro_monthly: 99.00 usd, every month",
        "tollgate_pro_yearly: 990.00 usd, every year",
        "tollgate_pro_calls: nothing for the first 10 units, then 0.0007 usd a unit, every month",
        "tollgate_strict_monthly: 5.00 usd, every month",
    ];
    assert_eq!(told(&catalogue), all);
    let offer = Offer::of(&catalogue).expect("an offer");
    assert_eq!(offer.tiers[0].vacant, ["tollgate_pro_bytes"]);
    assert_eq!(
        offer.tiers[1].vacant,
        ["tollgate_strict_yearly", "tollgate_strict_calls", "tollgate_strict_bytes"]
    );
    assert_eq!(offer.meters.len(), 2, "usage of every meter is reported");
    catalogue.report = Report::Overage;
    assert_eq!(told(&catalogue)[2], "tollgate_pro_calls: 0.0007 usd a unit, every month", "no free step");
}

#[test]
fn names_that_mean_two_things_are_refused() {
    let of = |meters: &[(&str, &str)]| {
        let tiers = vec![tier("pro", Some("1"), None, &[FREE, FREE])];
        Offer::of(&catalogue("usd", meters, tiers)).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(
        of(&[("monthly", "a"), ("calls", "b")]),
        Err("the lookup key `tollgate_pro_monthly` would stand for two prices: rename a tier or a meter"
            .to_owned())
    );
    let twice = of(&[("calls", "a"), ("bytes", "a")]).expect_err("one meter at Stripe");
    assert!(twice.starts_with("the meters `calls` and `bytes` both report to `a`"), "{twice}");
}

#[test]
fn an_amount_that_cannot_be_charged_is_a_flaw() {
    for (code, monthly, flawed) in [
        ("usd", "29.00", false),
        ("usd", "29.005", true),
        ("jpy", "2900", false),
        ("jpy", "29.5", true),
        ("kwd", "5.120", false),
        ("kwd", "5.124", true),
        ("isk", "40", false),
        ("isk", "40.5", true),
        ("ugx", "99000", false),
        ("ugx", "99000.5", true),
    ] {
        let tiers = vec![tier("pro", Some(monthly), None, &[FREE, FREE])];
        let offer = Offer::of(&catalogue(code, &METERS, tiers)).expect("an offer");
        assert_eq!(offer.tiers[0].prices[0].flaw.is_some(), flawed, "{monthly} {code}");
    }
}

/// As Stripe computes graduated prices: each step's units at that step's amount, and all steps together.
fn graduated(terms: &Terms, units: u64) -> Decimal {
    let (mut sum, mut below) = (Decimal::ZERO, 0);
    for step in &terms.steps {
        let reached = step.up_to.map_or(units, |last| last.min(units));
        sum += step.unit * Decimal::from(reached - below);
        below = reached;
    }
    sum
}

proptest! {
    /// Of a case that fails proptest prints what it was, and keeps its seed in proptest-regressions/.
    #[test]
    fn what_stripe_charges_is_what_the_tier_says_to_the_last_digit(
        included in prop_oneof![Just(0), Just(1), 0..1_000_000_000_u64],
        (mantissa, scale) in (1..=9_999_999_999_i64, 0..=12_u32),
        around in -2..=2_i64,
        random: u32,
        code in prop_oneof![Just("usd"), Just("jpy"), Just("kwd")],
        overage_alone: bool,
    ) {
        let unit = Decimal::new(mantissa, scale).to_string();
        let tiers = vec![tier("pro", Some("1"), None, &[(Allowance::Units(included), Some(&unit))])];
        let mut catalogue = catalogue(code, &METERS[..1], tiers);
        if overage_alone {
            catalogue.report = Report::Overage;
        }
        let tier = catalogue.tiers[0].clone();
        let meter = catalogue.meter_ids().next().expect("a meter");
        let offer = Offer::of(&catalogue).expect("an offer");
        let terms = &offer.tiers[0].prices[1].terms;
        for used in [included.saturating_add_signed(around), u64::from(random)] {
            let beyond = used.saturating_sub(included);
            let within = i64::try_from(used - beyond).expect("units");
            let reported = catalogue.report.reportable(within, i64::try_from(beyond).expect("units"));
            let minor = graduated(terms, u64::try_from(reported).expect("units"));
            prop_assert_eq!(minor, catalogue.currency.in_minor(tier.overage_amount(meter, used)));
        }
        for step in &terms.steps {
            prop_assert!(step.unit.normalize().scale() <= 12, "more decimals than Stripe takes: {}", step.unit);
        }
    }
}
