//! `/dashboard/charge?id=`: the receipt of one request, as `tollgate explain` tells it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::Dashboard;
use super::answers::{MeterEvent, Receipt, Totals};
use super::api::{Api, encoded, with_query};
use super::door::Operator;
use super::frame::{self, Question, state, table};
use crate::domain::period::rfc3339;
use crate::pages::parts::words::{instant, number, words};
use crate::problem::Problem;

#[derive(Deserialize)]
pub struct Asked {
    id: String,
}

pub async fn page(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(Asked { id }): Question<Asked>,
) -> Response {
    frame::page_or_problem(&operator, "Charge", "Customers", content(&dashboard.api, &id).await)
}

async fn content(api: &Api, id: &str) -> Result<Markup, Problem> {
    let receipt: Receipt = api.get(&format!("/admin/receipts/{}", encoded(id))).await?;
    let request = format!(
        "{} {}",
        receipt.method.as_deref().unwrap_or_default(),
        receipt.route.as_deref().unwrap_or("an unknown route")
    );
    Ok(html! {
        div.head {
            div { h1 { "Why this was charged" } p.lead { code { (request) } " for "
                (frame::to_customer(&receipt.customer)) } }
            div.acts { button type="button" data-print hidden { "Print" } }
        }
        section.panel { h2 { "The request" } (facts(&receipt)) }
        section.panel { h2 { "What it cost, and what paid for it" } (cost(&receipt)) }
        @for (meter, event) in &receipt.meter_events {
            section.panel { h2 { "How Stripe hears of it: " (meter) } (carried(event)) }
        }
    })
}

fn facts(receipt: &Receipt) -> Markup {
    html! {
        dl.facts {
            dt { "Request id" } dd { span.code { (receipt.request_id) } }
            @if let Some(id) = &receipt.foreign_request_id { dt { "Id of the proxy before" } dd { span.code { (id) } } }
            dt { "At" } dd { (instant(&receipt.at)) " UTC" }
            dt { "Kind" }
            dd {
                (words(&receipt.kind))
                @if let Some(of) = &receipt.repeat_of {
                    " of " a href=(with_query("/dashboard/charge", &[("id", of)])) { span.code { (of) } }
                }
            }
            dt { "Answer" } dd { (receipt.status) }
            dt { "Tier" } dd { (receipt.tier.as_deref().unwrap_or("none")) }
            @if let Some(member) = &receipt.member { dt { "Member" } dd { (member) } }
            dt { "Period" } dd { (instant(&receipt.period.start)) " to " (instant(&receipt.period.end)) }
            dt { "Idempotency key" } dd { @if receipt.idempotency_key { "sent" } @else { "none" } }
            @if let Some(corrected) = &receipt.corrected { dt { "Corrected" } dd { (instant(&corrected.at)) } }
            dt { "Record" }
            dd {
                (receipt.record.number) " in " span.code { (receipt.record.segment) }
                @if let Some(node) = &receipt.node { " of " (node) }
            }
        }
    }
}

fn cost(receipt: &Receipt) -> Markup {
    if receipt.cost.is_empty() {
        return html! { p.empty { "It cost nothing." } };
    }
    let head = [
        ("Meter", false),
        ("Units", true),
        ("Drawn on", false),
        ("In the end", true),
        ("Used before and after", true),
    ];
    let none = BTreeMap::new();
    let rows = html! {
        @for (meter, units) in &receipt.cost { tr {
            th scope="row" { (meter) }
            td.num { (number(*units)) }
            td { (draws(receipt.drawn.get(meter).unwrap_or(&none))) }
            @let corrected = receipt.corrected.as_ref().and_then(|now| now.cost.get(meter));
            td.num { (number(corrected.copied().unwrap_or(*units))) }
            td.num { @if let Some(totals) = receipt.totals.get(meter) { (before_and_after(totals)) } }
        } }
    };
    table("Cost by meter", &head, &rows)
}

fn before_and_after(Totals { before, after, complete }: &Totals) -> Markup {
    html! {
        (number(*before)) " → " (number(*after))
        @if !complete { span.small.quiet { "of what is still kept" } }
    }
}

fn carried(event: &MeterEvent) -> Markup {
    if let Some(none) = &event.none {
        return html! { p { "No meter event carries it: " (none) "." } };
    }
    let unknown = "–";
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| unknown.to_owned());
    html! {
        dl.facts {
            dt { "Meter event" } dd { span.code { (event.identifier.as_deref().unwrap_or(unknown)) } }
            dt { "Its value" } dd { (or_unknown(event.value.map(number))) " units, this request's among them" }
            dt { "Its timestamp" } dd { (or_unknown(event.timestamp.map(|at| instant(&rfc3339(at))))) }
            dt { "State" } dd { (state(event.state.as_deref().unwrap_or(unknown))) }
            dt { "Stripe's answer" } dd { (event.answer.as_deref().unwrap_or(unknown)) }
            dt { "Settled" } dd { (or_unknown(event.settled_at.as_deref().map(instant))) }
        }
    }
}

/// By meter, what a charge was drawn on.
pub fn drawn_on(drawn: &BTreeMap<String, BTreeMap<String, i64>>) -> Markup {
    html! { @for drawn in drawn.values() { div { (draws(drawn)) } } }
}

fn draws(drawn: &BTreeMap<String, i64>) -> String {
    let some = drawn.iter().filter(|(_, units)| **units != 0);
    let each: Vec<String> = some.map(|(on, units)| format!("{} {}", number(*units), name_of(on))).collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
}

fn name_of(drawn: &str) -> &str {
    match drawn {
        "extra" => "an override's",
        "uncovered" => "paid for by nothing",
        other => other,
    }
}
