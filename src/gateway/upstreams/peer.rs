//! From the configuration to what pingora connects with.
//!
//! Pingora verifies no certificate where it is given no name: a server with TLS has one here, or cannot be made.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use pingora::upstreams::peer::{ALPN, HttpPeer, HttpUpstreamRequestPolicy};

use crate::config::{Http, Upstream, UpstreamServer};
use crate::tls::{Authorities, Own};

use super::server::Life;

/// Requests on one connection of HTTP/2, as servers usually allow.
const MOST_STREAMS: usize = 100;
/// How often a connection of HTTP/2 is asked whether it still stands.
const PING: Duration = Duration::from_secs(30);

/// What tells connections apart that must not be mixed, though they lead to one address: pingora's pools do not look at
/// who is trusted.
pub(super) fn group(plan: &Upstream, server: &UpstreamServer) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&plan.name, server.tls, sni(plan, server), speaks_h2(plan, server)).hash(&mut hasher);
    plan.tls.ca.as_ref().map(Authorities::digest).hash(&mut hasher);
    plan.tls.own.as_ref().map(Own::digest).hash(&mut hasher);
    hasher.finish()
}

pub(super) fn http1(plan: &Upstream, server: &UpstreamServer, life: &Life) -> HttpPeer {
    let sni = sni(plan, server);
    // A name that cannot be verified is refused with the configuration; nobody is spoken to without one.
    assert!(!server.tls || !sni.is_empty(), "a server with TLS has a name");
    let mut peer = HttpPeer::new(life.address, server.tls, sni.to_owned());
    peer.group_key = life.group;
    peer.client_cert_key = plan.tls.own.as_ref().filter(|_| server.tls).map(|own| own.pair.clone());
    let options = &mut peer.options;
    options.ca = plan.tls.ca.as_ref().map(|ca| ca.list.clone());
    options.alpn = ALPN::H1;
    options.connection_timeout = Some(plan.timeouts.connect);
    options.total_connection_timeout = Some(plan.timeouts.connect);
    options.read_timeout = Some(plan.timeouts.read);
    options.write_timeout = Some(plan.timeouts.write);
    options.idle_timeout = Some(plan.timeouts.keepalive);
    // Whoever opens a WebSocket does not come by pingora's way.
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    peer
}

/// None where only HTTP/1.1 is spoken.
pub(super) fn http2(plan: &Upstream, server: &UpstreamServer, life: &Life) -> Option<HttpPeer> {
    if !speaks_h2(plan, server) {
        return None;
    }
    let mut peer = http1(plan, server, life);
    peer.options.alpn = if plan.http == Http::Http2 { ALPN::H2 } else { ALPN::H2H1 };
    peer.options.max_h2_streams = MOST_STREAMS;
    peer.options.h2_ping_interval = Some(PING);
    Some(peer)
}

/// Without TLS nothing is agreed on: a server speaks HTTP/2 then only where it is said.
pub(super) fn speaks_h2(plan: &Upstream, server: &UpstreamServer) -> bool {
    match plan.http {
        Http::Http1 => false,
        Http::Http2 => true,
        Http::Auto => server.tls,
    }
}

/// What a server's certificate is verified by: a name, or the text of an address.
fn sni<'a>(plan: &'a Upstream, server: &'a UpstreamServer) -> &'a str {
    if server.tls { plan.tls.sni.as_deref().unwrap_or(&server.address.host) } else { "" }
}

/// A life for a server at an address; `group` as above.
pub(super) fn is_same(life: &Life, address: SocketAddr, group: u64) -> bool {
    life.address == address && life.group == group
}
