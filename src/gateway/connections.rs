//! Clients' connections: what all requests of one have in common, and when an idle one is closed.
//!
//! - A connection on which no request is under way for `server.keepalive_timeout` is closed, however much of the next
//!   request's header has come: a client that sends it byte by byte gains nothing.
//! - A request costs no timer: each connection has one, which looks again when it goes off.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::Gateway;

tokio::task_local! {
    static CURRENT: Arc<Connection>;
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// None where a client has no internet address.
    pub client: Option<IpAddr>,
    /// The address as headers show it, made once.
    pub client_text: HeaderValue,
    opened: Instant,
    /// Requests under way; HTTP/1 has one at most.
    busy: AtomicU32,
    /// When the last request ended, in nanoseconds since the connection was opened.
    idle_since: AtomicU64,
}

impl Connection {
    pub fn new(client: Option<IpAddr>) -> Self {
        let text = client.map(|client| client.to_string()).unwrap_or_default();
        Self {
            client,
            client_text: HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")),
            opened: Instant::now(),
            busy: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
        }
    }

    /// The connection whose request is being served; a new one without an address where there is none.
    pub fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Self::new(None)))
    }

    pub fn begin(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self, now: Instant) {
        let since = u64::try_from(now.saturating_duration_since(self.opened).as_nanos()).unwrap_or(u64::MAX);
        self.idle_since.store(since, Ordering::Relaxed);
        self.busy.fetch_sub(1, Ordering::Release);
    }

    /// Returns when nothing has been under way for as long as `limit`.
    async fn idle_for(&self, limit: Duration) {
        loop {
            let busy = self.busy.load(Ordering::Acquire) > 0;
            let since = if busy { self.opened.elapsed() } else { self.last_end() };
            let until = self.opened + since + limit;
            if !busy && until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }

    fn last_end(&self) -> Duration {
        Duration::from_nanos(self.idle_since.load(Ordering::Relaxed))
    }
}

/// Serves connections.
pub struct Connections {
    proxy: Arc<HttpProxy<Gateway>>,
    keepalive_timeout: Duration,
}

impl Connections {
    pub fn new(proxy: HttpProxy<Gateway>, keepalive_timeout: Duration) -> Self {
        Self { proxy: Arc::new(proxy), keepalive_timeout }
    }
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let digest = stream.get_socket_digest();
        let client = digest.and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let connection = Arc::new(Connection::new(client));
        let served = CURRENT.scope(connection.clone(), self.proxy.process_new(stream, shutdown));
        tokio::select! {
            biased;
            left = served => left,
            () = connection.idle_for(self.keepalive_timeout) => None,
        }
    }

    async fn cleanup(&self) {
        self.proxy.cleanup().await;
    }
}
