//! From the configuration to upstreams, at the start and when they change.

use std::net::ToSocketAddrs;
use std::sync::{Arc, Weak};
use std::time::Duration;

use pingora::tls::{RootCertStore, load_platform_certs_incl_env_into_store};
use tokio::runtime::Handle;

use crate::config::{self, Config};
use crate::gateway::{Upstream, Upstreams};

use super::ServerError;

/// How often idle connections to upstreams are looked at.
const LOOK_AT_IDLE: Duration = Duration::from_secs(5);

/// Upstreams with their servers resolved. Those before go when the last request that goes through them has ended.
pub(super) fn open(config: &Config, work: &Handle) -> Result<Arc<Upstreams>, ServerError> {
    check_trusted_certificates()?;
    let upstreams = Arc::new(Upstreams::new(resolve(&config.upstreams)?));
    work.spawn(close_idle(Arc::downgrade(&upstreams)));
    Ok(upstreams)
}

/// Pingora's connectors read the certificates that this machine trusts, and panic where they cannot be read.
fn check_trusted_certificates() -> Result<(), ServerError> {
    let mut trusted = RootCertStore::empty();
    load_platform_certs_incl_env_into_store(&mut trusted)
        .map_err(|error| ServerError::Trusted(error.to_string()))
}

async fn close_idle(upstreams: Weak<Upstreams>) {
    loop {
        tokio::time::sleep(LOOK_AT_IDLE).await;
        let Some(upstreams) = upstreams.upgrade() else { return };
        upstreams.close_idle();
    }
}

fn resolve(upstreams: &[config::Upstream]) -> Result<Vec<Upstream>, ServerError> {
    upstreams
        .iter()
        .map(|upstream| {
            let mut servers = Vec::new();
            for server in &upstream.servers {
                let found = (server.address.host.as_str(), server.address.port).to_socket_addrs().and_then(
                    |mut found| found.next().ok_or_else(|| std::io::Error::other("the name has no address")),
                );
                servers.push(found.map_err(|error| ServerError::Resolve {
                    name: upstream.name.clone(),
                    server: server.address.to_string(),
                    error,
                })?);
            }
            Ok(Upstream {
                name: upstream.name.clone(),
                servers,
                connect_timeout: upstream.timeouts.connect,
                read_timeout: upstream.timeouts.read,
                write_timeout: upstream.timeouts.write,
                idle_timeout: upstream.timeouts.idle,
                retries: upstream.retries,
            })
        })
        .collect()
}
