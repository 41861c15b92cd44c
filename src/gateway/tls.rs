//! TLS towards clients: the handshake, and whom a client's certificate names as the customer.
//!
//! What is agreed on can be replaced while the gateway runs: connections go on with what they have.

use std::sync::Arc;
use std::time::Duration;

use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as Plain;
use pingora::protocols::tls::TlsStream;
use pingora::protocols::{ALPN, Ssl, Stream};

use crate::auth::Identity;
use crate::config::{self, CertificateName, TlsVersion};
use crate::live::Live;
use crate::metrics::METRICS;
use crate::tls::{self, Certificates, Oldest, Tickets, Wishes};

/// What TLS needs of the process: it lives as long as that does.
pub struct Tls {
    acceptor: Live<Acceptor>,
    tickets: Tickets,
}

impl Tls {
    pub fn new(settings: &config::Tls, http2: bool) -> Result<Self, rustls::Error> {
        let tickets = Tickets::new()?;
        let acceptor = acceptor(settings, http2, &tickets)?;
        show_ends(settings);
        Ok(Self { acceptor: Live::new(Arc::new(acceptor)), tickets })
    }

    /// Handshakes that begin from now on agree on what these settings say; an error changes nothing.
    pub fn replace(&self, settings: &config::Tls, http2: bool) -> Result<(), rustls::Error> {
        self.acceptor.set(Arc::new(acceptor(settings, http2, &self.tickets)?));
        show_ends(settings);
        Ok(())
    }

    /// Shakes hands with a client; none where they do not agree, or not in time.
    pub(super) async fn accept(
        &self,
        stream: Stream,
        within: Duration,
        names: Option<CertificateName>,
    ) -> Option<Accepted> {
        let plain = *stream.into_any().downcast::<Plain>().ok()?;
        let acceptor = self.acceptor.now();
        let shaken = tokio::time::timeout(within, acceptor.tls_handshake(plain)).await;
        match shaken.ok().and_then(Result::ok) {
            Some(stream) => Some(Accepted::of(stream, names)),
            None => {
                METRICS.connections_refused.with_label_values(&["handshake"]).inc();
                None
            }
        }
    }
}

/// A connection after its handshake.
pub(super) struct Accepted {
    pub stream: Stream,
    pub http2: bool,
    /// Whom the client's certificate names.
    pub named: Option<Arc<Identity>>,
}

impl Accepted {
    fn of(stream: TlsStream<Plain>, names: Option<CertificateName>) -> Self {
        let certificate = stream.get_ssl().and_then(|ssl| ssl.peer_certificate_der());
        let named = certificate.zip(names).and_then(|(der, name)| customer(der, name));
        let http2 = stream.selected_alpn_proto() == Some(ALPN::H2);
        Self { named: named.map(Arc::new), http2, stream: Box::new(stream) }
    }
}

fn customer(der: &[u8], name: CertificateName) -> Option<Identity> {
    let name = match name {
        CertificateName::SubjectCn => tls::common_name(der)?,
        CertificateName::SanDns => tls::dns_name(der)?,
        CertificateName::SanUri => tls::uri(der)?,
        CertificateName::SanEmail => tls::email(der)?,
        CertificateName::Fingerprint => tls::fingerprint(der),
    };
    Identity::named(&name)
}

fn acceptor(settings: &config::Tls, http2: bool, tickets: &Tickets) -> Result<Acceptor, rustls::Error> {
    let certificates = settings.certificates.iter();
    let certificates = certificates.map(|listed| (&listed.certificate, listed.names.as_slice()));
    let wishes = Wishes {
        certificates: Certificates::new(certificates).ok_or(rustls::Error::NoCertificatesPresented)?,
        oldest: match settings.min_version {
            TlsVersion::V12 => Oldest::V12,
            TlsVersion::V13 => Oldest::V13,
        },
        clients: settings.clients.clone(),
        http2,
    };
    Ok(Acceptor::from_server_config(Arc::new(wishes.grant(tickets)?)))
}

/// When each certificate ends, by the first name that it is shown for.
fn show_ends(settings: &config::Tls) {
    METRICS.certificate_expires_seconds.reset();
    for listed in &settings.certificates {
        let name = listed.names.first().map_or("", String::as_str);
        METRICS.certificate_expires_seconds.with_label_values(&[name]).set(listed.certificate.ends());
    }
}
