//! The ports: free, or those of the gateway that runs.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::config::{Config, Mode};

use super::Site;
use super::check::Check;

const NAME: &str = "ports";

/// Whose a port is.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Free,
    Used,
    Forbidden,
    NotHere,
    Other(String),
}

pub(super) async fn check(site: &Site) -> Vec<Check> {
    let mut checks = Vec::new();
    if site.is_running {
        checks.push(judge_ready(site.config.server.admin_listen, &readiness(site).await));
    }
    let all = addresses(&site.config);
    let found: Vec<_> = all.iter().map(|(key, address)| (*key, *address, look(*address))).collect();
    checks.extend(
        found.iter().filter_map(|(key, address, found)| judge(key, *address, found, site.is_running)),
    );
    if checks.is_empty() {
        let listed: Vec<_> = all.iter().map(|(_, address)| address.to_string()).collect();
        checks.push(Check::ok(NAME, format!("free: {}", listed.join(", "))));
    }
    checks
}

fn addresses(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let (server, doors) = (&config.server, &config.server.doors);
    let sandbox = match config.stripe.mode {
        Mode::Sandbox { listen } => vec![listen],
        Mode::Live => Vec::new(),
    };
    let lists: [(&'static str, &[SocketAddr]); 6] = [
        ("server.listen", &server.listen),
        ("server.admin_listen", &[server.admin_listen]),
        ("server.h2c_listen", &doors.h2c_listen),
        ("server.plain_listen", &doors.plain_listen),
        ("server.redirect_listen", &doors.redirect_listen),
        ("stripe.sandbox_listen", &sandbox),
    ];
    lists.iter().flat_map(|(key, list)| list.iter().map(|address| (*key, *address))).collect()
}

fn look(address: SocketAddr) -> Found {
    match TcpListener::bind(address) {
        Ok(_) => Found::Free,
        Err(error) => match error.kind() {
            ErrorKind::AddrInUse => Found::Used,
            ErrorKind::PermissionDenied => Found::Forbidden,
            ErrorKind::AddrNotAvailable => Found::NotHere,
            _ => Found::Other(error.to_string()),
        },
    }
}

/// Nothing to say of what is as it should be.
fn judge(key: &str, address: SocketAddr, found: &Found, is_running: bool) -> Option<Check> {
    let said = |what: &str| format!("{key} {address}: {what}");
    Some(match (found, is_running) {
        (Found::Free, false) | (Found::Used, true) => return None,
        (Found::Free, true) => Check::warning(
            NAME,
            said("the gateway that runs does not listen there"),
            "it runs with another configuration: restart it, or `tollgate run --upgrade`",
        ),
        (Found::Used, false) => Check::failed(
            NAME,
            said("another program listens there"),
            format!(
                "find it with `ss -ltnp 'sport = :{}'` and stop it, or write another port",
                address.port()
            ),
        ),
        (Found::Forbidden, _) => Check::failed(
            NAME,
            said("this user may not listen there"),
            "give the service CAP_NET_BIND_SERVICE (AmbientCapabilities=), or take a port from 1024 on",
        ),
        (Found::NotHere, _) => Check::failed(
            NAME,
            said("this machine does not have the address"),
            "write one that it has, or 0.0.0.0",
        ),
        (Found::Other(error), _) => Check::failed(NAME, said(error), "write another address"),
    })
}

/// What the gateway says of itself; an error where it says nothing.
async fn readiness(site: &Site) -> Result<(u16, String), String> {
    let mut address = site.config.server.admin_listen;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let http = reqwest::Client::builder().no_proxy().timeout(super::ANSWER_WITHIN).build();
    let asked = http.map_err(|error| error.to_string())?.get(format!("http://{address}/readyz")).send();
    let answer = asked.await.map_err(|error| error.without_url().to_string())?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.unwrap_or_default().trim().chars().take(100).collect()))
}

fn judge_ready(admin: SocketAddr, answer: &Result<(u16, String), String>) -> Check {
    match answer {
        Ok((200, _)) => Check::ok(NAME, "held by the gateway that runs, which is ready"),
        Ok((_, said)) => Check::failed(
            NAME,
            format!("the gateway that runs is not ready: {said}"),
            "its log says why; `ledger unavailable` is the disk, `redis unavailable` is [fleet]",
        ),
        Err(error) => Check::failed(
            NAME,
            format!("a gateway runs, and {admin} does not answer: {error}"),
            "it starts, hangs, or listens elsewhere: see its log, and server.admin_listen of its configuration",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn a_port_is_free_or_that_of_the_gateway_that_runs() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8_080));
        let outcome = |found, is_running| {
            judge("server.listen", address, &found, is_running).map(|check| check.outcome)
        };
        assert_eq!((outcome(Found::Free, false), outcome(Found::Used, true)), (None, None));
        assert_eq!(outcome(Found::Used, false), Some(Outcome::Failed));
        assert_eq!(outcome(Found::Free, true), Some(Outcome::Warning));
        assert_eq!(outcome(Found::Forbidden, true), Some(Outcome::Failed));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        assert_eq!(look(listener.local_addr().expect("a port")), Found::Used);
        assert_eq!(look(SocketAddr::from(([192, 0, 2, 1], 8_080))), Found::NotHere, "RFC 5737");
    }

    #[test]
    fn a_gateway_that_is_not_ready_says_why() {
        let admin = SocketAddr::from(([127, 0, 0, 1], 9_090));
        assert_eq!(judge_ready(admin, &Ok((200, "ready".into()))).outcome, Outcome::Ok);
        let check = judge_ready(admin, &Ok((503, "ledger unavailable".into())));
        assert!(check.outcome == Outcome::Failed && check.said.contains("ledger unavailable"));
    }
}
