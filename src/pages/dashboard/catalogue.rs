//! `/dashboard/tiers`: tiers, routes, meters and credit packs as they are in force.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::Dashboard;
use super::answers::{Catalogue, Overage, Rate, Route, Tier};
use super::api::Api;
use super::door::Operator;
use super::frame::{self, table};
use crate::pages::parts::words::{money, value, words};
use crate::problem::Problem;

pub async fn page(State(dashboard): State<Dashboard>, operator: Operator) -> Response {
    let content = content(&dashboard.api).await;
    frame::page_or_problem(&operator, "Tiers and routes", "Tiers and routes", content)
}

async fn content(api: &Api) -> Result<Markup, Problem> {
    let catalogue: Catalogue = api.get("/admin/catalogue").await?;
    let currency = &catalogue.currency;
    let reported = if catalogue.report == "all" { "every unit" } else { "overage alone" };
    Ok(html! {
        h1 { "Tiers and routes" }
        p.lead {
            "As configured, in " (currency.to_uppercase()) "; Stripe is told of " (reported) ". "
            "To change them, edit the file: it is read again by itself."
        }
        div.grid { @for tier in &catalogue.tiers { (card(tier, currency)) } }
        section.panel { h2 { "Routes" } (routes(&catalogue.routes)) }
        div.grid {
            section.panel {
                h2 { "Meters" }
                (table("Meters", &[("Meter", false), ("Event name at Stripe", false)], &html! {
                    @for meter in &catalogue.meters { tr {
                        th scope="row" { (meter.name) } td { span.code { (meter.stripe_event_name) } }
                    } }
                }))
            }
            @if !catalogue.credit_packs.is_empty() {
                section.panel {
                    h2 { "Credit packs" }
                    (table("Credit packs", &[("Pack", false), ("Units", true), ("Price", true)], &html! {
                        @for pack in &catalogue.credit_packs { tr {
                            th scope="row" { (pack.name) }
                            td.num { (value(&pack.units.into())) }
                            td.num { (money(&pack.price, currency)) }
                        } }
                    }))
                }
            }
        }
    })
}

fn card(tier: &Tier, currency: &str) -> Markup {
    let prices = tier
        .price
        .iter()
        .filter_map(|(cycle, amount)| Some(format!("{} {cycle}", money(amount.as_deref()?, currency))));
    let prices: Vec<String> = prices.collect();
    let limits: Vec<String> =
        tier.limits.iter().map(|(name, limit)| format!("{name} {}", value(limit))).collect();
    html! { section.panel {
        h2 {
            (tier.name)
            @if tier.default { " " span.state.info { "default" } }
            @if tier.anonymous { " " span.state.info { "anonymous callers" } }
        }
        dl.facts {
            dt { "Price" } dd { @if prices.is_empty() { "none" } @else { (prices.join(", ")) } }
            dt { "Included" } dd { @for (meter, units) in &tier.included { div { (value(units)) " " (meter) } } }
            dt { "Beyond" } dd { (overage(&tier.overage, currency)) }
            dt { "Rate" } dd { (tier.rate.as_ref().map_or_else(|| "no limit".to_owned(), rate)) }
            @if tier.credits_per_cycle > 0 { dt { "Credits a cycle" } dd { (value(&tier.credits_per_cycle.into())) } }
            @if !tier.features.is_empty() { dt { "Features" } dd { (tier.features.join(", ")) } }
            @if !limits.is_empty() { dt { "Limits" } dd { (limits.join(", ")) } }
            @if let Some(trial) = &tier.trial { dt { "Trial" } dd { (trial) } }
            @if !tier.stripe_prices.is_empty() {
                dt { "Prices at Stripe" } dd { @for id in &tier.stripe_prices { div.code { (id) } } }
            }
        }
    } }
}

fn overage(overage: &Overage, currency: &str) -> Markup {
    match overage {
        Overage::Denied(word) => html! { @if word == "deny" { "refused" } @else { (word) } },
        Overage::Priced { unit_amount, cap } => html! {
            @for (meter, amount) in unit_amount { div { (money(amount, currency)) " a unit of " (meter) } }
            @if let Some(cap) = cap { div { "at most " (money(cap, currency)) " a period" } }
        },
    }
}

fn rate(rate: &Rate) -> String {
    format!("{} at once, all back in {} s", rate.burst, rate.window_seconds)
}

fn routes(routes: &[Route]) -> Markup {
    let head = [("Path", false), ("Methods", false), ("Cost", false), ("For whom", false), ("Rate", false)];
    let rows = html! {
        @for route in routes { tr {
            th scope="row" { code { (route.path) } }
            td { (methods(&route.methods)) }
            td {
                @if route.cost.is_empty() { "free" }
                @for (meter, cost) in &route.cost { div { (units(cost)) " " (meter) } }
            }
            td {
                @if route.public { "everybody, without a token" }
                @else if route.anonymous { "everybody; who shows a token is known" }
                @else if route.requires.is_empty() { "every customer" }
                @else { "tiers with " (route.requires.join(", ")) }
            }
            td { (route.rate.as_ref().map_or_else(|| "the tier's".to_owned(), rate)) }
        } }
    };
    table("Routes in the order of the file", &head, &rows)
}

fn methods(methods: &Value) -> String {
    let listed =
        methods.as_array().map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
    listed.unwrap_or_else(|| value(methods))
}

/// A number, or how it is measured.
fn units(cost: &Value) -> String {
    match cost.get("measured").and_then(Value::as_str) {
        Some(by) => format!("by {}, holding {}", words(by), value(&cost["hold"])),
        None => value(cost),
    }
}
