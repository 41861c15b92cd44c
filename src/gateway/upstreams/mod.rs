//! Upstreams: where requests are forwarded, and how long each step may take.

mod idle;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pingora::connectors::TransportConnector;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use crate::domain::route::UpstreamId;

use idle::Idle;

pub(super) use idle::Link;

/// `[upstreams.NAME]`, with its servers resolved.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: String,
    /// At least one.
    pub servers: Vec<SocketAddr>,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// How long both sides of a WebSocket may be silent.
    pub idle_timeout: Duration,
    /// Further attempts when a connection cannot be made.
    pub retries: usize,
}

/// An idle connection is kept this long, below the usual keep-alive of servers.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Idle connections kept for each server.
const MOST_IDLE: usize = 512;

/// All upstreams; picks servers in turn.
pub struct Upstreams {
    all: Vec<(Upstream, Vec<Server>)>,
    turn: AtomicUsize,
    connector: TransportConnector,
}

/// One server of an upstream.
pub(super) struct Server {
    pub peer: HttpPeer,
    pub idle_timeout: Duration,
    idle: Idle,
}

impl Upstreams {
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        let servers = |upstream: &Upstream| {
            let server = |address: &SocketAddr| Server {
                peer: peer(upstream, *address),
                idle_timeout: upstream.idle_timeout,
                idle: Idle::new(MOST_IDLE),
            };
            upstream.servers.iter().map(server).collect()
        };
        let upstreams = upstreams.into_iter().map(|upstream| {
            let servers = servers(&upstream);
            (upstream, servers)
        });
        Self { all: upstreams.collect(), turn: AtomicUsize::new(0), connector: TransportConnector::new(None) }
    }

    /// The server for the next attempt.
    pub(super) fn server(&self, id: UpstreamId) -> &Server {
        let (_, servers) = &self.all[usize::from(id.0)];
        let turn = if servers.len() > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        &servers[turn % servers.len()]
    }

    /// A connection to a server, and whether others have used it before.
    pub(super) async fn connect(&self, server: &Server) -> pingora::Result<(Link, bool)> {
        if let Some(link) = server.idle.take() {
            return Ok((link, true));
        }
        // Rarely taken, and large.
        let stream = Box::pin(self.connector.new_stream(&server.peer)).await?;
        let timer = Box::pin(tokio::time::sleep(server.read_timeout()));
        Ok((Link { stream, timer }, false))
    }

    pub(super) fn retries(&self, id: UpstreamId) -> usize {
        self.all[usize::from(id.0)].0.retries
    }

    /// The most attempts that any upstream allows; at least one more, for a kept connection that the server has closed.
    pub fn max_attempts(&self) -> usize {
        self.all.iter().map(|(upstream, _)| upstream.retries + 1).max().unwrap_or(1).max(2)
    }

    /// Closes idle connections that nobody needs.
    pub fn close_idle(&self) {
        let servers = self.all.iter().flat_map(|(_, servers)| servers);
        servers.for_each(|server| server.idle.close_old(IDLE_TIMEOUT));
    }
}

impl Server {
    /// Keeps a connection for the next request.
    pub fn keep(&self, link: Link, now: Instant) {
        self.idle.keep(link, now);
    }

    pub fn read_timeout(&self) -> Duration {
        self.peer.options.read_timeout.unwrap_or(IDLE_TIMEOUT)
    }
}

fn peer(upstream: &Upstream, server: SocketAddr) -> HttpPeer {
    let mut peer = HttpPeer::new(server, false, String::new());
    peer.options.connection_timeout = Some(upstream.connect_timeout);
    peer.options.total_connection_timeout = Some(upstream.connect_timeout);
    peer.options.read_timeout = Some(upstream.read_timeout);
    peer.options.write_timeout = Some(upstream.write_timeout);
    peer.options.idle_timeout = Some(IDLE_TIMEOUT);
    // Whoever opens a WebSocket does not come by pingora's way.
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    peer
}
