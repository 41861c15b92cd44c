//! `GET /admin/catalogue`: tiers and routes as they are in force, with what `GET /pricing` does not tell everybody.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::domain::catalogue::{Catalogue, Report};
use crate::domain::rate::Rate;
use crate::domain::route::{Authentication, Route};
use crate::domain::tier::Tier;

use super::AdminState;
use crate::api::pricing;

pub(super) async fn catalogue(State(state): State<AdminState>) -> Json<Value> {
    let catalogue = &*state.catalogue.now();
    let mut shown = pricing::shown(catalogue);
    extend(&mut shown["tiers"], catalogue.tiers.iter().map(|of| tier(catalogue, of)));
    extend(&mut shown["routes"], catalogue.routes.iter().map(|of| route(catalogue, of)));
    shown["report"] = json!(match catalogue.report {
        Report::All => "all",
        Report::Overage => "overage",
    });
    shown["meters"] = catalogue
        .meter_ids()
        .map(|id| {
            let meter = catalogue.meter(id);
            json!({ "name": &*meter.name, "stripe_event_name": &*meter.stripe_event_name })
        })
        .collect();
    Json(shown)
}

/// Both are in the order of the file.
fn extend(shown: &mut Value, more: impl Iterator<Item = Map<String, Value>>) {
    for (row, more) in shown.as_array_mut().into_iter().flatten().zip(more) {
        if let Value::Object(row) = row {
            row.extend(more);
        }
    }
}

fn tier(catalogue: &Catalogue, tier: &Tier) -> Map<String, Value> {
    object(json!({
        "default": catalogue.default_tier == Some(tier.id),
        "anonymous": catalogue.anonymous_tier == Some(tier.id),
        "rate": tier.rate.map(rate),
        "credits_per_cycle": tier.credits_per_cycle,
        "stripe_prices": tier.stripe_prices,
        "caps_members": tier.member.is_some(),
    }))
}

fn route(catalogue: &Catalogue, route: &Route) -> Map<String, Value> {
    let optional = |extras| matches!(extras, Authentication::Optional);
    object(json!({
        "public": route.public,
        "anonymous": route.extras.as_ref().is_some_and(|extras| optional(extras.authentication)),
        "requires": catalogue.feature_names(route.requires),
        "rate": route.rate.map(rate),
    }))
}

/// So many at once, and so many seconds until all of them are there again.
fn rate(rate: Rate) -> Value {
    json!({ "burst": rate.burst(), "window_seconds": rate.window_seconds() })
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(object) = value { object } else { Map::new() }
}
