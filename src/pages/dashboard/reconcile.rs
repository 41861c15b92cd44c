//! `/dashboard/reconcile`: the ledger against what Stripe's meters hold.

use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::Dashboard;
use super::api::Api;
use super::door::{Operator, Sent};
use super::frame::{self, table};
use crate::pages::parts::layout::{note, sentence, with_status};
use crate::pages::parts::words::{instant, number};
use crate::problem::Problem;
use crate::reporting::{Difference, Report};

const PATH: &str = "/dashboard/reconcile";

pub async fn page(operator: Operator) -> Response {
    frame::page(&operator, "Reconcile", "Reconcile", &content(&operator, "current", &html! {}))
}

fn content(operator: &Operator, period: &str, outcome: &Markup) -> Markup {
    html! {
        h1 { "Reconcile" }
        p.lead {
            "Compares what the ledger has sent with what Stripe's meters hold, customer by customer. "
            "It reads from Stripe and may take a while."
        }
        form.panel method="post" action=(PATH) {
            (operator.token())
            div.row {
                div.field.grow {
                    label for="period" { "Period" }
                    input #period name="period" value=(period) required list="periods" autocomplete="off"
                        aria-describedby="period-hint";
                    datalist #periods { option value="current" {} option value="previous" {} }
                }
                button.main type="submit" { "Compare" }
            }
            p #period-hint .quiet.small {
                "“current” or “previous” month, a month such as 2026-11, or a span such as 2026-11-01..2026-11-15."
            }
            label.check { input type="checkbox" name="repair" value="yes"; "Send what is missing at Stripe" }
        }
        (outcome)
    }
}

pub async fn run(State(dashboard): State<Dashboard>, sent: Sent) -> Response {
    let period = sent.field("period").unwrap_or("current");
    let asked = json!({ "period": period, "repair": sent.field("repair").is_some() });
    let found: Result<Report, Problem> = compare(&dashboard.api, &asked).await;
    let outcome = match &found {
        Ok(report) => outcome(report),
        Err(problem) => frame::wrong(problem),
    };
    let page =
        frame::page(&sent.operator, "Reconcile", "Reconcile", &content(&sent.operator, period, &outcome));
    match found {
        Ok(_) => page,
        Err(problem) => with_status(page, &problem),
    }
}

async fn compare(api: &Api, asked: &serde_json::Value) -> Result<Report, Problem> {
    api.act(Method::POST, "/admin/reconcile", Some(asked), None).await
}

fn outcome(report: &Report) -> Markup {
    let left = report.differences.iter().filter(|difference| difference.left() != 0).count();
    let (kind, text) = match (report.differences.len(), left) {
        (0, _) => ("good", "Ledger and Stripe agree.".to_owned()),
        (found, 0) => ("good", format!("{found} differences, all repaired.")),
        (_, left) => ("bad", format!("{left} differences are left.")),
    };
    html! {
        (note(kind, &text))
        @if !report.note.is_empty() { (note("info", &sentence(&report.note))) }
        section.panel {
            h2 { "From " (instant(&report.start)) " to " (instant(&report.end)) }
            p.quiet { (report.customers) " customers at Stripe were compared." }
            @if let Some(missing) = report.nodes_missing.as_ref().filter(|missing| !missing.is_empty()) {
                p { "Not told by: " (missing.iter().map(String::as_str).collect::<Vec<_>>().join(", ")) "." }
            }
            @if !report.differences.is_empty() { (rows(&report.differences)) }
        }
    }
}

fn rows(differences: &[Difference]) -> Markup {
    let head = [
        ("Customer", false),
        ("Meter", false),
        ("Ledger", true),
        ("Stripe", true),
        ("Difference", true),
        ("Repaired", true),
        ("Note", false),
    ];
    let rows = html! {
        @for row in differences { tr {
            th scope="row" {
                (frame::to_customer(&row.customer))
                span.small.quiet.code { (row.stripe_customer) }
            }
            td { (row.meter) }
            td.num { (number(row.ledger)) }
            td.num { (number(row.stripe)) }
            td.num { (number(row.difference)) }
            td.num { (number(row.repaired)) }
            td { (row.note) }
        } }
    };
    table("Differences", &head, &rows)
}
