//! What stands around every page of the operator's.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::de::DeserializeOwned;

use super::api::with_query;
use super::door::Operator;
use crate::pages::parts::layout::{self, Link, Shell, nav, note, sentence, with_status};
use crate::pages::parts::words;
use crate::problem::{Code, Problem};

/// Where the pages are.
pub const BASE: &str = "/dashboard";
pub const SIGN_IN: &str = "/dashboard/sign-in";
const PRODUCT: &str = "Tollgate";

const PAGES: [(&str, &str); 7] = [
    ("/dashboard", "Overview"),
    ("/dashboard/customers", "Customers"),
    ("/dashboard/tiers", "Tiers and routes"),
    ("/dashboard/webhooks", "Webhooks"),
    ("/dashboard/outbox", "Outbox"),
    ("/dashboard/reconcile", "Reconcile"),
    ("/dashboard/audit", "Audit"),
];

/// What has been done, by the word that a redirect carries: no link can have these pages say anything else.
const SAID: [(&str, &str); 9] = [
    ("credits", "The credits have been changed."),
    ("override", "The override is in force."),
    ("override-end", "The override has been taken back."),
    ("block", "The customer is blocked: no request passes."),
    ("unblock", "The customer is no longer blocked."),
    ("sync", "The subscription has been read from Stripe."),
    ("cache", "What is known of this customer has been read again."),
    ("replay", "The event is being applied again."),
    ("retry", "The event is due again."),
];

/// A page. `here` is the name of the destination in the navigation that it belongs to.
pub fn page(operator: &Operator, title: &str, here: &str, content: &Markup) -> Response {
    let links = PAGES.map(|(href, name)| Link { href, name, here: name == here });
    let end = html! {
        form method="post" action="/dashboard/sign-out" {
            (operator.token())
            button.link type="submit" { "Sign out" }
        }
    };
    let before = nav(PRODUCT, BASE, &links, &end);
    layout::page(&Shell { base: BASE, title, product: PRODUCT, before, class: "" }, content)
}

/// A page, or why there is none.
pub fn page_or_problem(
    operator: &Operator,
    title: &str,
    here: &str,
    content: Result<Markup, Problem>,
) -> Response {
    match content {
        Ok(content) => page(operator, title, here, &content),
        Err(wrong) => problem(operator, title, here, &wrong),
    }
}

pub fn problem(operator: &Operator, title: &str, here: &str, problem: &Problem) -> Response {
    let content = html! { h1 { (title) } (wrong(problem)) };
    with_status(page(operator, title, here, &content), problem)
}

/// What went wrong, at the top of a page.
pub fn wrong(problem: &Problem) -> Markup {
    note("bad", &sentence(&problem.detail))
}

/// A page for somebody who has not been let in.
pub fn outside(title: &str, content: &Markup) -> Response {
    let content = html! {
        div.brand { span.mark aria-hidden="true" {} (PRODUCT) }
        (content)
    };
    let shell = Shell { base: BASE, title, product: PRODUCT, before: html! {}, class: "plain" };
    layout::page(&shell, &content)
}

/// Without an admin token nobody can be let in.
pub fn closed() -> Response {
    let detail = "no admin token is configured, so the dashboard is closed: set server.admin_token";
    let problem = Problem::new(Code::TokenMissing, detail);
    let content = html! { h1 { "The dashboard is closed" } (wrong(&problem)) };
    with_status(outside("Closed", &content), &problem)
}

/// What stands behind the `?` of a page.
pub struct Question<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Question<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked)).map_err(|_| {
            let problem = Problem::new(Code::BadRequest, "this address lacks something; come here by a link");
            let content =
                html! { h1 { "No such page" } (wrong(&problem)) p { a href=(BASE) { "To the overview" } } };
            with_status(outside("No such page", &content), &problem)
        })
    }
}

/// A path that is no page.
pub async fn unknown(operator: Operator) -> Response {
    let detail = "there is no such page; the navigation has them all";
    problem(&operator, "No such page", "", &Problem::new(Code::NotFound, detail))
}

/// Back to a page, which says what has been done.
pub fn done(path: &str, pairs: &[(&str, &str)], word: &str) -> Response {
    let pairs: Vec<_> = pairs.iter().copied().chain([("said", word)]).collect();
    Redirect::to(&with_query(path, &pairs)).into_response()
}

pub fn said(word: Option<&str>) -> Markup {
    let found = word.and_then(|word| SAID.iter().find(|(known, _)| *known == word));
    html! { @if let Some((_, text)) = found { (note("good", text)) } }
}

/// A link to a customer's page.
pub fn to_customer(name: &str) -> Markup {
    html! { a href=(with_query("/dashboard/customer", &[("name", name)])) { (name) } }
}

/// A state as a colour and a word. Words that are not known have no colour.
pub fn state(word: &str) -> Markup {
    let kind = match word {
        "active" | "trialing" | "done" | "ok" | "delivered" | "accepted" => "good",
        "past_due" | "pending" | "paused" | "incomplete" | "degraded" | "waiting" => "warn",
        "unpaid" | "failed" | "dead" | "blocked" | "down" => "bad",
        "override" => "info",
        _ => "",
    };
    html! { span class={ "state " (kind) } { (words::words(word)) } }
}

/// A table that scrolls by itself where it is too wide. The caption is read out, and seen where `visible`.
pub fn table(caption: &str, head: &[(&str, bool)], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(caption) {
            table {
                caption.off { (caption) }
                thead { tr {
                    @for (name, is_number) in head {
                        th scope="col" class=[is_number.then_some("num")] { (name) }
                    }
                } }
                tbody { (rows) }
            }
        }
    }
}

/// A choice of a form; the empty one is named by `any`.
pub fn choice(name: &str, label: &str, any: Option<&str>, words_of: &[String], chosen: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @if let Some(any) = any { option value="" selected[chosen.is_empty()] { (any) } }
                @for word in words_of { option value=(word) selected[word == chosen] { (words::words(word)) } }
            }
        }
    }
}

/// A field of one line.
pub fn field(name: &str, label: &str, value: &str, hint: &str) -> Markup {
    html! {
        div.field.grow {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(value) placeholder=(hint) autocomplete="off";
        }
    }
}
