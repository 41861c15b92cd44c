//! TLS towards clients.

mod certificates;
mod clients;
mod redirects;
mod requests;

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::{Authority, Customer, Pair, Reply, TlsClient, World, free_address, pem};

/// A world whose first port speaks TLS; all others use the plain one beside it.
pub struct Secure {
    pub world: World,
    pub https: SocketAddr,
    pub authority: Authority,
}

/// The host of its certificate.
pub const HOST: &str = "api.test";

impl Secure {
    /// With more keys of `server.tls`, and more of the whole configuration.
    pub async fn start_with(authority: Authority, tls: &str, more: &str) -> Self {
        let pair = in_toml(&authority.sign(&[HOST]));
        Self::start_as(authority, &format!("{pair}, {tls}"), more).await
    }

    /// With all keys of `server.tls`.
    pub async fn start_as(authority: Authority, tls: &str, more: &str) -> Self {
        let builder = World::builder();
        let (plain, https) = (builder.public, free_address());
        let doors =
            format!("[server]\nlisten = \"{https}\"\nplain_listen = [\"{plain}\"]\ntls = {{ {tls} }}\n");
        let world = builder.config(&doors.replace(", }", " }")).config(more).start().await;
        Self { world, https, authority }
    }

    pub async fn start() -> Self {
        Self::start_with(Authority::new("ours"), "", "").await
    }

    pub fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.authority)
    }

    pub async fn connect(&self, client: &TlsClient) -> TlsStream<TcpStream> {
        client.connect(self.https, HOST).await.expect("a handshake")
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, client: &TlsClient, customer: &Customer, head: &str) -> Reply {
        self.world.wire_over(self.connect(client).await).ask(customer, head).await
    }
}

/// A certificate and its key as two keys of a table.
pub fn in_toml(pair: &Pair) -> String {
    format!("certificate = {}, private_key = {}", pem(&pair.certificate), pem(&pair.key))
}
