//! `[upstreams.NAME]`.

use std::time::Duration;

use super::{check_names, doors, extras};
use crate::config::containers::{ByName, Named};
use crate::config::findings::{At, Findings, Place};
use crate::config::read::Given;
use crate::config::values::address::HostPort;
use crate::config::values::status::Statuses;
use crate::config::written::{self, Balance, Http, Resolve};
use crate::domain::route::{Host, StatusSet};
use crate::tls::{Authorities, Chain, Own, PrivateKey, is_verifiable};

#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub name: String,
    /// At least one.
    pub servers: Vec<UpstreamServer>,
    pub balance: Balance,
    /// `None`: every server is taken for well.
    pub health_check: Option<HealthCheck>,
    /// `None`: failures have no consequences.
    pub eject: Option<Eject>,
    pub slow_start: Duration,
    pub resolve: Resolve,
    pub resolve_interval: Duration,
    pub timeouts: Timeouts,
    /// Further tries, of what was not sent or is safe to send again.
    pub retries: usize,
    /// Answers upon which another server is asked, of requests that are safe to repeat.
    pub retry_on: Vec<u16>,
    /// Beside what each server's URL says.
    pub tls: UpstreamTls,
    pub http: Http,
    pub host: Host,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    pub address: HostPort,
    pub tls: bool,
    /// What stands before every path, without a trailing slash; empty for nothing.
    pub base: String,
    /// 1 to 1000.
    pub weight: u32,
}

/// How long a step may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    pub connect: Duration,
    pub read: Duration,
    pub write: Duration,
    /// `None`: as `read`.
    pub first_byte: Option<Duration>,
    pub total: Option<Duration>,
    /// Of both sides of a WebSocket.
    pub idle: Duration,
    /// Of an unused connection.
    pub keepalive: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// `None`: a connection is enough.
    pub path: Option<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub rise: u32,
    pub fall: u32,
    pub expect: StatusSet,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eject {
    pub failures: u32,
    pub within: Duration,
    /// The first time.
    pub lasts: Duration,
}

/// How servers with TLS are known. They always are verified.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamTls {
    /// `None`: those that this machine trusts.
    pub ca: Option<Authorities>,
    /// What the gateway shows.
    pub own: Option<Own>,
    /// `None`: each server's host.
    pub sni: Option<String>,
}

const MOST_UPSTREAMS: usize = 1_000;

pub(crate) fn check(upstreams: &At<ByName<written::Upstream>>, found: &mut Findings) -> Vec<Upstream> {
    let list = &upstreams.value.0;
    let names = list.iter().map(|upstream| (upstream.name.as_str(), &upstream.place));
    check_names("upstream", &upstreams.place, names, MOST_UPSTREAMS, found);
    list.iter().map(|named| upstream(named, found)).collect()
}

fn upstream(named: &Named<written::Upstream>, found: &mut Findings) -> Upstream {
    let upstream = &named.value;
    let servers = servers(upstream, found);
    let timeouts = &upstream.timeouts;
    check_tls_is_used(upstream, &servers, found);
    Upstream {
        name: named.name.clone(),
        balance: upstream.balance.value,
        health_check: upstream.health_check.get().map(health_check),
        eject: upstream.eject.get().map(|eject| Eject {
            failures: count(eject.failures.value.0),
            within: eject.within.value.0,
            lasts: eject.lasts.value.0,
        }),
        slow_start: upstream.slow_start.value.0,
        resolve: upstream.resolve.value,
        resolve_interval: upstream.resolve_interval.value.0,
        timeouts: Timeouts {
            connect: timeouts.connect.value.0,
            read: timeouts.read.value.0,
            write: timeouts.write.value.0,
            first_byte: timeouts.first_byte.get().map(|span| span.0),
            total: timeouts.total.get().map(|span| span.0),
            idle: timeouts.idle.value.0,
            keepalive: timeouts.keepalive.value.0,
        },
        retries: usize::try_from(upstream.retries.value.0).unwrap_or(usize::MAX),
        retry_on: retry_on(upstream, found),
        tls: upstream.tls.get().map(|tls| tls_of(tls, found)).unwrap_or_default(),
        http: upstream.http.value,
        host: extras::host(Some(&upstream.host), found).unwrap_or_default(),
        servers,
    }
}

