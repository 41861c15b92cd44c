//! `/dashboard/outbox`: what Stripe has not accepted yet, why, and another try.

use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Dashboard;
use super::answers::{Flushed, Waiting};
use super::api::{Api, encoded};
use super::door::{Operator, Sent};
use super::frame::{self, Question, choice, state, table};
use super::listing::Listing;
use crate::domain::period::rfc3339;
use crate::pages::parts::layout::{note, with_status};
use crate::pages::parts::words::{instant, number};
use crate::problem::Problem;

const PATH: &str = "/dashboard/outbox";
const ROWS: &str = "100";

#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    state: String,
    #[serde(default)]
    cursor: String,
    said: Option<String>,
}

pub async fn page(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(asked): Question<Asked>,
) -> Response {
    let top = frame::said(asked.said.as_deref());
    shown(&dashboard.api, &operator, &asked, &top).await
}

async fn shown(api: &Api, operator: &Operator, asked: &Asked, top: &Markup) -> Response {
    let Asked { state: which, cursor, .. } = asked;
    let filter = &[("state", which.as_str())];
    let listing = Listing { page: PATH, endpoint: "/admin/outbox", filter, cursor, limit: ROWS };
    let panel = listing.panel(api, "Nothing waits.", |found| rows(operator, found)).await;
    let states = ["pending", "dead"].map(str::to_owned);
    let content = html! {
        div.head {
            div { h1 { "Outbox" } p.lead { "Usage that is sealed, and that Stripe has not accepted." } }
            form.acts method="post" action={ (PATH) "/flush" } {
                (operator.token())
                button.main type="submit" { "Seal and send now" }
            }
        }
        (top)
        form.panel.row method="get" action=(PATH) {
            (choice("state", "Which", Some("all"), &states, which))
            button type="submit" { "Filter" }
        }
        (panel)
    };
    frame::page(operator, "Outbox", "Outbox", &content)
}

fn rows(operator: &Operator, waiting: &[Waiting]) -> Markup {
    let head = [
        ("Meter event", false),
        ("Customer", false),
        ("Units", true),
        ("State", false),
        ("Tries", true),
        ("Reason", false),
        ("", false),
    ];
    let rows = html! {
        @for event in waiting { tr {
            th scope="row" {
                span.code { (event.identifier) }
                span.small.quiet {
                    (event.meter) ", used until " (instant(&rfc3339(event.timestamp)))
                    ", sealed " (instant(&event.sealed_at))
                }
            }
            td { @if let Some(name) = &event.customer {
                (frame::to_customer(name))
            } @else { "–" } }
            td.num { (number(event.value)) }
            td {
                (state(&event.state))
                @if let Some(node) = &event.node { span.small.quiet { "on " (node) } }
                @if let Some(next) = &event.next_try_at { span.small.quiet { "next try " (instant(next)) } }
            }
            td.num { (event.tries) }
            td { (event.reason.as_deref().unwrap_or("–")) }
            td { @if event.state == "dead" {
                form method="post" action={ (PATH) "/retry" } {
                    (operator.token())
                    input type="hidden" name="identifier" value=(event.identifier);
                    button.small type="submit" { "Retry" span.off { " " (event.identifier) } }
                }
            } }
        } }
    };
    table("Meter events that Stripe has not accepted", &head, &rows)
}

/// Answers at once with what was sent: it may be a while, and says more than a word.
pub async fn flush(State(dashboard): State<Dashboard>, sent: Sent) -> Response {
    let done: Result<Flushed, Problem> =
        dashboard.api.act(Method::POST, "/admin/outbox/flush", None, None).await;
    let asked = Asked::default();
    match done {
        Ok(Flushed { sealed, sent: taken, pending, dead }) => {
            let text =
                format!("{sealed} sealed, {taken} accepted by Stripe; {pending} wait and {dead} are dead.");
            shown(&dashboard.api, &sent.operator, &asked, &note("good", &text)).await
        }
        Err(problem) => {
            let page = shown(&dashboard.api, &sent.operator, &asked, &frame::wrong(&problem)).await;
            with_status(page, &problem)
        }
    }
}

pub async fn retry(State(dashboard): State<Dashboard>, sent: Sent) -> Response {
    let done = match sent.named("identifier") {
        Err(problem) => Err(problem),
        Ok(identifier) => {
            let path = format!("/admin/outbox/{}/retry", encoded(identifier));
            dashboard.api.act::<Value>(Method::POST, &path, None, None).await
        }
    };
    match done {
        Ok(_) => frame::done(PATH, &[], "retry"),
        Err(problem) => {
            let top = frame::wrong(&problem);
            with_status(shown(&dashboard.api, &sent.operator, &Asked::default(), &top).await, &problem)
        }
    }
}
