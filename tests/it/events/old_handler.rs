//! The handler that was there before: keeps what it is handed, and refuses it on request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

#[derive(Default)]
struct Kept {
    /// Signature and body.
    received: Vec<(String, Bytes)>,
    /// What the next ones are answered.
    answers: VecDeque<StatusCode>,
}

pub struct OldHandler {
    pub url: String,
    kept: Arc<Mutex<Kept>>,
}

impl OldHandler {
    /// Answers the first ones with these statuses, all others with 200.
    pub async fn start(answers: &[StatusCode]) -> Self {
        let kept = Kept { answers: answers.iter().copied().collect(), ..Kept::default() };
        let kept = Arc::new(Mutex::new(kept));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/old", listener.local_addr().expect("a bound port"));
        let router = Router::new().route("/old", post(receive)).with_state(kept.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, kept }
    }

    /// Signature and body of everything that came.
    pub fn received(&self) -> Vec<(String, Bytes)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).received.clone()
    }
}

async fn receive(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.received.push((signature.unwrap_or_default().to_owned(), body));
    kept.answers.pop_front().unwrap_or(StatusCode::OK)
}
