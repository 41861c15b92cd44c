//! One tier and one route with every limit there is: rate, quota, overage and cap.

use std::num::NonZeroU32;
use std::sync::Arc;

use rust_decimal::Decimal;
use tollgate::domain::catalogue::{Catalogue, Report};
use tollgate::domain::money::Currency;
use tollgate::domain::rate::Rate;
use tollgate::domain::route::{Methods, Route, RouteId, RouteTable, StatusSet, UpstreamId};
use tollgate::domain::tier::{Allowance, FeatureSet, Mode, Overage, Price, Tier, TierId};
use tollgate::domain::units::{Cost, Meter, MeterId};

/// Nobody reaches the limits, but each is asked: the included units are used up at once, so that the cap is counted.
pub fn catalogue() -> Catalogue {
    let million = NonZeroU32::new(1_000_000).expect("not zero");
    let tier = |index: u16, name: &str| {
        Arc::new(Tier {
            id: TierId(index),
            name: name.into(),
            price: Price::default(),
            stripe_prices: vec![format!("price_{name}")],
            included: vec![Allowance::Units(1)],
            overage: Overage::Priced {
                unit_amounts: vec![Decimal::new(3, 4)],
                cap: Some(Decimal::new(1_000_000_000_000, 2)),
            },
            rate: Some(Rate::new(million, NonZeroU32::MIN, NonZeroU32::MAX)),
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
        tiers: vec![tier(0, "free"), tier(1, "pro")].into(),
        default_tier: Some(TierId(0)),
        anonymous_tier: None,
        features: Vec::new(),
        scopes: vec![],
        routes: RouteTable::default(),
        report: Report::All,
        past_due_grace: 0,
        credit_packs: Vec::new(),
        silence_grace: i64::MAX,
    }
}

pub fn route() -> Route {
    Route {
        id: RouteId(0),
        pattern: "/signals".into(),
        methods: Methods::All,
        upstream: UpstreamId(0),
        cost: Cost::new([(MeterId(0), 2)]),
        measures: [].into(),
        requires: FeatureSet::default(),
        charge_on: StatusSet::default(),
        rate: None,
        public: false,
        extras: None,
    }
}
