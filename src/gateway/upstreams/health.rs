//! Asks servers whether they are well, as requests would ask them: the same TLS, the same HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::header;
use pingora::connectors::TransportConnector;
use pingora::connectors::http::v2::{H2HandshakeSettings, handshake};
use pingora::http::RequestHeader;
use pingora::protocols::ALPN;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::config::HealthCheck;
use crate::domain::balance::health::CheckRules;
use crate::domain::route::Host;

use super::server::Server;
use super::{Upstream, Upstreams, millis};

/// What checks call themselves.
const AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Checks all servers of an upstream again and again.
pub(super) async fn keep_checking(upstreams: Arc<Upstreams>, at: usize) {
    let upstream = &upstreams.all[at];
    let Some(check) = &upstream.plan.health_check else { return };
    loop {
        let begun = Instant::now();
        check_all(&upstreams.connector, upstream, check).await;
        tokio::time::sleep(check.interval.saturating_sub(begun.elapsed()).max(Duration::from_millis(1)))
            .await;
    }
}

async fn check_all(connector: &TransportConnector, upstream: &Upstream, check: &HealthCheck) {
    let rules = CheckRules { rise: check.rise, fall: check.fall };
    let set = upstream.set.load_full();
    let checks = set.servers.iter().map(async |server: &Arc<Server>| {
        let asked = ask(connector, server, check, &upstream.plan.host);
        let answer = tokio::time::timeout(check.timeout, asked).await;
        let failed = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.etype.as_str().to_owned()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if server.life.checked(failed.is_none(), rules, millis(Instant::now())) {
            let (upstream, server) = (&upstream.plan.name, server.life.address);
            match failed {
                None => tracing::info!(upstream, %server, "a server is well again"),
                Some(failed) => tracing::warn!(upstream, %server, failed, "a server is not well"),
            }
        }
    });
    join_all(checks).await;
    upstream.tell();
}

/// An error says why the server is not well.
pub(super) async fn ask(
    connector: &TransportConnector,
    server: &Server,
    check: &HealthCheck,
    host: &Host,
) -> Result<()> {
    let peer = server.h2.as_ref().unwrap_or(&server.peer);
    let stream = connector.new_stream(peer).await?;
    let Some(path) = &check.path else { return Ok(()) };
    let agreed = stream.selected_alpn_proto();
    let h2 = agreed == Some(ALPN::H2) || (!peer.is_tls() && server.h2.is_some());
    let mut session: HttpSession = if h2 {
        let mut settings = H2HandshakeSettings::new();
        settings.max_streams = 1;
        let stream = handshake(stream, settings).await?.spawn_stream().await?;
        HttpSession::H2(stream.ok_or_else(|| Error::explain(ErrorType::H2Error, "no stream is free"))?)
    } else {
        HttpSession::H1(Http1::new_with_options(stream, peer))
    };
    session.write_request_header(Box::new(request(server, peer, path, host, h2)?)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    match session.response_header().map(|answer| answer.status.as_u16()) {
        Some(status) if check.expect.contains(status) => Ok(()),
        Some(status) => Err(Error::explain(ErrorType::HTTPStatus(status), "not what a good server answers")),
        None => Err(Error::explain(ErrorType::InvalidHTTPHeader, "no header was read")),
    }
}

fn request(server: &Server, peer: &HttpPeer, path: &str, host: &Host, h2: bool) -> Result<RequestHeader> {
    let own = server.host.to_str().unwrap_or_default();
    let host = if let Host::Name(name) = host { name } else { own };
    let path = format!("{}{path}", server.base);
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(2))?;
    request.insert_header(header::USER_AGENT, AGENT)?;
    if h2 {
        let scheme = if peer.is_tls() { "https" } else { "http" };
        let uri = format!("{scheme}://{host}{path}").parse();
        request.set_uri(uri.map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "no URI"))?);
        request.set_version(http::Version::HTTP_2);
    } else {
        request.insert_header(header::HOST, host)?;
    }
    Ok(request)
}
