//! The usage page: what a customer sees at `/billing` in a browser, and the few things that they can do there.
//!
//! # What it promises
//!
//! - It is a client of `/billing/*` that calls as the session's customer and as nobody else: it shows and does nothing
//!   that those endpoints do not, and their limits hold for it.
//! - Who comes by a link ([`crate::billing::Links`]) gets a session of an hour. Its cookie opens these pages alone: the
//!   endpoints take tokens.
//! - An act is a form of this page, bound to the session, and is carried out once however often it is sent.
//! - Everybody who asks for anything but a page is answered by the endpoints, as if there were no pages.

mod acts;
mod answers;
mod client;
mod history;
mod invoices;
mod meters;
mod overview;
mod plans;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use tower::ServiceExt;

use super::parts::layout::{self, Shell};
use super::parts::session::{Cookie, SessionKey};
use super::parts::{assets, headers};
use crate::billing::Links;
use crate::config::Proration;
use crate::problem::{Code, Problem};

use client::Client;

/// What the pages are configured with.
pub struct Settings {
    /// What the API is called.
    pub title: String,
    /// Where the customer's app is.
    pub app_url: Option<String>,
    /// Where clients reach the gateway, without a trailing slash.
    pub public_url: Option<String>,
    /// Of all pages and of the endpoints, as the gateway sees it.
    pub prefix: String,
    /// Where prices are told.
    pub pricing: String,
    /// The first makes sessions, all open them; none is empty.
    pub keys: Vec<SessionKey>,
    pub links: Arc<Links>,
    /// What a change of the plan in mid-period does.
    pub proration: Proration,
}

/// All that pages reach.
struct Usage {
    settings: Settings,
    /// The path of all pages, as browsers see it.
    base: String,
    client: Client,
}

/// The pages, and behind them the endpoints that they are clients of.
pub fn around(api: &Router, settings: Settings) -> Router {
    let base = format!("{}{}", path_of(settings.public_url.as_deref()), settings.prefix);
    let client = Client::new(api.clone(), &settings);
    let prefix = settings.prefix.clone();
    let usage = Arc::new(Usage { settings, base, client });
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/open", get(visit::open))
        .route("/page/{act}", post(acts::act))
        .with_state(usage.clone())
        .merge(assets::routes())
        .fallback(|| async {
            layout::bare_problem(&Problem::new(Code::NotFound, "there is nothing under this path"))
        })
        .layer(middleware::from_fn(headers::secure));
    let doors = Doors { prefix: prefix.clone().into(), pages: Router::new().nest(&prefix, pages) };
    api.clone().layer(middleware::from_fn_with_state(doors, serve))
}

/// What a public URL has behind its host: a proxy before the gateway takes it away.
fn path_of(public_url: Option<&str>) -> &str {
    let rest = public_url.and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// Where pages part from endpoints.
#[derive(Clone)]
struct Doors {
    prefix: Arc<str>,
    pages: Router,
}

async fn serve(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    if !doors.lead_to_a_page(&request) {
        return next.run(request).await;
    }
    let Ok(response) = doors.pages.oneshot(request).await;
    response
}

impl Doors {
    fn lead_to_a_page(&self, request: &Request) -> bool {
        let Some(rest) = request.uri().path().strip_prefix(&*self.prefix) else { return false };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match rest {
            "" => is_read && takes_html(request.headers()),
            // Looking at where a link leads does not use it up.
            "/open" => request.method() == Method::GET,
            _ if rest.starts_with("/page/") => request.method() == Method::POST,
            _ => rest.starts_with("/static/") && is_read,
        }
    }
}

fn takes_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|line| line.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html")))
}

impl Usage {
    fn shell<'a>(&'a self, title: &'a str, class: &'a str) -> Shell<'a> {
        Shell { base: &self.base, title, product: &self.settings.title, before: html! {}, class }
    }

    /// The address of the page, for those who send customers back to it.
    fn address(&self) -> String {
        let prefix = &self.settings.prefix;
        self.settings.public_url.as_ref().map_or_else(|| self.base.clone(), |url| format!("{url}{prefix}"))
    }

    fn cookie(&self) -> Cookie<'_> {
        let secure = self.settings.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
        // They come from their app, and from the payment provider's pages: cookies of strict pages would stay behind.
        Cookie { name: visit::COOKIE, path: &self.base, same_site: "Lax", secure }
    }

    /// What went wrong, and nothing else.
    fn problem(&self, title: &str, problem: &Problem) -> Response {
        layout::problem(&self.shell(title, "plain"), problem)
    }

    /// A page of one thing to do.
    fn plain(&self, title: &str, content: &Markup) -> Response {
        layout::page(&self.shell(title, "plain"), content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_may_have_a_path() {
        assert_eq!(path_of(Some("https://example.com/api/v1")), "/api/v1");
        assert_eq!(path_of(Some("https://example.com")), "");
        assert_eq!(path_of(None), "");
    }

    #[test]
    fn a_browser_is_known_by_what_it_takes() {
        let takes = |accept: &'static str| {
            takes_html(&HeaderMap::from_iter([(header::ACCEPT, header::HeaderValue::from_static(accept))]))
        };
        assert!(
            takes("text/html,application/xhtml+xml,*/*;q=0.8") && takes("application/json, Text/HTML;q=0.9")
        );
        assert!(!takes("*/*") && !takes("application/json") && !takes("text/htmlx"));
    }
}
