//! A customer of the API, who notes what every answer says it cost.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use jsonwebtoken::Algorithm;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tollgate::auth::sign_hs;

use super::books::{Seen, parse_cost};
use super::config::{SECRET, cost_of};
use super::stripe::unix_now;
use super::{PATIENCE, until};

/// One customer with a token.
#[derive(Clone)]
pub struct Customer {
    pub name: String,
    /// Empty: they show nothing.
    pub token: String,
    base: String,
    http: reqwest::Client,
    seen: Arc<Seen>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What was asked did not get its whole answer: the gateway was killed, or the upstream died.
#[derive(Debug)]
pub struct Lost;

impl Customer {
    /// One who asks at a base URL.
    pub fn new(
        name: &str,
        stripe_customer: Option<&str>,
        base: &str,
        http: reqwest::Client,
        seen: Arc<Seen>,
    ) -> Self {
        let token = token(&json!({
            "sub": name,
            "exp": unix_now() + 3_600,
            "stripe_customer_id": stripe_customer,
        }));
        Self { name: name.to_owned(), token, base: base.to_owned(), http, seen }
    }

    /// The same customer, who shows something else.
    pub fn showing(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
    }

    /// The same customer, who shows nothing.
    pub fn showing_nothing(self) -> Self {
        self.showing("")
    }

    /// GETs a path; there must be an answer.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, |request| request).await
    }

    /// Asks with whatever else the request should carry; there must be an answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Reply {
        let answer = self.try_ask(method, path, with).await;
        answer.unwrap_or_else(|Lost| panic!("{path} got no whole answer"))
    }

    /// GETs a path, and notes the doubt when the answer is not whole.
    pub async fn try_get(&self, path: &str) -> Result<Reply, Lost> {
        self.try_ask(Method::GET, path, |request| request).await
    }

    /// Asks, and notes the doubt when the answer is not whole.
    pub async fn try_ask(
        &self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Reply, Lost> {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = if self.token.is_empty() { request } else { request.bearer_auth(&self.token) };
        let answer = match with(request).send().await {
            Ok(answer) => answer,
            Err(error) => {
                if !error.is_connect() {
                    self.seen.in_doubt(&self.name, cost_of(path));
                }
                return Err(Lost);
            }
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let cost = headers.get("x-usage-cost").map(|cost| cost.to_str().expect("text").to_owned());
        if let Some(cost) = &cost {
            self.seen.charged(&self.name, cost);
        }
        if let Ok(body) = answer.bytes().await {
            return Ok(Reply { status, headers, body });
        }
        if let Some(cost) = &cost {
            self.seen.broke_off(&self.name, cost);
        }
        Err(Lost)
    }

    /// The books know from now on what an exchange truly cost whose answer said only what was held: `api_calls=2`.
    pub fn owes(&self, cost: &str) {
        self.seen.charged(&self.name, cost);
    }

    /// `/billing/status`.
    pub async fn status(&self) -> Value {
        let reply = self.get("/billing/status").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Units that `/billing/status` shows as used.
    pub async fn used(&self) -> u64 {
        self.status().await["usage"]["api_calls"]["current"].as_u64().expect("units")
    }

    /// Waits until `/billing/status` shows so many units as used.
    pub async fn until_used(&self, units: u64) {
        let what = format!("{} has used {units}", self.name);
        until(&what, PATIENCE, async || (self.used().await == units).then_some(())).await;
    }

    /// Waits until `/billing/status` says `value` under `key`.
    pub async fn until_status(&self, key: &str, value: &str) {
        until(&format!("{} has {key} {value}", self.name), PATIENCE, async || {
            (self.status().await[key] == value).then_some(())
        })
        .await;
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The units that this answer says were charged.
    pub fn charged(&self) -> u64 {
        let cost = self.header("x-usage-cost").unwrap_or_default();
        parse_cost(cost).iter().map(|(_, units)| units).sum()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// A problem's code.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        self.json()["code"].as_str().expect("a code").to_owned()
    }

    /// Status and code of a refusal, which is never charged.
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.charged(), 0, "a refusal was charged");
        (self.status, self.code())
    }
}

/// A token over these claims, signed as the issuer of the tests does.
pub fn token(claims: &Value) -> String {
    sign_hs(Algorithm::HS256, SECRET.as_bytes(), claims).expect("HS256 signs")
}
