//! `GET /pricing`: what is sold, for everybody.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::domain::catalogue::{Catalogue, CreditPack};
use crate::domain::route::{Methods, Route};
use crate::domain::tier::{Allowance, Limit, Overage, Tier};
use crate::domain::units::MeterId;

use super::Public;

pub(super) async fn pricing(State(public): State<Public>) -> Json<Value> {
    Json(shown(&public.catalogue.now()))
}

/// What is sold.
pub(super) fn shown(catalogue: &Catalogue) -> Value {
    json!({
        "currency": catalogue.currency.code(),
        "tiers": catalogue.tiers.iter().map(|t| tier(catalogue, t)).collect::<Vec<_>>(),
        "credit_packs": catalogue.credit_packs.iter().map(|p| pack(catalogue, p)).collect::<Vec<_>>(),
        "routes": catalogue.routes.iter().map(|r| route(catalogue, r)).collect::<Vec<_>>(),
    })
}

fn tier(catalogue: &Catalogue, tier: &Tier) -> Value {
    let included = by_meter(catalogue, |meter| match tier.included(meter) {
        Allowance::Units(units) => json!(units),
        Allowance::Unlimited => json!("unlimited"),
    });
    let limits: Map<String, Value> = tier
        .limits
        .iter()
        .map(|(name, limit)| match limit {
            Limit::Number(number) => (name.clone(), json!(number)),
            Limit::Unlimited => (name.clone(), json!("unlimited")),
        })
        .collect();
    json!({
        "name": &*tier.name,
        "price": {
            "monthly": tier.price.monthly.map(|amount| catalogue.currency.round(amount).to_string()),
            "yearly": tier.price.yearly.map(|amount| catalogue.currency.round(amount).to_string()),
        },
        "included": included,
        "overage": overage(catalogue, &tier.overage),
        "features": catalogue.feature_names(tier.features),
        "limits": limits,
        "trial": tier.trial_days.map(|days| format!("{days}d")),
    })
}

fn pack(catalogue: &Catalogue, pack: &CreditPack) -> Value {
    let price = catalogue.currency.round(pack.price).to_string();
    json!({ "name": &*pack.name, "units": pack.units, "price": price, "expires_after_seconds": pack.expires_after })
}

/// A unit's price keeps all its digits: it may be a fraction of a cent.
fn overage(catalogue: &Catalogue, overage: &Overage) -> Value {
    match overage {
        Overage::Deny => json!("deny"),
        Overage::Priced { unit_amounts, cap } => json!({
            "unit_amount": by_meter(catalogue, |meter| json!(unit_amounts[meter.index()].to_string())),
            "cap": cap.map(|cap| catalogue.currency.round(cap).to_string()),
        }),
    }
}

fn route(catalogue: &Catalogue, route: &Route) -> Value {
    let methods = match &route.methods {
        Methods::All => json!("all"),
        Methods::These(methods) => json!(methods.iter().map(http::Method::as_str).collect::<Vec<_>>()),
    };
    let cost: Map<String, Value> =
        route.meters().map(|meter| (catalogue.meter(meter).name.to_string(), price(route, meter))).collect();
    json!({ "path": &*route.pattern, "methods": methods, "cost": cost })
}

/// Units, or how they are measured and how many are held until that is known.
fn price(route: &Route, meter: MeterId) -> Value {
    match route.measures.iter().find(|measured| measured.meter == meter) {
        None => json!(route.cost.of(meter)),
        Some(measured) => json!({ "measured": measured.by.kind(), "hold": measured.hold }),
    }
}

fn by_meter(catalogue: &Catalogue, value: impl Fn(MeterId) -> Value) -> Map<String, Value> {
    catalogue.meter_ids().map(|meter| (catalogue.meter(meter).name.to_string(), value(meter))).collect()
}
