//! Clients' connections: what all requests of one have in common, and when it is closed.
//!
//! - A connection on which no request is under way for `server.keepalive_timeout` is closed; a new one that says
//!   nothing, after `server.header_timeout` if that is shorter.
//! - A header that has begun is whole within `server.header_timeout`: who sends it byte by byte gains nothing.
//! - When the gateway stops, a connection is closed at once if it rests, else after the answer. Where another process
//!   takes its place, one that rests stays for a moment, so that no client loses what it is just sending.
//! - A request costs no timer: each connection has one, which looks again when it goes off.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora::protocols::Stream;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use crate::auth::Identity;
use crate::live::Live;

use super::Parts;
use super::crowd::Crowd;
use super::doors::Kind;
use super::proxy::Gateway;
use super::tls::Tls;

/// When another process takes this one's place, a client on a connection that rests is waited for so long: its next
/// request is answered, as the last.
const LINGERS: Duration = Duration::from_secs(5);
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
    pub kind: Kind,
    /// Whom its certificate names.
    pub named: Option<Arc<Identity>>,
    opened: Instant,
    /// Requests under way, HTTP/1 has one at most; or [`CLOSED`].
    busy: AtomicU32,
    /// When the last request ended, in nanoseconds since the connection was opened; 0: there was none.
    idle_since: AtomicU64,
    /// A part of a header has come, and the rest is waited for elsewhere.
    pub awaits_header: AtomicBool,
    /// No further request is taken.
    closes: AtomicBool,
}

impl Connection {
    pub fn new(client: Option<IpAddr>, kind: Kind, named: Option<Arc<Identity>>) -> Self {
        let text = client.map(|client| client.to_string()).unwrap_or_default();
        Self {
            client,
            client_text: HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")),
            kind,
            named,
            opened: Instant::now(),
            busy: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            awaits_header: AtomicBool::new(false),
            closes: AtomicBool::new(false),
        }
    }

    /// The connection whose request pingora's proxy serves; a new one without an address where there is none.
    pub fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Self::new(None, Kind::Plain, None)))
    }

    /// What runs here finds this connection as [`Self::current`].
    pub fn scope<F: Future>(self: Arc<Self>, inside: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, inside)
    }

    /// Takes up a request; none once the connection is being closed.
    pub fn take_up<C: Deref<Target = Self>>(connection: C) -> Option<Busy<C>> {
        let more = |busy: u32| (busy != CLOSED).then(|| busy + 1);
        connection.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Busy(connection))
    }

    /// Whether it ends with the request that is under way.
    pub fn closes(&self) -> bool {
        self.closes.load(Ordering::SeqCst)
    }

    /// Takes no further request.
    pub fn close_after_this(&self) {
        self.closes.store(true, Ordering::SeqCst);
    }

    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst) > 0
    }

    /// Returns when nothing has been under way for as long as `limit`; as `first`, where nothing ever was.
    pub async fn rests_for(&self, first: Duration, limit: Duration) {
        loop {
            let busy = self.is_busy() || self.awaits_header.load(Ordering::Relaxed);
            let (since, limit) = match self.idle_since.load(Ordering::Relaxed) {
                _ if busy => (self.opened.elapsed(), limit.min(first)),
                0 => (Duration::ZERO, first),
                since => (Duration::from_nanos(since), limit),
            };
            let until = self.opened + since + limit;
            if !busy && until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// From now on no request is taken up, unless one is under way.
    fn close(&self) -> bool {
        self.busy.compare_exchange(0, CLOSED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A request under way.
pub(super) struct Busy<C: Deref<Target = Connection>>(C);

impl<C: Deref<Target = Connection>> Drop for Busy<C> {
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
    /// There where a port speaks it.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) crowd: Crowd,
}

impl Connections {
    pub fn new(parts: Arc<Live<Parts>>, conf: &Arc<ServerConf>, tls: Option<Arc<Tls>>) -> Self {
        let proxy = Arc::new(http_proxy(conf, Gateway(parts.clone())));
        Self { parts, proxy, tls, crowd: Crowd::default() }
    }

    /// Serves a connection on which requests follow one another.
    pub(super) async fn serve_http1(
        self: &Arc<Self>,
        stream: Stream,
        connection: Arc<Connection>,
        shutdown: &ShutdownWatch,
    ) {
        let (connections, own, mut stops) = (self.clone(), connection.clone(), shutdown.clone());
        let told = shutdown.clone();
        let served = async move { connections.serve(stream, &own, &told).await };
        // A task of its own, so that its requests do not look at the timer each time they wake.
        let mut served = tokio::spawn(connection.clone().scope(served));
        tokio::select! {
            // An error is a panic that has been told.
            _ = &mut served => {}
            () = self.over(&connection, &mut stops) => served.abort(),
        }
    }

    /// Returns when the connection should be closed: it has rested for too long, or rests while the gateway stops. One
    /// that is busy then closes itself.
    async fn over(&self, connection: &Connection, shutdown: &mut ShutdownWatch) {
        let rests = async {
            loop {
                self.rests(connection).await;
                if connection.close() {
                    return;
                }
            }
        };
        tokio::select! {
            () = rests => return,
            // An error means that the server is gone.
            _ = shutdown.wait_for(|stops| *stops) => {}
        }
        connection.close_after_this();
        if !self.parts.now().flow.books.are_here() {
            tokio::time::sleep(LINGERS).await;
            connection.rests_for(LINGERS, LINGERS).await;
        }
        if !connection.close() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when nothing has been under way for too long.
    pub(super) async fn rests(&self, connection: &Connection) {
        let (first, limit) = {
            let settings = &self.parts.now().settings;
            (settings.limits.header_timeout, settings.keepalive_timeout)
        };
        connection.rests_for(first.min(limit), limit).await;
    }
}
