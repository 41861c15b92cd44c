//! What a handshake with a client agrees on.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};

use super::certificates::Certificates;
use super::pem::Roots;

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    V12,
    V13,
}

/// Which clients show certificates.
#[derive(Clone, Debug)]
pub struct Clients {
    pub roots: Roots,
    /// Who shows none is turned away.
    pub required: bool,
}

/// Seals the sessions that clients resume. Kept for as long as the process runs: what seals anew resumes nothing.
#[derive(Clone, Debug)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    pub fn new() -> Result<Self, rustls::Error> {
        Ticketer::new().map(Self)
    }
}

/// How clients are met.
#[derive(Debug)]
pub struct Wishes {
    pub certificates: Certificates,
    pub oldest: Oldest,
    /// None: nobody is asked for a certificate.
    pub clients: Option<Clients>,
    pub http2: bool,
}

impl Wishes {
    pub fn grant(self, tickets: &Tickets) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(default_provider());
        let versions = match self.oldest {
            Oldest::V12 => &[&TLS13, &TLS12][..],
            Oldest::V13 => &[&TLS13],
        };
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions)?;
        let asks = self.clients.is_some();
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(Clients { roots, required }) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.0, provider);
                let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.certificates));
        let protocols: &[&[u8]] = if self.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        if asks {
            // A resumed session would carry a certificate that nobody has verified since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = tickets.0.clone();
        }
        Ok(config)
    }
}
