//! One that is told what happens: it believes nothing but what is signed with its secret, and misbehaves on request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{PATIENCE, lock, signature, unix_now, until};

const SECRET: &str = "only-for-tests-a-targets-secret";

/// How a listener answers.
#[derive(Clone, Debug)]
pub enum Turn {
    Status(u16),
    Redirect(String),
}

/// A message that was signed as it should be.
#[derive(Clone, Debug)]
pub struct Message {
    pub body: Bytes,
    pub json: Value,
}

impl Message {
    pub fn kind(&self) -> &str {
        self.json["type"].as_str().expect("a type")
    }
}

#[derive(Default)]
struct Heard {
    messages: Mutex<Vec<Message>>,
    /// Of what came and was not signed as it should be.
    wrong: Mutex<Vec<String>>,
    turns: Mutex<VecDeque<Turn>>,
    /// Nothing is answered.
    silent: AtomicBool,
}

/// A target, until it is dropped.
pub struct Listener {
    pub url: String,
    heard: Arc<Heard>,
    server: JoinHandle<()>,
}

impl Listener {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/told", listener.local_addr().expect("a bound port"));
        let heard = Arc::new(Heard::default());
        let router = Router::new().fallback(hear).with_state(heard.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, heard, server }
    }

    /// Its part of a gateway's configuration: TOML.
    pub fn wants(&self, name: &str, types: &[&str]) -> String {
        let url = &self.url;
        format!(
            "[[webhooks]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\ntypes = {types:?}\n"
        )
    }

    /// The next messages are answered like this, one each; those after them are taken.
    pub fn answers(&self, turns: impl IntoIterator<Item = Turn>) {
        lock(&self.heard.turns).extend(turns);
    }

    /// Whether it answers nothing from now on, and leaves its callers waiting.
    pub fn be_silent(&self, silent: bool) {
        self.heard.silent.store(silent, Ordering::Relaxed);
    }

    /// All so far, however they were answered.
    pub fn messages(&self) -> Vec<Message> {
        let wrong = lock(&self.heard.wrong);
        assert!(wrong.is_empty(), "not signed as it should be: {wrong:#?}");
        lock(&self.heard.messages).clone()
    }

    /// Of one type, the first first.
    pub fn of(&self, kind: &str) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.kind() == kind).collect()
    }

    /// Waits until so many of a type have come; fails where there are more.
    pub async fn hears(&self, kind: &str, number: usize) -> Vec<Message> {
        let heard = until(&format!("{number} of {kind} come"), PATIENCE, async || {
            Some(self.of(kind)).filter(|messages| messages.len() >= number)
        })
        .await;
        assert_eq!(heard.len(), number, "{heard:#?}");
        heard
    }

    /// Waits until one of a type has come; answers its data.
    pub async fn data_of(&self, kind: &str) -> Value {
        self.hears(kind, 1).await[0].json["data"].clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn hear(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: Bytes) -> Response {
    let signature =
        headers.get("tollgate-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Err(why) = check(signature, &headers, &body) {
        lock(&heard.wrong).push(format!("{why}: {headers:?} {body:?}"));
        return StatusCode::BAD_REQUEST.into_response();
    }
    let json = serde_json::from_slice(&body).expect("JSON");
    lock(&heard.messages).push(Message { body, json });
    if heard.silent.load(Ordering::Relaxed) {
        return std::future::pending().await;
    }
    let turn = lock(&heard.turns).pop_front();
    match turn {
        None => StatusCode::OK.into_response(),
        Some(Turn::Status(status)) => StatusCode::from_u16(status).expect("a status").into_response(),
        Some(Turn::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    }
}

/// As Stripe's SDKs check theirs.
fn check(header: &str, headers: &HeaderMap, body: &Bytes) -> Result<(), &'static str> {
    let time = header.strip_prefix("t=").and_then(|rest| rest.split_once(',')).map(|(time, _)| time);
    let at: i64 = time.and_then(|time| time.parse().ok()).ok_or("no time")?;
    if header != signature(SECRET, at, body) {
        return Err("another signature");
    }
    if unix_now().abs_diff(at) > 300 {
        return Err("an old signature");
    }
    match headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes) {
        Some(b"application/json") => Ok(()),
        _ => Err("no JSON"),
    }
}
