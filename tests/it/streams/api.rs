//! An API whose answers the test gives, piece by piece.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::harness::{PATIENCE, World};

pub struct Api {
    pub address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    server: JoinHandle<()>,
}

/// A request that waits for its answer.
pub struct Asked {
    pub head: Parts,
    answers: oneshot::Sender<Response>,
}

/// What is left of an answer: it ends when this is dropped.
pub struct Pieces(mpsc::UnboundedSender<io::Result<Bytes>>);

impl Api {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (asks, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(ask).with_state(asks);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { address, asked, server }
    }

    /// A world with this API, and with what else is configured.
    pub async fn world(&self, config: &str) -> World {
        let servers = format!("[upstreams.api]\nservers = [\"{}\"]", self.address);
        World::builder().config(&servers).config(config).start().await
    }

    /// The next request.
    pub async fn asked(&mut self) -> Asked {
        let asked = timeout(PATIENCE, self.asked.recv()).await.expect("a request in time");
        asked.expect("the server runs")
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Asked {
    /// Answers all at once.
    pub fn answer(self, status: u16, headers: &[(&'static str, &str)], body: impl Into<Body>) {
        let mut response = body.into().into_response();
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header's value");
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
        // The client may be gone.
        let _ = self.answers.send(response);
    }

    /// Answers the header; the body comes in pieces.
    pub fn begin(self, headers: &[(&'static str, &str)]) -> Pieces {
        let (pieces, more) = mpsc::unbounded_channel();
        let next = |mut more: mpsc::UnboundedReceiver<io::Result<Bytes>>| async {
            more.recv().await.map(|piece| (piece, more))
        };
        self.answer(200, headers, Body::from_stream(stream::unfold(more, next)));
        Pieces(pieces)
    }
}

impl Pieces {
    pub fn send(&self, piece: impl Into<Bytes>) {
        // The client may be gone.
        let _ = self.0.send(Ok(piece.into()));
    }

    /// Ends the connection in the middle of the answer.
    pub fn break_off(self) {
        let _ = self.0.send(Err(io::Error::other("broken off on purpose")));
    }
}

async fn ask(State(asks): State<mpsc::UnboundedSender<Asked>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(_) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let (answers, answer) = oneshot::channel();
    let given = match asks.send(Asked { head, answers }) {
        Ok(()) => answer.await.ok(),
        Err(_) => None,
    };
    given.unwrap_or_else(|| StatusCode::GONE.into_response())
}
