//! What can be done on the page: each form is an order to the endpoints, under a key that the form brought along.

use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::Elsewhere;
use super::visit::Visit;
use super::{Usage, overview};
use crate::clock;
use crate::domain::origin::Origin;
use crate::pages::parts::forms;
use crate::problem::{Code, Problem};

/// Browsers follow it as they do a link. A redirect after a form's POST would be held against the policy's
/// `form-action`, which cannot name every page that a payment provider may have.
const REFRESH: HeaderName = HeaderName::from_static("refresh");

#[derive(Default, Deserialize)]
pub(super) struct Sent {
    csrf: Option<String>,
    key: Option<String>,
    tier: Option<String>,
    cycle: Option<String>,
    credits: Option<String>,
}

/// Where an act leads.
enum Next {
    /// A page of the payment provider.
    Elsewhere(String),
    /// Back to the page, which says what was done.
    Back(Done),
}

/// What was done, as the page's address names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Paid,
    Changed,
    Canceled,
    Resumed,
}

impl Done {
    const ALL: [Self; 4] = [Self::Paid, Self::Changed, Self::Canceled, Self::Resumed];

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|done| done.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Changed => "changed",
            Self::Canceled => "canceled",
            Self::Resumed => "resumed",
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Self::Paid => "Thank you. What you bought is here as soon as the payment is confirmed.",
            Self::Changed => "Your plan is changed.",
            Self::Canceled => "Your subscription is cancelled. It stays until the end of what is paid for.",
            Self::Resumed => "Your subscription goes on.",
        }
    }
}

/// `POST /page/{act}`.
pub(super) async fn act(
    State(usage): State<Arc<Usage>>,
    act: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    let Some(visit) = usage.visit(&headers, clock::now().seconds()) else { return usage.stranger() };
    let act = act.map_or_else(|_| String::new(), |Path(act)| act);
    let sent = sent.map_or_else(|_| Sent::default(), |Form(sent)| sent);
    let checked = forms::check(visit.key, &visit.session, &headers, sent.csrf.as_deref());
    if checked.is_ok() && act == "leave" {
        return usage.leave(&visit.visitor);
    }
    let done = match checked {
        Ok(()) => usage.carry_out(&visit, &act, &sent).await,
        Err(problem) => Err(problem),
    };
    match done {
        Ok(Next::Elsewhere(url)) => usage.send_on(&url),
        Ok(Next::Back(done)) => usage.back(&format!("?done={}", done.word())),
        Err(problem) => overview::with_problem(&usage, &visit, &problem).await,
    }
}

impl Usage {
    async fn carry_out(&self, visit: &Visit<'_>, act: &str, sent: &Sent) -> Result<Next, Problem> {
        let (page, tier, cycle) = (self.address(), &sent.tier, &sent.cycle);
        let (path, body) = match act {
            "checkout" => {
                let goods = match &sent.credits {
                    Some(pack) => json!({ "credits": pack }),
                    None => json!({ "tier": tier, "cycle": cycle }),
                };
                let urls = json!({ "success_url": format!("{page}?done=paid"), "cancel_url": page });
                ("/checkout", joined(goods, urls))
            }
            "portal" => ("/portal", json!({ "return_url": page })),
            "change" => ("/upgrade", json!({ "tier": tier, "cycle": cycle })),
            "cancel" => ("/cancel", json!({ "at_period_end": true })),
            "resume" => ("/resume", json!({})),
            _ => return Err(Problem::new(Code::NotFound, "this page can do no such thing")),
        };
        let (customer, key) = (&visit.visitor.customer, sent.key.as_deref());
        if matches!(act, "checkout" | "portal") {
            let elsewhere: Elsewhere = self.client.post(customer, path, key, &body).await?;
            return Ok(Next::Elsewhere(elsewhere.url));
        }
        self.client.post::<Value>(customer, path, key, &body).await?;
        Ok(Next::Back(match act {
            "cancel" => Done::Canceled,
            "resume" => Done::Resumed,
            _ => Done::Changed,
        }))
    }

    /// A page that leads on by itself, and has a link for browsers that do not follow.
    fn send_on(&self, url: &str) -> Response {
        let to = Origin::of(url).and_then(|_| HeaderValue::try_from(format!("0; url={url}")).ok());
        let Some(to) = to else {
            tracing::error!("the payment provider's page has no address that a browser could go to");
            let detail = "the payment provider's page cannot be opened now; try again";
            return self.problem("Usage and billing", &Problem::new(Code::UpstreamFailed, detail));
        };
        let content = html! {
            h1 { "One moment" }
            p { "This goes on at our payment provider." }
            p { a.button.main href=(url) rel="noreferrer" { "Continue" } }
        };
        let mut response = self.plain("One moment", &content);
        response.headers_mut().insert(REFRESH, to);
        response
    }
}

fn joined(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

/// A form with one button: whoever presses it twice orders once.
pub(super) fn form(
    visit: &Visit<'_>,
    base: &str,
    act: &str,
    fields: &[(&str, &str)],
    button: &Markup,
) -> Markup {
    html! {
        form method="post" action={ (base) "/page/" (act) } {
            (forms::token(visit.key, &visit.session))
            input type="hidden" name="key" value={ "page-" (uuid::Uuid::new_v4().simple()) };
            @for (name, value) in fields {
                input type="hidden" name=(name) value=(value);
            }
            (button)
        }
    }
}
