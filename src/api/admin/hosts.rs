//! By which name the port is asked. A page anywhere can have its own name lead here (DNS rebinding), and would then
//! speak for whoever has it open: what is not for monitors answers to names that are known to be ours.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AdminState;
use crate::api::Failed;
use crate::problem::{Code, Problem};

pub(super) async fn check(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    if host_is_ours(host, &state.settings.now().hosts) {
        return next.run(request).await;
    }
    let detail =
        "this port is not known by that name; use localhost or an address, or name it in server.admin_hosts";
    Failed(Problem::new(Code::BadRequest, detail)).into_response()
}

/// Addresses, which nobody can make lead elsewhere, `localhost` and below it, and the configured names. Whoever sends
/// no `Host` is no browser.
fn host_is_ours(host: Option<&str>, configured: &[String]) -> bool {
    let Some(host) = host else { return true };
    if host.parse::<IpAddr>().is_ok() || host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_some_and(|inside| inside.parse::<IpAddr>().is_ok()) {
        return true;
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    name == "localhost" || name.ends_with(".localhost") || configured.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::host_is_ours;

    #[test]
    fn addresses_localhost_and_configured_names_are_ours() {
        let configured = ["gate.internal".to_owned()];
        let ours = |host| host_is_ours(Some(host), &configured);
        for host in [
            "127.0.0.1",
            "127.0.0.1:9090",
            "[::1]",
            "[::1]:9090",
            "10.1.2.3:80",
            "localhost",
            "LOCALHOST:9090",
            "a.localhost:1",
            "gate.internal",
            "Gate.Internal:9090",
            "gate.internal.:9090",
        ] {
            assert!(ours(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "gate.internal.evil.example",
            "[evil]",
            "127.0.0.1:9090:1",
        ] {
            assert!(!ours(host), "{host}");
        }
        assert!(host_is_ours(None, &configured));
    }
}
