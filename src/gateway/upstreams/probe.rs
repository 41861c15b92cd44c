//! Every server asked once, as checks of its health ask it, for somebody who looks after it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pingora::ErrorType;
use pingora::tls::{RootCertStore, load_platform_certs_incl_env_into_store};

use crate::config::{self, HealthCheck};
use crate::domain::route::StatusSet;

use super::health::ask;
use super::names::look_up;
use super::{Upstream, Upstreams};

/// A server, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub upstream: String,
    /// As the configuration names it; behind that its address, where it is a name.
    pub server: String,
    pub outcome: Result<Duration, ProbeFailed>,
}

/// Why a server cannot be used; continues its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailed {
    #[error("cannot be resolved: {0}")]
    Unresolved(String),
    #[error("does not answer in time")]
    Silent,
    #[error("cannot be spoken to by TLS: {0}")]
    Tls(String),
    #[error("answers its health check with {0}")]
    Status(u16),
    #[error("cannot be used: {0}")]
    Other(String),
}

/// Asks all servers of some upstreams, at once.
pub async fn probe(upstreams: &[config::Upstream], within: Duration) -> Vec<Probed> {
    let alone = upstreams.iter().flat_map(|plan| {
        plan.servers.iter().map(|server| config::Upstream { servers: vec![server.clone()], ..plan.clone() })
    });
    let looked_up = alone.map(async |plan| {
        let found = match plan.servers.first() {
            Some(server) => look_up(&server.address).await,
            None => Ok(Vec::new()),
        };
        (plan, found)
    });
    let (mut probed, mut plans, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for (plan, found) in join_all(looked_up).await {
        match found {
            Ok(found) => {
                plans.push(plan);
                addresses.push(vec![found]);
            }
            Err(error) => probed.push(Probed {
                upstream: plan.name.clone(),
                server: name_of(&plan),
                outcome: Err(ProbeFailed::Unresolved(error.to_string())),
            }),
        }
    }
    // Pingora's connectors read them too, and panic where they cannot be read.
    if let Err(error) = load_platform_certs_incl_env_into_store(&mut RootCertStore::empty()) {
        let why = format!("this machine's trusted certificates cannot be read ({error}); see SSL_CERT_FILE");
        let outcome = || Err(ProbeFailed::Other(why.clone()));
        let failed = |plan: &config::Upstream| Probed {
            upstream: plan.name.clone(),
            server: name_of(plan),
            outcome: outcome(),
        };
        probed.extend(plans.iter().map(failed));
        return probed;
    }
    let upstreams = Upstreams::new(&plans, addresses, None);
    let asked = join_all(upstreams.all.iter().map(|upstream| probe_one(&upstreams, upstream, within))).await;
    probed.extend(asked.into_iter().flatten());
    probed
}

async fn probe_one(upstreams: &Upstreams, upstream: &Upstream, within: Duration) -> Vec<Probed> {
    let check = upstream.plan.health_check.clone().unwrap_or_else(|| connection_alone(within));
    let limit = check.timeout.min(within);
    let set = upstream.set.load_full();
    let asked = set.servers.iter().map(async |server| {
        let began = Instant::now();
        let answer =
            tokio::time::timeout(limit, ask(&upstreams.connector, server, &check, &upstream.plan.host));
        let outcome = match answer.await {
            Ok(Ok(())) => Ok(began.elapsed()),
            Ok(Err(error)) => Err(failure(&error.etype)),
            Err(_) => Err(ProbeFailed::Silent),
        };
        let (name, address) = (name_of(&upstream.plan), server.life.address.to_string());
        let server = if name == address { name } else { format!("{name} ({address})") };
        Probed { upstream: upstream.plan.name.clone(), server, outcome }
    });
    join_all(asked).await
}

fn name_of(plan: &config::Upstream) -> String {
    plan.servers.first().map(|server| server.address.to_string()).unwrap_or_default()
}

/// Where no check is configured.
fn connection_alone(timeout: Duration) -> HealthCheck {
    let expect = StatusSet::new(vec![2], Vec::new());
    HealthCheck { path: None, interval: timeout, timeout, rise: 1, fall: 1, expect }
}

fn failure(error: &ErrorType) -> ProbeFailed {
    match error {
        ErrorType::HTTPStatus(status) => ProbeFailed::Status(*status),
        ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::TLSHandshakeTimedout => {
            ProbeFailed::Silent
        }
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => {
            ProbeFailed::Tls(error.as_str().to_owned())
        }
        other => ProbeFailed::Other(other.as_str().to_owned()),
    }
}
