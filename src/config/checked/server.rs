//! `[server]`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::doors::{self, Doors};
use crate::config::findings::{At, Findings};
use crate::config::values::cidr::Cidr;
use crate::config::values::secret::Secret;
use crate::config::values::url::Url;
use crate::config::written::{self, Forwarded};

#[derive(Clone, Debug)]
pub struct Server {
    /// At least one.
    pub listen: Vec<SocketAddr>,
    pub admin_listen: SocketAddr,
    /// `None`: `/admin` is off.
    pub admin_token: Option<Secret>,
    /// In lower case: by which names the admin port may be asked for what is not for monitors.
    pub admin_hosts: Vec<String>,
    /// The first seals, all open; none: payloads are not kept.
    pub encryption_keys: Vec<Secret>,
    /// `None`: one per core.
    pub threads: Option<NonZeroUsize>,
    /// From the working directory.
    pub data_dir: PathBuf,
    /// Without a trailing slash.
    pub public_url: Option<String>,
    pub max_body_bytes: u64,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub keepalive_timeout: Duration,
    pub trusted_proxies: Vec<Cidr>,
    pub forwarded: Forwarded,
    /// How often the file is looked at; `None`: when SIGHUP comes.
    pub watch: Option<Duration>,
    pub doors: Doors,
}

/// Shorter ones can be guessed.
const SHORTEST_ADMIN_TOKEN: usize = 16;
const SHORTEST_ENCRYPTION_KEY: usize = 32;

pub(crate) fn check(server: &written::Server, found: &mut Findings) -> Option<Server> {
    check_admin_token(server, found);
    check_encryption_keys(server, found);
    let listen = server.listen.get().map(|listen| &listen.0);
    if let Some(listen) = listen {
        check_listen(listen, server.admin_listen.value, found);
    }
    let doors = doors::check(server, found);
    Some(Server {
        listen: listen?.iter().map(|address| address.value).collect(),
        admin_listen: server.admin_listen.value,
        admin_token: server.admin_token.get().cloned(),
        admin_hosts: server.admin_hosts.value.iter().map(|host| host.value.0.clone()).collect(),
        encryption_keys: encryption_keys(server).iter().map(|key| key.value.clone()).collect(),
        threads: usize::try_from(server.threads.value.0).ok().and_then(NonZeroUsize::new),
        data_dir: PathBuf::from(&server.data_dir.value.0),
        public_url: server.public_url.get().map(Url::to_text),
        max_body_bytes: server.max_body.value.0,
        drain_delay: server.drain_delay.value.0,
        drain_timeout: server.drain_timeout.value.0,
        keepalive_timeout: server.keepalive_timeout.value.0,
        trusted_proxies: server.trusted_proxies.value.iter().map(|range| range.value).collect(),
        forwarded: server.forwarded.value,
        watch: Some(server.watch.value.0).filter(|every| !every.is_zero()),
        doors,
    })
}

fn check_admin_token(server: &written::Server, found: &mut Findings) {
    let Some(token) = server.admin_token.at() else { return };
    if token.value.expose().len() < SHORTEST_ADMIN_TOKEN {
        found.error(
            &token.place,
            "the token is shorter than 16 bytes and could be guessed",
            "write a random one, such as `openssl rand -hex 16` prints, or leave it out: then /admin is off",
        );
    }
}

fn encryption_keys(server: &written::Server) -> &[At<Secret>] {
    server.encryption_key.get().map_or(&[], |keys| &keys.0)
}

fn check_encryption_keys(server: &written::Server, found: &mut Findings) {
    for key in encryption_keys(server) {
        if key.value.expose().len() < SHORTEST_ENCRYPTION_KEY {
            let help = "write a random one, such as `openssl rand -hex 32` prints";
            found.error(&key.place, "the key is shorter than 32 bytes", help);
        }
    }
}

fn check_listen(addresses: &[At<SocketAddr>], admin: SocketAddr, found: &mut Findings) {
    for (index, address) in addresses.iter().enumerate() {
        if address.value.port() == 0 {
            found.error(&address.place, "nobody would find port 0", "write the port that clients call");
        }
        if address.value == admin {
            let help = "give them different ports; /admin and /metrics are not for the public";
            found.error(&address.place, "this is also server.admin_listen", help);
        }
        if addresses[..index].iter().any(|earlier| earlier.value == address.value) {
            found.error(&address.place, "this address is listed twice", "leave one out");
        }
    }
}
