//! Coming and going: a link becomes a session, a cookie says whose it is.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::Usage;
use crate::billing::Visitor;
use crate::clock;
use crate::pages::parts::session::{Session, SessionKey};
use crate::problem::{Code, Problem};

pub(super) const COOKIE: &str = "tollgate_usage";
/// What the session is for: another one's cookie opens nothing here.
const PURPOSE: &str = "usage";
/// How long it lasts.
const SESSION_SECONDS: i64 = 3_600;

/// Whoever has a session, and the key that it was made with.
pub(super) struct Visit<'a> {
    pub key: &'a SessionKey,
    pub session: Session,
    pub visitor: Visitor,
}

#[derive(Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    link: String,
}

/// `GET /open?link=…`: uses the link up, and leads to the page by an address without it.
pub(super) async fn open(
    State(usage): State<Arc<Usage>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let now = clock::now().seconds();
    let Query(asked) = asked.unwrap_or_default();
    let visitor = match usage.settings.links.open(&asked.link, now).await {
        Ok(visitor) => visitor,
        Err(error) => return usage.problem("This link does not open the page", &error.problem()),
    };
    let Some(key) = usage.settings.keys.first() else { return usage.stranger() };
    let (_, value) = key.make(PURPOSE, &written(&visitor), now + SESSION_SECONDS);
    with_cookie(usage.back(""), usage.cookie().set(&value, SESSION_SECONDS))
}

/// Who a session is of: the customer and, behind a line's end, where their app is. A name has no line's end in it.
fn written(visitor: &Visitor) -> String {
    format!("{}\n{}", visitor.customer, visitor.return_url.as_deref().unwrap_or_default())
}

fn read(who: &str) -> Option<Visitor> {
    let (customer, return_url) = who.split_once('\n')?;
    let return_url = (!return_url.is_empty()).then(|| return_url.to_owned());
    Some(Visitor { customer: customer.to_owned(), return_url })
}

impl Usage {
    /// The session that a request comes with.
    pub(super) fn visit(&self, headers: &HeaderMap, now: i64) -> Option<Visit<'_>> {
        self.settings.keys.iter().find_map(|key| {
            let session = key.of_request(headers, COOKIE, PURPOSE, now)?;
            let visitor = read(&session.who)?;
            Some(Visit { key, session, visitor })
        })
    }

    /// For whoever has no session, or whose session has ended.
    pub(super) fn stranger(&self) -> Response {
        let detail = "open this page from your app: its link signs you in for an hour";
        self.problem("Usage and billing", &Problem::new(Code::TokenMissing, detail))
    }

    /// To the page, so that reloading it repeats nothing.
    pub(super) fn back(&self, query: &str) -> Response {
        Redirect::to(&format!("{}{query}", self.base)).into_response()
    }

    /// Ends the session in this browser. The way to the app is a link: a redirect would be held against the policy of
    /// the page that the form is on.
    pub(super) fn leave(&self, visitor: &Visitor) -> Response {
        let content = html! {
            h1 { "Signed out" }
            p { "To come back, open this page from your app." }
            @if let Some(app) = self.app_of(visitor) { p { a.button.main href=(app) { "Back to the app" } } }
        };
        with_cookie(self.plain("Signed out", &content), self.cookie().clear())
    }

    pub(super) fn app_of<'a>(&'a self, visitor: &'a Visitor) -> Option<&'a str> {
        visitor.return_url.as_deref().or(self.settings.app_url.as_deref())
    }
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_says_whose_it_is_and_where_they_came_from() {
        for return_url in [None, Some("https://app.example/?a=b".to_owned())] {
            let visitor = Visitor { customer: "acme".to_owned(), return_url };
            assert_eq!(read(&written(&visitor)), Some(visitor));
        }
        assert_eq!(read("acme"), None);
    }
}
