//! The public ports: which kind each is, who is let in, and what is spoken there.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;

use crate::metrics::METRICS;

use super::Flow;
use super::connections::{Connection, Connections};
use super::crowd::{Full, Most, Place};
use super::tls::Accepted;

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1.
    Plain,
    /// What client and gateway agree on: HTTP/2 or HTTP/1.
    Tls,
    /// HTTP/2 without TLS.
    H2c,
    /// HTTP/1, which sends clients on to TLS.
    Redirect,
}

/// Ports of one kind.
pub struct Door {
    kind: Kind,
    connections: Arc<Connections>,
}

impl Door {
    pub fn new(kind: Kind, connections: Arc<Connections>) -> Self {
        Self { kind, connections }
    }
}

/// Nothing is cleaned up when the ports close: pingora's proxy would drop requests that it has not begun with, and what
/// is under way then is served to its end.
#[async_trait]
impl ServerApp for Door {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let connections = &self.connections;
        let client = stream.get_socket_digest().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let _place = match connections.let_in(client) {
            Ok(place) => place,
            Err(full) => {
                METRICS.connections_refused.with_label_values(&[full.as_str()]).inc();
                return None;
            }
        };
        let parts = connections.parts.now();
        let _there = There::begin(&parts.flow);
        drop(parts);
        // What most connections need not is large: in boxes.
        match self.kind {
            Kind::Plain | Kind::Redirect => {
                let connection = Arc::new(Connection::new(client, self.kind, None));
                connections.serve_http1(stream, connection, shutdown).await;
            }
            Kind::H2c => {
                let connection = Arc::new(Connection::new(client, self.kind, None));
                Box::pin(connections.serve_http2(stream, connection, shutdown)).await;
            }
            Kind::Tls => {
                let Accepted { stream, http2, named } = Box::pin(connections.shake_hands(stream)).await?;
                let connection = Arc::new(Connection::new(client, self.kind, named));
                if http2 {
                    Box::pin(connections.serve_http2(stream, connection, shutdown)).await;
                } else {
                    connections.serve_http1(stream, connection, shutdown).await;
                }
            }
        }
        None
    }
}

/// A connection that another process, which takes this one's place, waits for.
pub(super) struct There(Arc<Flow>);

impl There {
    pub fn begin(flow: &Arc<Flow>) -> Self {
        flow.connections.start();
        Self(flow.clone())
    }
}

impl Drop for There {
    fn drop(&mut self) {
        self.0.connections.end();
    }
}

impl Connections {
    fn let_in(&self, client: Option<std::net::IpAddr>) -> Result<Place<'_>, Full> {
        let parts = self.parts.now();
        let limits = &parts.settings.limits;
        let trusted = client.is_some_and(|client| parts.trusts(client));
        let of_one = limits.connections_per_ip.filter(|_| !trusted);
        self.crowd.enter(client, Most { all: limits.max_connections, of_one })
    }

    async fn shake_hands(&self, stream: Stream) -> Option<Accepted> {
        let parts = self.parts.now();
        let settings = &parts.settings;
        let tls = self.tls.as_ref()?;
        tls.accept(stream, settings.limits.header_timeout, settings.client_certificate).await
    }
}
