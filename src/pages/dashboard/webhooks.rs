//! `/dashboard/webhooks`: what Stripe has told, what it changed, and another go.

use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Dashboard;
use super::answers::Webhook;
use super::api::{Api, encoded, with_query};
use super::door::{Operator, Sent};
use super::frame::{self, Question, choice, field, state, table};
use super::listing::Listing;
use crate::pages::parts::layout::with_status;
use crate::pages::parts::words::instant;
use crate::problem::Problem;

const PATH: &str = "/dashboard/webhooks";
const ONE: &str = "/dashboard/webhook";
const ROWS: &str = "50";
const STATES: [&str; 4] = ["pending", "done", "ignored", "failed"];

#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    status: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    cursor: String,
}

pub async fn list(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(asked): Question<Asked>,
) -> Response {
    let content = listed(&dashboard.api, &asked).await;
    frame::page(&operator, "Webhooks", "Webhooks", &content)
}

async fn listed(api: &Api, Asked { status, kind, cursor }: &Asked) -> Markup {
    let filter = &[("status", status.as_str()), ("type", kind.trim())];
    let listing = Listing { page: PATH, endpoint: "/admin/webhooks", filter, cursor, limit: ROWS };
    let panel = listing.panel(api, "No event is found.", rows).await;
    html! {
        h1 { "Webhooks" }
        p.lead {
            "Events that Stripe has sent, the latest first. Each is stored before it is answered, and applied by "
            "re-reading what it is about."
        }
        form.panel.row method="get" action=(PATH) {
            (choice("status", "Status", Some("any"), &STATES.map(str::to_owned), status))
            (field("type", "Type", kind, "customer.subscription.updated"))
            button.main type="submit" { "Filter" }
        }
        (panel)
    }
}

fn rows(events: &[Webhook]) -> Markup {
    let head = [
        ("Received", false),
        ("Type", false),
        ("Status", false),
        ("Tries", true),
        ("What it changed", false),
    ];
    let rows = html! {
        @for event in events { tr {
            td.nowrap { (instant(&event.received_at)) }
            th scope="row" {
                a href=(with_query(ONE, &[("id", &event.id)])) { (event.kind) }
                span.small.quiet.code { (event.id) }
            }
            td { (state(&event.status)) }
            td.num { (event.tries) }
            td { (changed(event)) }
        } }
    };
    table("Events, the latest first", &head, &rows)
}

fn changed(event: &Webhook) -> Markup {
    html! {
        @if let Some(reason) = &event.reason { div { (reason) } }
        @for effect in event.effects.iter().flatten() { div { (effect) } }
        @if event.reason.is_none() && event.effects.iter().flatten().next().is_none() { "–" }
    }
}

#[derive(Deserialize)]
pub struct Named {
    id: String,
    said: Option<String>,
}

pub async fn one(
    State(dashboard): State<Dashboard>,
    operator: Operator,
    Question(Named { id, said }): Question<Named>,
) -> Response {
    shown(&dashboard.api, &operator, &id, &frame::said(said.as_deref())).await
}

async fn shown(api: &Api, operator: &Operator, id: &str, top: &Markup) -> Response {
    let found: Result<Webhook, Problem> = api.get(&format!("/admin/webhooks/{}", encoded(id))).await;
    let content = found.map(|event| event_page(operator, &event, top));
    frame::page_or_problem(operator, "Webhook", "Webhooks", content)
}

fn event_page(operator: &Operator, event: &Webhook, top: &Markup) -> Markup {
    let or_none = |at: &Option<String>| at.as_deref().map_or_else(|| "–".to_owned(), instant);
    let payload = serde_json::to_string_pretty(&event.payload).unwrap_or_default();
    html! {
        div.head {
            div { h1 { (event.kind) } p.lead { (state(&event.status)) " " span.code { (event.id) } } }
            form.acts method="post" action={ (ONE) "/replay" } {
                (operator.token())
                input type="hidden" name="id" value=(event.id);
                button.main type="submit" { "Apply again" }
            }
        }
        (top)
        section.panel {
            dl.facts {
                dt { "Created at Stripe" } dd { (instant(&event.created)) }
                dt { "Received" } dd { (instant(&event.received_at)) }
                dt { "Settled" } dd { (or_none(&event.settled_at)) }
                dt { "Tries" } dd { (event.tries) }
                @if event.next_try_at.is_some() { dt { "Next try" } dd { (or_none(&event.next_try_at)) } }
                @if event.replayed_at.is_some() { dt { "Applied again" } dd { (or_none(&event.replayed_at)) } }
                dt { "What it changed" } dd { (changed(event)) }
            }
        }
        section.panel {
            h2 { "Payload" }
            @if event.payload == Value::Null {
                p.empty {
                    "Not kept: payloads are sealed at rest, and kept where " code { "server.encryption_key" } " is set."
                }
            } @else { pre tabindex="0" role="group" aria-label="Payload" { (payload) } }
        }
    }
}

pub async fn replay(State(dashboard): State<Dashboard>, sent: Sent) -> Response {
    let id = match sent.named("id") {
        Ok(id) => id,
        Err(problem) => return frame::problem(&sent.operator, "This was not done", "Webhooks", &problem),
    };
    let path = format!("/admin/webhooks/{}/replay", encoded(id));
    match dashboard.api.act::<Value>(Method::POST, &path, None, None).await {
        Ok(_) => frame::done(ONE, &[("id", id)], "replay"),
        Err(problem) => {
            let page = shown(&dashboard.api, &sent.operator, id, &frame::wrong(&problem)).await;
            with_status(page, &problem)
        }
    }
}
