//! The page itself.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::acts::{Done, form};
use super::answers::{Invoice, List, Pricing, Row, Status};
use super::visit::Visit;
use super::{Usage, history, invoices, meters, plans};
use crate::clock;
use crate::pages::parts::layout::{note, page, sentence, with_status};
use crate::pages::parts::words::{instant, money, number, words};
use crate::problem::{Code, Problem};

const TITLE: &str = "Usage and billing";
const INVOICES_WITHIN: Duration = Duration::from_secs(3);

#[derive(Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    done: String,
}

/// Everything that is shown.
pub(super) struct Shown {
    pub status: Status,
    pub pricing: Pricing,
    pub days: Result<List<Row>, Problem>,
    pub routes: Result<List<Row>, Problem>,
    pub invoices: Result<List<Invoice>, Problem>,
}

/// `GET /`.
pub(super) async fn show(
    State(usage): State<Arc<Usage>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Some(visit) = usage.visit(&headers, clock::now().seconds()) else { return usage.stranger() };
    let Query(asked) = asked.unwrap_or_default();
    let done = Done::parse(&asked.done);
    if done == Some(Done::Paid) {
        // They may be back before the news of what they paid. What fails here comes with the news.
        drop(usage.client.post::<Value>(&visit.visitor.customer, "/sync", None, &json!({})).await);
    }
    let said = done.map(|done| note("good", done.sentence()));
    usage.overview(&visit, said).await
}

/// The page, with what went wrong on top, under its status.
pub(super) async fn with_problem(usage: &Usage, visit: &Visit<'_>, problem: &Problem) -> Response {
    let said = note("bad", &sentence(&problem.detail));
    with_status(usage.overview(visit, Some(said)).await, problem)
}

impl Usage {
    async fn overview(&self, visit: &Visit<'_>, said: Option<Markup>) -> Response {
        match self.read(&visit.visitor.customer).await {
            Ok(shown) => page(&self.shell(TITLE, "single"), &self.content(visit, &shown, said)),
            Err(problem) => self.problem(TITLE, &problem),
        }
    }

    /// What is needed must be there; of the rest the page says what is not.
    async fn read(&self, customer: &str) -> Result<Shown, Problem> {
        let client = &self.client;
        let (status, pricing, days, routes, invoices) = tokio::join!(
            client.get(customer, "/status"),
            client.pricing(),
            client.get(customer, "/usage?by=day"),
            client.get(customer, "/usage?by=route"),
            self.invoices(customer),
        );
        Ok(Shown { status: status?, pricing: pricing?, days, routes, invoices })
    }

    /// The page does not wait for a payment provider that is away.
    async fn invoices(&self, customer: &str) -> Result<List<Invoice>, Problem> {
        let invoices = self.client.get(customer, "/invoices?limit=12");
        let detail = "the payment provider does not answer now; invoices are shown when it does";
        let late = |_| Err(Problem::new(Code::StripeUnavailable, detail));
        tokio::time::timeout(INVOICES_WITHIN, invoices).await.unwrap_or_else(late)
    }

    fn content(&self, visit: &Visit<'_>, shown: &Shown, said: Option<Markup>) -> Markup {
        let status = &shown.status;
        html! {
            div.head {
                div {
                    h1 { (TITLE) }
                    p.lead { (self.settings.title) " · account " strong { (status.customer) } }
                }
                div.acts {
                    @if let Some(app) = self.app_of(&visit.visitor) {
                        a.button href=(app) { "Back to the app" }
                    }
                    (form(visit, &self.base, "leave", &[], &html! { button { "Sign out" } }))
                }
            }
            @if let Some(said) = said { (said) }
            @if let Some(warning) = warning(status) { (warning) }
            (tiles(status))
            (meters::panel(status))
            (history::panels(status, shown))
            (plans::panel(self, visit, shown))
            (invoices::panel(&shown.invoices))
            p.small.quiet { "All times are UTC." }
        }
    }
}

/// What the customer should know before anything else.
fn warning(status: &Status) -> Option<Markup> {
    let text = match (status.permissions.can_use, status.status.as_str()) {
        (true, "past_due") => "The last payment failed. Update the payment method to keep your plan.",
        (true, "incomplete") => "A payment is still to be confirmed. Finish it at the payment provider.",
        (true, _) => return None,
        (false, "past_due" | "unpaid") => {
            "Requests are refused: a payment is missing. Update the payment method to go on."
        }
        (false, "paused") => "Requests are refused: the subscription is paused. Resume it to go on.",
        (false, _) if status.tier.is_none() => "Requests are refused: there is no plan. Choose one below.",
        (false, _) => "Requests are refused: access is switched off. Ask whoever provides this API.",
    };
    Some(note("bad", text))
}

fn tiles(status: &Status) -> Markup {
    let overage = &status.overage;
    let amount = |amount: &str| money(amount, &overage.currency);
    let ends = status.expires_at.as_deref().filter(|_| status.cancel_at_period_end);
    html! {
        dl.tiles {
            div.tile {
                dt { "Plan" }
                dd { (status.tier.as_deref().unwrap_or("none")) }
                @if status.billed_tier != status.tier {
                    dd { "billed as " (status.billed_tier.as_deref().unwrap_or("none")) }
                }
                dd { span class={ "state " (mood(&status.status)) } { (words(&status.status)) } }
                @if let Some(ends) = ends { dd { "ends " (day(ends)) } }
            }
            div.tile {
                dt { "Period" }
                dd { (day(&status.period.start)) }
                dd { "to " (instant(&status.period.end)) }
            }
            div.tile {
                dt { "Overage so far" }
                dd { (amount(&overage.amount)) }
                @if let Some(cap) = &overage.cap { dd { "spend cap " (amount(cap)) } }
            }
            div.tile {
                dt { "Projected overage" }
                dd { (amount(&overage.projected_amount)) }
                dd { "at the period's end" }
            }
            div.tile {
                dt { "Credits" }
                dd { (number(i64::try_from(status.credits).unwrap_or(i64::MAX))) }
                dd { "units left" }
            }
        }
    }
}

fn day(instant: &str) -> &str {
    instant.get(..10).unwrap_or(instant)
}

fn mood(status: &str) -> &'static str {
    match status {
        "active" => "good",
        "trialing" => "info",
        "past_due" | "paused" | "incomplete" => "warn",
        "unpaid" => "bad",
        _ => "",
    }
}
