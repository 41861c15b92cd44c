//! From the configuration to upstreams, at the start and when they change.

use std::sync::Arc;

use pingora::tls::{RootCertStore, load_platform_certs_incl_env_into_store};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::config::{self, Config};
use crate::gateway::{self, Addresses, Upstreams};

use super::ServerError;

/// Upstreams in force, and what looks after them for as long as it is kept.
pub(super) struct Kept {
    pub upstreams: Arc<Upstreams>,
    _care: JoinSet<()>,
}

impl Kept {
    /// `before`: those whose place they take.
    pub fn new(found: Found, before: Option<&Upstreams>, work: &Handle) -> Self {
        let upstreams = Arc::new(Upstreams::new(&found.plans, found.addresses, before));
        Self { _care: upstreams.look_after(work), upstreams }
    }
}

/// Upstreams with the addresses of their servers.
pub(super) struct Found {
    plans: Vec<config::Upstream>,
    addresses: Vec<Addresses>,
}

/// Everything of upstreams that can fail.
pub(super) fn find(config: &Config, before: Option<&Upstreams>, work: &Handle) -> Result<Found, ServerError> {
    check_trusted_certificates()?;
    let addresses = work.block_on(gateway::resolve(&config.upstreams, before))?;
    Ok(Found { plans: config.upstreams.clone(), addresses })
}

/// Pingora's connectors read the certificates that this machine trusts, and panic where they cannot be read.
fn check_trusted_certificates() -> Result<(), ServerError> {
    let mut trusted = RootCertStore::empty();
    load_platform_certs_incl_env_into_store(&mut trusted)
        .map_err(|error| ServerError::Trusted(error.to_string()))
}
