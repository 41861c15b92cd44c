//! `/dashboard/customers`: who is known, by name, tier and status.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::Dashboard;
use super::answers::{Catalogue, Listed};
use super::api::Api;
use super::door::Operator;
use super::frame::{self, Question, choice, state, table};
use super::listing::Listing;
use crate::domain::subscription::Status;
use crate::pages::parts::words::instant;
use crate::problem::Problem;

const PATH: &str = "/dashboard/customers";
const ROWS: &str = "50";

#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    tier: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    cursor: String,
}

pub async fn page(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(asked): Question<Asked>,
) -> Response {
    frame::page_or_problem(&operator, "Customers", "Customers", content(&dashboard.api, &asked).await)
}

async fn content(api: &Api, asked: &Asked) -> Result<Markup, Problem> {
    let Asked { q, tier, status, cursor } = asked;
    let catalogue: Catalogue = api.get("/admin/catalogue").await?;
    let filter = &[("q", q.as_str()), ("tier", tier), ("status", status)];
    let listing = Listing { page: PATH, endpoint: "/admin/customers", filter, cursor, limit: ROWS };
    let panel = listing.panel(api, "Nobody is found.", rows).await;
    let tiers: Vec<String> = catalogue.tiers.into_iter().map(|tier| tier.name).collect();
    let statuses = Status::ALL.iter().map(|status| status.as_str().to_owned());
    let statuses: Vec<String> = statuses.chain(["no_subscription".to_owned()]).collect();
    Ok(html! {
        h1 { "Customers" }
        p.lead { "Whoever has called, or was named by Stripe." }
        form.panel.row method="get" action=(PATH) role="search" {
            div.field.grow {
                label for="q" { "Name begins with, or Stripe customer" }
                input #q type="search" name="q" value=(q) placeholder="acme, or cus_…" autocomplete="off";
            }
            (choice("tier", "Tier", Some("any"), &tiers, tier))
            (choice("status", "Status", Some("any"), &statuses, status))
            button.main type="submit" { "Search" }
        }
        (panel)
    })
}

fn rows(customers: &[Listed]) -> Markup {
    let head = [
        ("Customer", false),
        ("Tier", false),
        ("Status", false),
        ("Stripe customer", false),
        ("First seen", false),
    ];
    let rows = html! {
        @for row in customers { tr {
            th scope="row" { (frame::to_customer(&row.customer)) }
            td { (row.tier.as_deref().unwrap_or("–")) }
            td {
                (state(&row.status))
                @if row.blocked { " " (state("blocked")) }
                @if row.overridden { " " (state("override")) }
                @if row.erased_at.is_some() { " " (state("erased")) }
            }
            td { @if let Some(id) = &row.stripe_customer { span.code { (id) } } @else { "–" } }
            td.nowrap { (instant(&row.first_seen)) }
        } }
    };
    table("Customers", &head, &rows)
}
