//! The fake API behind the gateway: echoes what it gets, and misbehaves on request.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{PATIENCE, lock, until};

/// What a path does instead of echoing.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers with this status.
    Status(u16),
    /// Answers when [`Upstream::release`] is called.
    Held,
    /// Closes the connection in the middle of its body.
    CutMidBody,
    /// The same, when [`Upstream::release`] is called.
    CutLater,
    /// Closes the connection without an answer.
    HangUp,
    /// Answers with so many bytes.
    Large(usize),
    /// Answers with so many bytes, and with so many more when [`Upstream::release`] is called.
    Paused(usize, usize),
    /// Echoes, with these headers.
    Tells(&'static [(&'static str, &'static str)]),
}

#[derive(Default)]
struct Paths {
    behaviours: Mutex<HashMap<String, Behaviour>>,
    /// What the next requests of a path meet, each one of these.
    turns: Mutex<HashMap<String, VecDeque<Behaviour>>>,
    hits: Mutex<HashMap<String, u64>>,
    released: watch::Sender<bool>,
}

/// The API, until it is dropped.
pub struct Upstream {
    pub address: SocketAddr,
    paths: Arc<Paths>,
    server: Option<JoinHandle<()>>,
    leaving: Arc<Notify>,
    closed: Option<TcpSocket>,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let paths = Arc::new(Paths::default());
        let router = Router::new().fallback(answer).with_state(paths.clone());
        let leaving = Arc::new(Notify::new());
        let told = leaving.clone();
        let served =
            axum::serve(listener, router).with_graceful_shutdown(async move { told.notified().await });
        let server = tokio::spawn(async move { served.await.expect("serves") });
        Self { address, paths, server: Some(server), leaving, closed: None }
    }

    /// From now on, requests of `path` meet this.
    pub fn on(&self, path: &str, behaviour: Behaviour) {
        lock(&self.paths.behaviours).insert(path.to_owned(), behaviour);
    }

    /// The next requests of `path` meet these, one each; those after them what [`Self::on`] says.
    pub fn in_turn(&self, path: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        lock(&self.paths.turns).entry(path.to_owned()).or_default().extend(behaviours);
    }

    /// Requests of a path so far.
    pub fn hits(&self, path: &str) -> u64 {
        lock(&self.paths.hits).get(path).copied().unwrap_or(0)
    }

    /// Waits until so many requests of a path have arrived.
    pub async fn arrived(&self, path: &str, requests: u64) {
        let what = format!("{requests} requests of {path} arrive");
        until(&what, PATIENCE, async || (self.hits(path) >= requests).then_some(())).await;
    }

    /// Lets every held request go on.
    pub fn release(&self) {
        self.paths.released.send_replace(true);
    }

    /// Closes its connections, once they rest, and the port: whoever connects is refused.
    pub async fn go_away(&mut self) {
        if let Some(server) = self.server.take() {
            self.leaving.notify_one();
            server.await.expect("the server ends");
            // Bound, so that no other test's server comes to be there.
            let port = TcpSocket::new_v4().expect("a socket");
            port.set_reuseaddr(true).expect("an option");
            port.bind(self.address).expect("its own port");
            self.closed = Some(port);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn answer(State(paths): State<Arc<Paths>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    *lock(&paths.hits).entry(path.clone()).or_default() += 1;
    let turn = lock(&paths.turns).get_mut(&path).and_then(VecDeque::pop_front);
    let behaviour = turn.or_else(|| lock(&paths.behaviours).get(&path).cloned());
    match behaviour {
        None => echo(request).await,
        Some(Behaviour::Status(status)) => {
            (StatusCode::from_u16(status).expect("a status"), axum::Json(json!({ "status": status })))
                .into_response()
        }
        Some(Behaviour::Held) => {
            let answer = echo(request).await;
            paths.released().await;
            answer
        }
        Some(Behaviour::CutMidBody) => cut(tokio::task::yield_now()),
        Some(Behaviour::CutLater) => cut(async move { paths.released().await }),
        Some(Behaviour::HangUp) => hang_up(),
        Some(Behaviour::Large(bytes)) => vec![b'x'; bytes].into_response(),
        Some(Behaviour::Paused(first, more)) => {
            let piece = |bytes| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]));
            let rest = stream::once(async move {
                paths.released().await;
                piece(more)
            });
            Body::from_stream(stream::iter([piece(first)]).chain(rest)).into_response()
        }
        Some(Behaviour::Tells(told)) => {
            let mut answer = echo(request).await;
            for (name, value) in told {
                answer.headers_mut().append(*name, HeaderValue::from_static(value));
            }
            answer
        }
    }
}

impl Paths {
    async fn released(&self) {
        let mut released = self.released.subscribe();
        released.wait_for(|released| *released).await.expect("the sender is beside it");
    }
}

/// Sends a part of what its declared length promises, and breaks off after `when`. That must wait at least
/// once: the server sends nothing before it has to wait for more.
fn cut(when: impl Future<Output = ()> + Send + 'static) -> Response {
    let part = stream::iter([Ok(Bytes::from_static(b"{\"half\":"))]);
    let end = stream::once(async move {
        when.await;
        Err(std::io::Error::other("cut off on purpose"))
    });
    let mut response = Response::new(Body::from_stream(part.chain(end)));
    response.headers_mut().insert(header::CONTENT_LENGTH, 1_000.into());
    response
}

/// Ends the connection: the server drops it when a handler panics.
fn hang_up() -> Response {
    std::panic::resume_unwind(Box::new("hung up on purpose"))
}

/// Tells what arrived.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &parts.headers {
        let values = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        values.as_array_mut().expect("a list").push(json!(value));
    }
    let told = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "headers": headers,
        "body_bytes": body.len(),
        "body_sha256": Sha256::digest(&body).to_vec(),
    });
    axum::Json(told).into_response()
}
