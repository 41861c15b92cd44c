//! Keys that are declared, and have no effect in this build: who writes one is told so, instead of believing it.

use crate::config::findings::{Findings, Place};
use crate::config::tree::{Node, Value};

/// Paths from the root; `*` stands for a name, or a place in a list. Whoever gives a key its effect takes it out.
pub(crate) const KEYS: &[&str] = &[
    "auth.anonymous",
    "auth.client_certificate",
    "auth.failures",
    "auth.jwt.scope_claim",
    "auth.keys",
    "routes.*.auth",
    "routes.*.cost.*.*",
    "routes.*.encoded_slashes",
    "routes.*.free_when",
    "routes.*.host",
    "routes.*.max_body",
    "routes.*.on_limit",
    "routes.*.rewrite",
    "routes.*.scopes",
    "routes.*.strip_prefix",
    "routes.*.timeout",
    "server.body_timeout",
    "server.connections_per_ip",
    "server.h2",
    "server.h2c_listen",
    "server.header_timeout",
    "server.http2",
    "server.max_connections",
    "server.max_header_bytes",
    "server.max_headers",
    "server.max_uri",
    "server.min_body_rate",
    "server.plain_listen",
    "server.redirect_except",
    "server.redirect_listen",
    "server.requests_per_connection",
    "server.tls",
    "server.watch",
    "tiers.*.member",
    "upstreams.*.balance",
    "upstreams.*.eject",
    "upstreams.*.first_byte_timeout",
    "upstreams.*.health_check",
    "upstreams.*.host",
    "upstreams.*.http",
    "upstreams.*.keepalive_timeout",
    "upstreams.*.resolve",
    "upstreams.*.resolve_interval",
    "upstreams.*.retry_on",
    "upstreams.*.servers.*.*",
    "upstreams.*.slow_start",
    "upstreams.*.tls",
    "upstreams.*.total_timeout",
];

/// The keys of a route that `[routes_default]` has as well.
const ROUTE: &str = "routes.*.";
const DEFAULT_ROUTE: &str = "routes_default.";

/// Reports each such key that is written in the file.
pub(crate) fn refuse(root: &Node, found: &mut Findings) {
    let default =
        KEYS.iter().filter_map(|key| key.strip_prefix(ROUTE)).map(|key| format!("{DEFAULT_ROUTE}{key}"));
    let keys: Vec<String> = KEYS.iter().copied().map(str::to_owned).chain(default).collect();
    for key in &keys {
        let path: Vec<&str> = key.split('.').collect();
        descend(root, &path, &root.place, found);
    }
}

/// A value that the key's other values stand beside, and that has no effect either.
pub(super) fn value(place: &Place, found: &mut Findings) {
    found.error(place, "this build does not do that yet", "leave it out");
}

/// `at`: where the key of this node stands.
fn descend(node: &Node, path: &[&str], at: &Place, found: &mut Findings) {
    let Some((name, rest)) = path.split_first() else { return value(at, found) };
    match &node.value {
        Value::Table(entries) => {
            for entry in entries.iter().filter(|entry| *name == "*" || entry.name == *name) {
                descend(&entry.node, rest, &entry.place, found);
            }
        }
        Value::List(list) if *name == "*" => {
            for node in list {
                descend(node, rest, &node.place, found);
            }
        }
        _ => {}
    }
}
