//! `/dashboard/audit`: who did what, when and why.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Dashboard;
use super::answers::AuditRow;
use super::api::Api;
use super::door::Operator;
use super::frame::{self, Question, field, table};
use super::listing::Listing;
use crate::pages::parts::words::{instant, value, words};

const PATH: &str = "/dashboard/audit";
const ROWS: &str = "50";

#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    cursor: String,
}

pub async fn page(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(asked): Question<Asked>,
) -> Response {
    let content = content(&dashboard.api, &asked).await;
    frame::page(&operator, "Audit", "Audit", &content)
}

async fn content(api: &Api, Asked { customer, cursor }: &Asked) -> Markup {
    let filter = &[("customer", customer.as_str())];
    let listing = Listing { page: PATH, endpoint: "/admin/audit", filter, cursor, limit: ROWS };
    let panel = listing.panel(api, "Nothing has been changed.", |found| rows(found, true)).await;
    html! {
        h1 { "Audit" }
        p.lead { "What was changed by operators, and by Stripe against what was known, the latest first." }
        form.panel.row method="get" action=(PATH) {
            (field("customer", "Customer", customer, "the whole name"))
            button.main type="submit" { "Filter" }
        }
        (panel)
    }
}

/// `with_customer`: of several customers.
pub fn rows(rows: &[AuditRow], with_customer: bool) -> Markup {
    let mut head = vec![("At", false), ("What", false)];
    head.extend(with_customer.then_some(("Customer", false)));
    head.extend([("By", false), ("Why, and what changed", false)]);
    let body = html! {
        @for row in rows { tr {
            td.nowrap { (instant(&row.at)) }
            th scope="row" { (words(&row.action)) }
            @if with_customer { td {
                @if let Some(name) = &row.customer { (frame::to_customer(name)) }
                @else { "–" }
            } }
            td { (row.actor) }
            td {
                @if !row.detail.is_empty() { div { (row.detail) } }
                @if row.before != Value::Null || row.after != Value::Null {
                    span.small.quiet { (value(&row.before)) " → " (value(&row.after)) }
                } @else if row.detail.is_empty() { "–" }
            }
        } }
    };
    table("Changes, the latest first", &head, &body)
}
