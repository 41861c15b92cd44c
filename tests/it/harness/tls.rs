//! Clients of TLS, as a test wants them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Pair};

/// What a client wishes for.
#[derive(Clone)]
pub struct TlsClient {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    own: Option<(String, String)>,
}

impl TlsClient {
    /// One that trusts an authority, and speaks what it can.
    pub fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        let pem = authority.pem();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        Self { roots, versions: vec![&TLS12, &TLS13], protocols: Vec::new(), own: None }
    }

    pub fn only_tls12(mut self) -> Self {
        self.versions = vec![&TLS12];
        self
    }

    /// Offers protocols, the favourite first.
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Shows a certificate when it is asked for one.
    pub fn showing(mut self, pair: &Pair) -> Self {
        self.own = Some((pair.certificate.clone(), pair.key.clone()));
        self
    }

    /// Shakes hands with the server that has a name.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        self.connect_over(TcpStream::connect(address).await?, name).await
    }

    pub async fn connect_over(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config()));
        connector.connect(ServerName::try_from(name.to_owned()).expect("a name"), stream).await
    }

    fn config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate =
                    CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                config.with_client_auth_cert(vec![certificate], key).expect("a pair")
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        config
    }
}

/// PEM, as a string of TOML.
pub fn pem(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
