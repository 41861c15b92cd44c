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
        let first = acceptor(settings, http2, &tickets)?;
        show_ends(settings);
        Ok(Self { acceptor: Live::new(Arc::new(first)), tickets })
    }

    /// What [`Self::set`] puts in force.
    pub fn prepare(&self, settings: &config::Tls, http2: bool) -> Result<NextTls, rustls::Error> {
        Ok(NextTls { acceptor: acceptor(settings, http2, &self.tickets)?, settings: settings.clone() })
    }

    /// Handshakes that begin from now on agree on this.
    pub fn set(&self, prepared: NextTls) {
        self.acceptor.set(Arc::new(prepared.acceptor));
        show_ends(&prepared.settings);
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
        let accepted = shaken.ok().and_then(Result::ok).map(|stream| Accepted::of(stream, names));
        if accepted.is_none() {
            METRICS.connections_refused.with_label_values(&["handshake"]).inc();
        }
        accepted
    }
}

/// Settings that hold, and what comes of them.
pub struct NextTls {
    acceptor: Acceptor,
    settings: config::Tls,
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
    Identity::certified(&name)
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;

    use rustls::pki_types::ServerName;
    use rustls::pki_types::pem::PemObject;
    use rustls::{ClientConfig, HandshakeKind, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A certificate for one host, which vouches for itself, and settings that show it.
    fn settings(host: &str, roots: &mut RootCertStore) -> config::Tls {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
        let pem = made.cert.pem();
        roots.add(PemObject::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a certificate");
        let key = tls::PrivateKey::read(&made.signing_key.serialize_pem()).expect("a key");
        let chain = tls::Chain::read(&pem).expect("a chain");
        let certificate = tls::Certificate::new(chain, key).expect("a pair");
        let names = certificate.names().to_vec();
        let certificates = vec![config::Certificate { certificate, names }];
        config::Tls { certificates, min_version: TlsVersion::V12, clients: None }
    }

    async fn echo(tls: Arc<Tls>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let stream: Stream = Box::new(Plain::from(stream));
                let accepted = tls.accept(stream, Duration::from_secs(5), None).await;
                let Some(Accepted { mut stream, .. }) = accepted else { return };
                while let Ok(byte) = stream.read_u8().await {
                    stream.write_u8(byte).await.expect("open");
                    stream.flush().await.expect("open");
                }
            });
        }
    }

    type Client = tokio_rustls::client::TlsStream<TcpStream>;

    async fn speak(client: &mut Client) -> io::Result<u8> {
        client.write_u8(7).await?;
        client.flush().await?;
        client.read_u8().await
    }

    /// A port where settings are in force, and a client that trusts these roots and resumes its sessions.
    async fn serving(settings: &config::Tls, roots: RootCertStore) -> (Arc<Tls>, SocketAddr, TlsConnector) {
        let tls = Arc::new(Tls::new(settings, true).expect("settings that hold"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        // It ends with the test.
        tokio::spawn(echo(tls.clone(), listener));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        (tls, address, TlsConnector::from(Arc::new(config)))
    }

    async fn connect(
        address: SocketAddr,
        connector: &TlsConnector,
        host: &'static str,
    ) -> io::Result<Client> {
        let stream = TcpStream::connect(address).await.expect("the port is open");
        connector.connect(ServerName::try_from(host).expect("a name"), stream).await
    }

    #[tokio::test]
    async fn what_is_replaced_holds_for_new_handshakes_and_sessions_go_on() {
        let mut roots = RootCertStore::empty();
        let [old, new] = ["old.test", "new.test"].map(|host| settings(host, &mut roots));
        let (tls, address, connector) = serving(&old, roots).await;
        let mut before = connect(address, &connector, "old.test").await.expect("its certificate");
        assert_eq!(speak(&mut before).await.expect("open"), 7);
        assert!(connect(address, &connector, "new.test").await.is_err());
        tls.set(tls.prepare(&new, true).expect("settings that hold"));
        assert_eq!(speak(&mut before).await.expect("open"), 7, "it goes on");
        assert!(connect(address, &connector, "new.test").await.is_ok());
        let mut again = connect(address, &connector, "old.test").await.expect("a session that was begun");
        assert_eq!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        assert_eq!(speak(&mut again).await.expect("open"), 7);
    }

    #[tokio::test]
    async fn no_session_stands_in_for_a_certificate_that_is_asked_for_since() {
        let mut roots = RootCertStore::empty();
        let open = settings("a.test", &mut roots);
        let made = rcgen::generate_simple_self_signed(["clients.test".to_owned()]).expect("a certificate");
        let clients = tls::Roots::read(&made.cert.pem()).expect("a certificate");
        let asking =
            config::Tls { clients: Some(tls::Clients { roots: clients, required: true }), ..open.clone() };
        let (tls, address, connector) = serving(&open, roots).await;
        for _ in 0..2 {
            let mut stream = connect(address, &connector, "a.test").await.expect("its certificate");
            assert_eq!(speak(&mut stream).await.expect("open"), 7);
        }
        tls.set(tls.prepare(&asking, true).expect("settings that hold"));
        // With TLS 1.3 a client hears only then that it was refused.
        let refused = match connect(address, &connector, "a.test").await {
            Ok(mut stream) => speak(&mut stream).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "it has shown nothing");
    }
}
