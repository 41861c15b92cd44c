//! A local issuer: an HTTP server with a JWKS that tests can change, break and count.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Long enough for a busy machine; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Issuer {
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    answer: Mutex<(StatusCode, String)>,
    fetches: AtomicUsize,
    /// Answers wait until it is true.
    answering: watch::Sender<bool>,
}

impl Issuer {
    /// An issuer that answers with these keys.
    pub async fn with_keys(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            answer: Mutex::new((StatusCode::OK, document(keys))),
            fetches: AtomicUsize::new(0),
            answering: watch::Sender::new(true),
        });
        let routes = Router::new()
            .route("/jwks.json", get(answer))
            .route("/moved.json", get(moved))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, inner }
    }

    /// Lets fetches arrive without an answer, until [`release`](Self::release).
    pub fn hold_answers(&self) {
        self.inner.answering.send_replace(false);
    }

    pub fn release(&self) {
        self.inner.answering.send_replace(true);
    }

    pub fn publish(&self, keys: &[Value]) {
        self.answer(StatusCode::OK, document(keys));
    }

    pub fn answer(&self, status: StatusCode, body: String) {
        *self.inner.answer.lock().unwrap() = (status, body);
    }

    pub fn fetches(&self) -> usize {
        self.inner.fetches.load(Ordering::SeqCst)
    }

    /// Waits until this many fetches more have begun.
    pub async fn more_fetches(&self, count: usize) {
        let goal = self.fetches() + count;
        eventually(async || self.fetches() >= goal).await;
    }
}

async fn answer(State(issuer): State<Arc<Inner>>) -> Response {
    issuer.fetches.fetch_add(1, Ordering::SeqCst);
    let mut answering = issuer.answering.subscribe();
    answering.wait_for(|answering| *answering).await.unwrap();
    let (status, body) = issuer.answer.lock().unwrap().clone();
    (status, [(header::LOCATION, "/moved.json")], body).into_response()
}

/// Where a redirect leads: to the same body, as if all were well.
async fn moved(State(issuer): State<Arc<Inner>>) -> String {
    issuer.answer.lock().unwrap().1.clone()
}

pub fn document(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Asks again and again until `condition` holds.
pub async fn eventually<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, asking).await;
    held.expect("the condition holds in time");
}
