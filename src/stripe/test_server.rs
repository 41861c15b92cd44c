//! A server on loopback that answers as a test scripts it, and keeps what it was asked.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use tokio::net::TcpListener;

use super::backoff::Backoff;
use super::options::TransportOptions;
use super::secret::Secret;
use super::transport::Transport;

/// The secret key of every test's transport.
pub(super) const KEY: &str = "sk_test_51KeyThatMustNotShow";

/// What the server says once; when it has nothing left to say, it answers 200 `{}`.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Says {
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: String,
    },
    /// No answer ever.
    Hangs,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[derive(Debug, Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
}

pub(super) struct TestServer {
    pub(super) base: String,
    script: Arc<Script>,
}

impl TestServer {
    pub(super) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script =
            Arc::new(Script { replies: Mutex::new(replies.into_iter().collect()), ..Script::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let counted = Arc::clone(&script);
        let listener = listener.tap_io(move |_| {
            counted.connections.fetch_add(1, Ordering::SeqCst);
        });
        let app = Router::new().fallback(reply).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, script }
    }

    pub(super) fn connections(&self) -> usize {
        self.script.connections.load(Ordering::SeqCst)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.script.received.lock().expect("no test panics in it").clone()
    }

    pub(super) fn transport(&self) -> Transport {
        transport(&self.base)
    }
}

/// A transport to `base` that is quick to try again and to give up, and has no limits that a test would feel.
pub(super) fn transport(base: &str) -> Transport {
    let pause = Duration::from_millis(1);
    Transport::new(TransportOptions {
        max_requests_per_second: NonZeroU32::MAX,
        meter_events_per_second: NonZeroU32::MAX,
        timeout: Duration::from_secs(10),
        backoff: Backoff { first: pause, longest: pause },
        ..TransportOptions::new(base, Secret::new(KEY))
    })
    .expect("a good base and key")
}

#[allow(clippy::needless_pass_by_value)] // calls read better
pub(super) fn says(status: u16, body: impl ToString) -> Reply {
    Reply::Says { status, headers: Vec::new(), body: body.to_string() }
}

#[allow(clippy::needless_pass_by_value)] // calls read better
pub(super) fn says_with(status: u16, headers: &[(&'static str, &'static str)], body: impl ToString) -> Reply {
    Reply::Says { status, headers: headers.to_vec(), body: body.to_string() }
}

async fn reply(
    State(script): State<Arc<Script>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let received = Received { method, target: uri.to_string(), headers, body };
    script.received.lock().expect("no test panics in it").push(received);
    let next = script.replies.lock().expect("no test panics in it").pop_front();
    match next.unwrap_or_else(|| says(200, "{}")) {
        Reply::Hangs => std::future::pending().await,
        Reply::Says { status, headers, body } => {
            let headers = headers.into_iter().map(|(name, value)| {
                (HeaderName::from_static(name), value.parse().expect("a header of a test"))
            });
            let status = StatusCode::from_u16(status).expect("a status of a test");
            (status, headers.collect::<HeaderMap>(), body).into_response()
        }
    }
}
