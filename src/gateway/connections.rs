//! Clients' connections: what all requests of one have in common, and when it is closed.
//!
//! - A connection on which no request is under way for `server.keepalive_timeout` is closed, however much of the next
//!   request's header has come: a client that sends it byte by byte gains nothing.
//! - When the gateway stops, a connection is closed at once if it rests, else after the answer.
//! - A request costs no timer: each connection has one, which looks again when it goes off.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use crate::live::Live;

use super::Parts;
use super::proxy::Gateway;

/// Instead of a number of requests: no more are taken up.
const CLOSED: u32 = u32::MAX;

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
    /// Requests under way, HTTP/1 has one at most; or [`CLOSED`].
    busy: AtomicU32,
    /// When the last request ended, in nanoseconds since the connection was opened.
    idle_since: AtomicU64,
    /// No further request is taken.
    closes: AtomicBool,
}

impl Connection {
    fn new(client: Option<IpAddr>) -> Self {
        let text = client.map(|client| client.to_string()).unwrap_or_default();
        Self {
            client,
            client_text: HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")),
            opened: Instant::now(),
            busy: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            closes: AtomicBool::new(false),
        }
    }

    /// The connection whose request pingora's proxy serves; a new one without an address where there is none.
    pub fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Self::new(None)))
    }

    /// Takes up a request; none once the connection is being closed.
    pub fn take_up(&self) -> Option<Busy<'_>> {
        let more = |busy: u32| (busy != CLOSED).then(|| busy + 1);
        self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Busy(self))
    }

    /// Whether it ends with the request that is under way.
    pub fn closes(&self) -> bool {
        self.closes.load(Ordering::SeqCst)
    }

    /// Returns when nothing has been under way for as long as `limit`, and nothing will be.
    async fn idle_for(&self, limit: Duration) {
        loop {
            let busy = self.busy.load(Ordering::SeqCst) > 0;
            let since = if busy { self.opened.elapsed() } else { self.last_end() };
            let until = self.opened + since + limit;
            if !busy && until <= Instant::now() && self.close() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// From now on no request is taken up, unless one is under way.
    fn close(&self) -> bool {
        self.busy.compare_exchange(0, CLOSED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn last_end(&self) -> Duration {
        Duration::from_nanos(self.idle_since.load(Ordering::Relaxed))
    }
}

/// A request under way.
pub(super) struct Busy<'a>(&'a Connection);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.idle_since.store(since, Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Serves connections.
pub struct Connections {
    pub(super) parts: Arc<Live<Parts>>,
    /// For what is not plain.
    pub(super) proxy: Arc<HttpProxy<Gateway>>,
    keepalive_timeout: Duration,
}

impl Connections {
    pub fn new(parts: Arc<Live<Parts>>, conf: &Arc<ServerConf>, keepalive_timeout: Duration) -> Self {
        let proxy = Arc::new(http_proxy(conf, Gateway(parts.clone())));
        Self { parts, proxy, keepalive_timeout }
    }

    /// Returns when the connection should be closed: it has rested for too long, or rests while the gateway stops. One
    /// that is busy then closes itself.
    async fn over(&self, connection: &Connection, shutdown: &mut ShutdownWatch) {
        tokio::select! {
            () = connection.idle_for(self.keepalive_timeout) => return,
            // An error means that the server is gone.
            _ = shutdown.wait_for(|stops| *stops) => {}
        }
        connection.closes.store(true, Ordering::SeqCst);
        if !connection.close() {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let digest = stream.get_socket_digest();
        let client = digest.and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let connection = Arc::new(Connection::new(client));
        let (connections, own, mut stops) = (self.clone(), connection.clone(), shutdown.clone());
        let told = shutdown.clone();
        let served = async move { connections.serve(stream, &own, &told).await };
        // A task of its own, so that its requests do not look at the timer each time they wake.
        let mut served = tokio::spawn(CURRENT.scope(connection.clone(), served));
        tokio::select! {
            // An error is a panic that has been told.
            _ = &mut served => {}
            () = self.over(&connection, &mut stops) => served.abort(),
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.cleanup().await;
    }
}
