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
        &["server", "routes"],
        r#"[server]
listen = "127.0.0.1:1"
forwarded = "both"
[[routes]]
path = "/a"
cost = 1
keep_method_override = true
[routes_default]
cost = 0
"#,
    );
    let mistakes = mistakes(&text);
    let headlines = mistakes.lines().filter(|line| line.starts_with("t.toml"));
    insta::assert_snapshot!(headlines.collect::<Vec<_>>().join("\n"), @"@@SNAP@@");
}
