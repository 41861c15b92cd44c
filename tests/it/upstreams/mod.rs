//! The servers behind the gateway: which of them is asked, when another one is, how they are known, and servers that
//! are not ours.

mod balance;
mod health;
mod names;
mod nginx;
mod paths;
mod retries;
mod timeouts;
mod tls;

use http::Method;

use crate::harness::{Customer, Reply, Upstream};

/// `[upstreams.api]` with these servers, and what else stands there.
fn upstreams(servers: &[&Upstream], more: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
    format!("[upstreams.api]\nservers = {servers:?}\n{more}\n")
}

/// Asks by the short way, or by pingora's.
async fn ask(customer: &Customer, method: &Method, path: &str, plain: bool) -> Reply {
    customer
        .ask(method.clone(), path, |request| if plain { request } else { request.header("te", "trailers") })
        .await
}

async fn get(customer: &Customer, path: &str, plain: bool) -> Reply {
    ask(customer, &Method::GET, path, plain).await
}

/// Requests of a path that arrived at each server.
fn hits(servers: &[&Upstream], path: &str) -> Vec<u64> {
    servers.iter().map(|server| server.hits(path)).collect()
}
