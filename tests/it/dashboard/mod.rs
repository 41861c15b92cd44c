//! The operator's pages, as a browser without a script asks for them.

mod acts;
mod door;
mod pages;

use http::{HeaderMap, HeaderName, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::RequestBuilder;
use reqwest::redirect::Policy;

use crate::harness::{ADMIN_TOKEN, Reply, World};

/// A browser: it follows no redirect by itself, and holds at most one cookie.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookie: Option<String>,
}

impl Browser {
    fn new(world: &World) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().expect("a client");
        Self { http, base: format!("http://{}", world.gateway.admin), cookie: None }
    }

    async fn signed_in(world: &World) -> Self {
        let mut browser = Self::new(world);
        let reply = browser.sign_in(ADMIN_TOKEN).await;
        assert_eq!((reply.status, location(&reply)), (303, "/dashboard"), "{}", reply.text());
        browser
    }

    /// Takes the cookie, if there is one.
    async fn sign_in(&mut self, token: &str) -> Reply {
        let reply = self.post("/dashboard/sign-in", &[("token", token)]).await;
        self.cookie = reply.header("set-cookie").and_then(|set| set.split(';').next()).map(str::to_owned);
        reply
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    /// A page that must be there.
    async fn page(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(form(self.http.post(format!("{}{path}", self.base)), fields)).await
    }

    /// Sends a form of a page with its token.
    async fn submit(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = csrf(&self.page(page).await);
        let fields: Vec<_> = fields.iter().copied().chain([("csrf", token.as_str())]).collect();
        self.post(path, &fields).await
    }

    async fn send(&self, request: RequestBuilder) -> Reply {
        let cookie = self.cookie.iter().cloned();
        crate::harness::send(cookie.fold(request, |request, cookie| request.header("cookie", cookie))).await
    }
}

/// A form as browsers send it.
fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"))
}

/// The token of a page's forms.
fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form with a token");
    rest.split('"').next().expect("a value").to_owned()
}

fn location(reply: &Reply) -> &str {
    reply.header("location").unwrap_or_default()
}

/// Asks the admin port for nobody, with a header.
async fn asking(world: &World, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Reply {
    let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().expect("a client");
    let headers =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")));
    let request = http.request(method, format!("http://{}{path}", world.gateway.admin));
    crate::harness::send(request.headers(headers.into_iter().collect::<HeaderMap>())).await
}
