//! A key that this build knows and does nothing with is refused: nobody takes a promise for its effect.

use serde_json::Value as Json;

use super::super::schema;
use super::{mistakes, with};
use crate::config::checked::not_yet::KEYS;

/// Every key of the schema, as [`KEYS`] spell them.
fn declared(schema: &Json, path: &str, keys: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        declared(property, &key, keys);
        keys.push(key);
    }
    for inside in schema["anyOf"].as_array().into_iter().flatten() {
        declared(inside, path, keys);
    }
    for inside in [&schema["additionalProperties"], &schema["items"]].into_iter().filter(|s| s.is_object()) {
        declared(inside, &format!("{path}.*"), keys);
    }
}

#[test]
fn what_is_refused_is_declared() {
    let mut keys = Vec::new();
    declared(&schema(), "", &mut keys);
    for refused in KEYS {
        let whole = refused.strip_suffix(".*").unwrap_or(refused);
        let inside = format!("{whole}.");
        let known = keys.iter().any(|key| key == whole || key.starts_with(&inside));
        assert!(known, "{refused} is no key");
    }
}

#[test]
fn a_key_without_effect_is_refused_where_it_stands() {
    let text = with(
        &["server", "upstreams", "routes"],
        r#"[server]
listen = "127.0.0.1:1"
header_timeout = "5s"
h2 = { streams = 7 }
[upstreams.api]
servers = ["127.0.0.1:9000", { address = "127.0.0.1:9001", weight = 2 }, "https://api.internal"]
slow_start = "1s"
[[routes]]
path = "/a"
cost = 1
max_body = "1GiB"
[[routes]]
path = "/b"
cost = { api_calls = { bytes = "1MiB" } }
charge_on = ["2xx", "grpc:8"]
[routes_default]
cost = 0
host = "server"
"#,
    );
    let mistakes = mistakes(&text);
    let headlines = mistakes.lines().filter(|line| line.starts_with("t.toml"));
    insta::assert_snapshot!(headlines.collect::<Vec<_>>().join("\n"), @r"
    t.toml:3:1: error: server.header_timeout: this build does not do that yet
    t.toml:4:1: error: server.h2: this build does not do that yet
    t.toml:6:32: error: upstreams.api.servers[1].address: this build does not do that yet
    t.toml:6:60: error: upstreams.api.servers[1].weight: this build does not do that yet
    t.toml:6:74: error: upstreams.api.servers[2]: this build does not do that yet
    t.toml:7:1: error: upstreams.api.slow_start: this build does not do that yet
    t.toml:11:1: error: routes[0].max_body: this build does not do that yet
    t.toml:14:24: error: routes[1].cost.api_calls.bytes: this build does not do that yet
    t.toml:15:21: error: routes[1].charge_on[1]: this build does not do that yet
    t.toml:18:1: error: routes_default.host: this build does not do that yet
    ");
}
