//! `/dashboard/customer/receipt?name=`: what the current period comes to, to print.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::Dashboard;
use super::answers::{Catalogue, Customer, List, Overage, Tier, UsageRow};
use super::api::Api;
use super::customer::path_of;
use super::door::Operator;
use super::frame::{self, Question, table};
use super::listing::all;
use crate::clock;
use crate::domain::period::rfc3339;
use crate::pages::parts::words::{instant, money, number, value};
use crate::problem::Problem;

pub const PATH: &str = "/dashboard/customer/receipt";

#[derive(Deserialize)]
pub struct Asked {
    name: String,
}

pub async fn page(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(Asked { name }): Question<Asked>,
) -> Response {
    let title = format!("Receipt: {name}");
    frame::page_or_problem(&operator, &title, "Customers", content(&dashboard.api, &name).await)
}

async fn content(api: &Api, name: &str) -> Result<Markup, Problem> {
    let customer: Customer = api.get(&path_of(name, "")).await?;
    let catalogue: Catalogue = api.get("/admin/catalogue").await?;
    let routes: Result<List<UsageRow>, Problem> = api.get(&path_of(name, "/usage?by=route")).await;
    // Overage is priced by the tier that is billed, whatever an operator has set over it.
    let tier = catalogue.tiers.iter().find(|tier| Some(&tier.name) == customer.billed_tier.as_ref());
    Ok(html! {
        div.head {
            div {
                h1 { "Receipt" }
                p.lead {
                    (frame::to_customer(&customer.customer))
                    ", " (instant(&customer.period.start)) " to " (instant(&customer.period.end)) " UTC"
                }
            }
            div.acts { button type="button" data-print hidden { "Print" } }
        }
        section.panel {
            h2 { "What the period comes to" }
            (costs(&customer, tier, &catalogue.currency))
            p.quiet.small {
                "As of " (instant(&rfc3339(clock::now().seconds()))) " UTC, before tax. "
                "Stripe's invoice is what is paid. The tier's own price ("
                (price(tier, &catalogue.currency)) ") is invoiced by Stripe and not in the sum."
            }
        }
        section.panel {
            h2 { "Units by route" }
            (all(&routes, "Nothing has been used in this period.", by_route))
        }
    })
}

fn costs(customer: &Customer, tier: Option<&Tier>, currency: &str) -> Markup {
    let head = [
        ("Meter", false),
        ("Units", true),
        ("Included", true),
        ("Credits and overrides", true),
        ("Overage", true),
        ("A unit", true),
        ("Amount", true),
    ];
    let unit = |meter: &str| match tier.map(|tier| &tier.overage) {
        Some(Overage::Priced { unit_amount, .. }) => {
            unit_amount.get(meter).map(|amount| money(amount, currency))
        }
        Some(Overage::Denied(_)) | None => None,
    };
    let rows = html! {
        @for (meter, usage) in &customer.usage { tr {
            th scope="row" { (meter) span.small.quiet { (value(&usage.included)) " included" } }
            td.num { (number(usage.current)) }
            @if let Some(drawn) = customer.drawn.get(meter) {
                td.num { (number(drawn.included)) }
                td.num { (number(drawn.beside)) }
                td.num { (number(drawn.overage)) }
            } @else { td.num {} td.num {} td.num { (number(usage.overage)) } }
            td.num { (unit(meter).unwrap_or_else(|| "–".to_owned())) }
            td.num { (money(&usage.overage_amount, currency)) }
        } }
    };
    table("Units of the period and what they come to, by meter", &head, &rows)
}

fn price(tier: Option<&Tier>, currency: &str) -> String {
    let Some(tier) = tier else { return "none".to_owned() };
    let each = tier
        .price
        .iter()
        .filter_map(|(cycle, amount)| Some(format!("{} {cycle}", money(amount.as_deref()?, currency))));
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        format!("{}: none", tier.name)
    } else {
        format!("{}: {}", tier.name, each.join(" or "))
    }
}

fn by_route(rows: &[UsageRow]) -> Markup {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(&row.meter).or_default();
        *sum = (sum.0.saturating_add(row.units), sum.1.saturating_add(row.requests));
    }
    let body = html! {
        @for row in rows { tr {
            th scope="row" { code { (row.of) } }
            td { (row.meter) }
            td.num { (number(row.requests)) }
            td.num { (number(row.units)) }
        } }
        @for (meter, (units, requests)) in sums { tr {
            th scope="row" { "All routes" }
            td { (meter) }
            td.num { strong { (number(requests)) } }
            td.num { strong { (number(units)) } }
        } }
    };
    let head = [("Route", false), ("Meter", false), ("Requests", true), ("Units", true)];
    table("Units by route and meter", &head, &body)
}
