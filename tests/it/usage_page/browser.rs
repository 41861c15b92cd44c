//! A browser as far as the page needs one: it keeps cookies, follows nothing by itself, and presses buttons.

use std::net::SocketAddr;
use std::sync::Mutex;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};

use crate::harness::{Reply, send};

pub struct Browser {
    http: Client,
    base: String,
    /// As `Cookie` shows it.
    cookie: Mutex<Option<String>>,
}

/// A form as it stands on a page.
#[derive(Clone, Debug)]
pub struct Form {
    pub action: String,
    pub fields: Vec<(String, String)>,
}

impl Browser {
    pub fn new(gateway: SocketAddr) -> Self {
        let http = Client::builder().redirect(Policy::none()).no_proxy().build().expect("a client");
        Self { http, base: format!("http://{gateway}"), cookie: Mutex::new(None) }
    }

    /// Opens a link; it must let in, and its cookie is kept.
    pub async fn enter(&self, link: &str) {
        let reply = self.follow(link).await;
        assert_eq!((reply.status, reply.header("location")), (303, Some("/billing")), "{}", reply.text());
        let cookie = reply.header("set-cookie").expect("a session");
        let (value, rest) = cookie.split_once(';').expect("attributes");
        assert_eq!(rest, " Path=/billing; Max-Age=3600; HttpOnly; SameSite=Lax", "it is plain http here");
        self.show(value);
    }

    /// Asks for an absolute address without a session of its own.
    pub async fn follow(&self, link: &str) -> Reply {
        let url = Url::parse(link).expect("an address");
        send(self.http.get(url).header("accept", "text/html")).await
    }

    /// Shows another cookie from now on.
    pub fn show(&self, cookie: &str) {
        *self.cookie.lock().expect("not poisoned") = Some(cookie.to_owned());
    }

    pub fn cookie(&self) -> String {
        self.cookie.lock().expect("not poisoned").clone().expect("a session")
    }

    fn with_cookie(&self, request: RequestBuilder) -> RequestBuilder {
        self.cookie
            .lock()
            .expect("not poisoned")
            .iter()
            .fold(request, |request, cookie| request.header("cookie", cookie.as_bytes()))
    }

    pub async fn get(&self, path: &str) -> Reply {
        let request = self.http.get(format!("{}{path}", self.base)).header("accept", "text/html,*/*;q=0.8");
        send(self.with_cookie(request)).await
    }

    /// The page, which must be there.
    pub async fn page(&self) -> String {
        let reply = self.get("/billing").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        reply.text()
    }

    /// Sends a form as its page would.
    pub async fn press(&self, form: &Form) -> Reply {
        self.press_with(form, |request| {
            request.header("sec-fetch-site", "same-origin").header("origin", "null")
        })
        .await
    }

    pub async fn press_with(
        &self,
        form: &Form,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Reply {
        let request = self.http.post(format!("{}{}", self.base, form.action));
        let request =
            request.header("content-type", "application/x-www-form-urlencoded").body(form.encoded());
        send(with(self.with_cookie(request))).await
    }
}

impl Form {
    /// The form with a button of that label.
    pub fn on(page: &str, button: &str) -> Self {
        let label = format!(">{button}</button>");
        let forms = page.split("<form ").skip(1).filter_map(|form| form.split_once("</form>"));
        let form = forms.map(|(form, _)| form).find(|form| form.contains(&label));
        let form = form.unwrap_or_else(|| panic!("no button \"{button}\" on {page}"));
        let fields = form.split("<input ").skip(1);
        let fields = fields.map(|input| (attribute(input, "name"), attribute(input, "value")));
        assert_eq!(attribute(form, "method"), "post");
        Self { action: attribute(form, "action"), fields: fields.collect() }
    }

    fn encoded(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = self.fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).expect("a field")
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let (_, value) = tag.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
    let (value, _) = value.split_once('"').expect("a value ends");
    value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
