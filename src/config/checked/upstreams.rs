//! `[upstreams.NAME]`.

use std::time::Duration;

use super::check_names;
use crate::config::containers::{ByName, Named};
use crate::config::findings::{At, Findings};
use crate::config::values::address::HostPort;
use crate::config::written;

#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: String,
    /// At least one.
    pub servers: Vec<HostPort>,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// How long both sides of a WebSocket may be silent.
    pub idle_timeout: Duration,
    /// Further tries of idempotent requests.
    pub retries: usize,
}

const MOST_UPSTREAMS: usize = 1_000;

pub(crate) fn check(upstreams: &At<ByName<written::Upstream>>, found: &mut Findings) -> Vec<Upstream> {
    let list = &upstreams.value.0;
    let names = list.iter().map(|upstream| (upstream.name.as_str(), &upstream.place));
    check_names("upstream", &upstreams.place, names, MOST_UPSTREAMS, found);
    list.iter().map(upstream).collect()
}

fn upstream(named: &Named<written::Upstream>) -> Upstream {
    let upstream = &named.value;
    let servers = upstream.servers.get().map_or(&[][..], |servers| &servers.0);
    Upstream {
        name: named.name.clone(),
        servers: servers.iter().map(|server| server.value.clone()).collect(),
        connect_timeout: upstream.connect_timeout.value.0,
        read_timeout: upstream.read_timeout.value.0,
        write_timeout: upstream.write_timeout.value.0,
        idle_timeout: upstream.idle_timeout.value.0,
        retries: usize::try_from(upstream.retries.value.0).unwrap_or(usize::MAX),
    }
}
