//! Where Redis is, and who asks.

use std::fmt;

/// The servers, what they are, and the account there.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub layout: Layout,
    pub tls: bool,
    /// Names or addresses with their ports.
    pub servers: Vec<(String, u16)>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub database: u8,
    /// Certificates (PEM) of who signs the servers'; `None`: those that the machine trusts.
    pub authorities: Option<Vec<u8>>,
}

/// What the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    Single,
    /// Some nodes of a Cluster.
    Cluster,
    /// Sentinels that watch a master of this name.
    Sentinel {
        master: String,
    },
}

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("layout", &self.layout)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}
