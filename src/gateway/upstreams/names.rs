//! Names of servers, and the addresses that they have now.
//!
//! A name may have several addresses: each is a server. Of IPv4 and IPv6 the kind is taken that this machine prefers:
//! the other may lead nowhere.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{HostPort, Resolve, Upstream};

use super::Upstreams;
use super::set::Set;

/// A name with more addresses is cut short.
const MOST_ADDRESSES: usize = 256;

/// The addresses of each server of an upstream, in the order of the configuration.
pub type Addresses = Vec<Vec<SocketAddr>>;

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[error("upstream {upstream}: {server} cannot be resolved: {error}")]
pub struct Unresolved {
    pub upstream: String,
    pub server: String,
    pub error: io::Error,
}

/// The addresses of all servers of all upstreams. An upstream that may wait for its names has none of those that are
/// not known yet. Whoever was there `before`, and cannot be resolved now, has the addresses that it had.
pub async fn resolve(
    upstreams: &[Upstream],
    before: Option<&Upstreams>,
) -> Result<Vec<Addresses>, Unresolved> {
    let mut all = Vec::new();
    for plan in upstreams {
        let mut addresses = Vec::new();
        for server in &plan.servers {
            let found = look_up(&server.address).await;
            let known = || before?.addresses_of(&plan.name, &server.address);
            addresses.push(match found.or_else(|error| known().ok_or(error)) {
                Ok(found) => found,
                Err(error) if plan.resolve == Resolve::Lazy => {
                    tracing::warn!(upstream = plan.name, server = %server.address, %error, "not resolved yet");
                    Vec::new()
                }
                Err(error) => {
                    let (upstream, server) = (plan.name.clone(), server.address.to_string());
                    return Err(Unresolved { upstream, server, error });
                }
            });
        }
        all.push(addresses);
    }
    Ok(all)
}

/// The addresses of an upstream now; a name that cannot be resolved keeps those that it had.
async fn resolve_again(plan: &Upstream, before: &Addresses) -> Addresses {
    let mut addresses = Vec::new();
    for (server, before) in plan.servers.iter().zip(before) {
        addresses.push(look_up(&server.address).await.unwrap_or_else(|error| {
            tracing::warn!(upstream = plan.name, server = %server.address, %error, "not resolved again");
            before.clone()
        }));
    }
    addresses
}

/// Looks up the names of an upstream's servers again and again, sooner while one has no address yet.
pub(super) async fn keep_resolving(upstreams: Arc<Upstreams>, at: usize) {
    const SOON: Duration = Duration::from_secs(1);
    let upstream = &upstreams.all[at];
    loop {
        let before = upstream.set.load_full();
        let waits = before.addresses.iter().any(Vec::is_empty);
        let pause = upstream.plan.resolve_interval;
        tokio::time::sleep(if waits { pause.min(SOON) } else { pause }).await;
        let addresses = resolve_again(&upstream.plan, &before.addresses).await;
        if addresses != before.addresses {
            tracing::info!(upstream = upstream.plan.name, ?addresses, "the servers have other addresses now");
            // Who had none comes late, and not back.
            let came = (!waits).then(Instant::now);
            upstream.set.store(Arc::new(Set::new(&upstream.plan, addresses, Some(&before), came)));
            upstream.tell();
        }
    }
}

/// Whether a server's address never changes.
pub(super) fn is_fixed(server: &HostPort) -> bool {
    server.host.parse::<std::net::IpAddr>().is_ok()
}

/// At least one address, each once and in an order that does not change with each answer.
pub(super) async fn look_up(server: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((server.host.as_str(), server.port)).await?.collect();
    let preferred = found.first().ok_or_else(|| io::Error::other("the name has no address"))?.is_ipv4();
    let mut addresses: Vec<_> = found.into_iter().filter(|found| found.is_ipv4() == preferred).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST_ADDRESSES);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_itself_and_a_name_has_addresses_of_one_kind() {
        let server = |host: &str| HostPort { host: host.into(), port: 80 };
        assert!(is_fixed(&server("10.0.0.1")) && is_fixed(&server("::1")) && !is_fixed(&server("localhost")));
        let one = look_up(&server("10.0.0.1")).await.expect("an address");
        assert_eq!(one, ["10.0.0.1:80".parse().expect("an address")]);
        let local = look_up(&server("localhost")).await.expect("an address");
        assert!(!local.is_empty() && local.iter().all(|found| found.is_ipv4() == local[0].is_ipv4()));
        assert!(look_up(&server("no such name")).await.is_err());
    }
}
