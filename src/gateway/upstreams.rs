//! Upstreams: where requests are forwarded, and how long each step may take.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora::upstreams::peer::HttpPeer;

use crate::domain::route::UpstreamId;

/// `[upstreams.NAME]`, with its servers resolved.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: String,
    /// At least one.
    pub servers: Vec<SocketAddr>,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// Further attempts when a connection cannot be made.
    pub retries: usize,
}

/// An idle connection is kept this long, below the usual keep-alive of servers.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// All upstreams; picks servers in turn.
pub struct Upstreams {
    upstreams: Vec<(Upstream, Vec<HttpPeer>)>,
    turn: AtomicUsize,
}

impl Upstreams {
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        let peers =
            |upstream: &Upstream| upstream.servers.iter().map(|server| peer(upstream, *server)).collect();
        let upstreams = upstreams.into_iter().map(|upstream| {
            let peers = peers(&upstream);
            (upstream, peers)
        });
        Self { upstreams: upstreams.collect(), turn: AtomicUsize::new(0) }
    }

    /// The server for the next attempt.
    pub(super) fn peer(&self, id: UpstreamId) -> Box<HttpPeer> {
        let (_, peers) = &self.upstreams[usize::from(id.0)];
        let turn = if peers.len() > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        Box::new(peers[turn % peers.len()].clone())
    }

    pub(super) fn retries(&self, id: UpstreamId) -> usize {
        self.upstreams[usize::from(id.0)].0.retries
    }

    /// The most attempts that any upstream allows; at least one more, for a kept connection that the server has closed.
    pub fn max_attempts(&self) -> usize {
        self.upstreams.iter().map(|(upstream, _)| upstream.retries + 1).max().unwrap_or(1).max(2)
    }
}

fn peer(upstream: &Upstream, server: SocketAddr) -> HttpPeer {
    let mut peer = HttpPeer::new(server, false, String::new());
    peer.options.connection_timeout = Some(upstream.connect_timeout);
    peer.options.total_connection_timeout = Some(upstream.connect_timeout);
    peer.options.read_timeout = Some(upstream.read_timeout);
    peer.options.write_timeout = Some(upstream.write_timeout);
    peer.options.idle_timeout = Some(IDLE_TIMEOUT);
    peer
}