fn servers(upstream: &written::Upstream, found: &mut Findings) -> Vec<UpstreamServer> {
    let servers = upstream.servers.get().map_or(&[][..], |servers| &servers.0);
    let named = upstream.tls.get().is_some_and(|tls| !matches!(tls.sni, Given::LeftOut));
    let server = |server: &At<written::UpstreamServer>| {
        let At { value: url, place } = server.value.address.at()?;
        if url.tls && !named && !is_verifiable(&url.address.host) {
            let help = "write the name that stands in its certificate as `tls = { sni = \"…\" }`";
            found.error(place, "no certificate can be verified for this host", help);
        }
        Some(UpstreamServer {
            address: url.address.clone(),
            tls: url.tls,
            base: url.base.clone(),
            weight: count(server.value.weight.value.0),
        })
    };
    servers.iter().filter_map(server).collect()
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn health_check(written: &written::HealthCheck) -> HealthCheck {
    let expect = written.expect.get().map_or(&[][..], |expect| &expect.0);
    let (mut classes, mut exact) = (Vec::new(), Vec::new());
    for status in expect {
        match status.value {
            Statuses::Class(class) => classes.push(class),
            Statuses::Exact(status) => exact.push(status),
            Statuses::Grpc(_) => {}
        }
    }
    if expect.is_empty() {
        classes.push(2);
    }
    HealthCheck {
        path: written.path.get().map(|path| path.0.clone()),
        interval: written.interval.value.0,
        timeout: written.timeout.value.0,
        rise: count(written.rise.value.0),
        fall: count(written.fall.value.0),
        expect: StatusSet::new(classes, exact),
    }
}

/// Single statuses of servers that did not do what was asked.
fn retry_on(upstream: &written::Upstream, found: &mut Findings) -> Vec<u16> {
    let mut statuses = Vec::new();
    for At { value, place } in &upstream.retry_on.value {
        match value {
            Statuses::Exact(status @ (502..=504 | 429)) => statuses.push(*status),
            _ => found.error(place, "this answer is none to ask again for", "write 502, 503, 504 or 429"),
        }
    }
    statuses
}

fn tls_of(tls: &written::UpstreamTls, found: &mut Findings) -> UpstreamTls {
    let ca = tls.ca.at().and_then(|At { value, place }| {
        let help = "name a PEM file with the certificates of those who sign servers'";
        told(Authorities::read(value.expose()).map_err(|error| error.to_string()), place, help, found)
    });
    let sni = tls.sni.at().map(|At { value, place }| {
        if !is_verifiable(&value.0) {
            let help = "write a host's name such as \"api.internal\", or an IP address";
            found.error(place, "no certificate can be verified for this name", help);
        }
        value.0.clone()
    });
    UpstreamTls { ca, own: own(tls, found), sni }
}

fn own(tls: &written::UpstreamTls, found: &mut Findings) -> Option<Own> {
    doors::pair(&tls.certificate, &tls.private_key, &tls.place, found)?;
    let (chain, key) = (tls.certificate.at()?, tls.private_key.at()?);
    let help = "name a PEM file with the certificate first, and behind it those that vouch for it";
    let read = Chain::read(chain.value.expose()).map_err(|error| error.to_string());
    let read_chain = told(read, &chain.place, help, found);
    let help = "name a PEM file with the certificate's private key: PKCS#8, PKCS#1 or SEC1";
    let read = PrivateKey::read(key.value.expose()).map_err(|error| error.to_string());
    let read_key = told(read, &key.place, help, found);
    let made = Own::new(read_chain?, read_key?).map_err(|error| error.to_string());
    told(made, &key.place, help, found)
}

fn told<T>(read: Result<T, String>, place: &Place, help: &str, found: &mut Findings) -> Option<T> {
    read.map_err(|error| found.error(place, error, help)).ok()
}

fn check_tls_is_used(upstream: &written::Upstream, servers: &[UpstreamServer], found: &mut Findings) {
    if let Some(At { place, .. }) = upstream.tls.at()
        && !servers.is_empty()
        && servers.iter().all(|server| !server.tls)
    {
        let help = "write the servers as URLs with https, or leave `tls` out";
        found.error(place, "no server of this upstream speaks TLS", help);
    }
}
