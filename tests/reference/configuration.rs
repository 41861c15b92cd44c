//! Every key, from the JSON Schema that `tollgate schema` prints.

use serde_json::Value;

use crate::{Written as _, assert_page, cell, heading};

const ABOUT: &str = "\
One file in TOML; an unknown key is refused. `tollgate check --config FILE` shows every mistake at once,
`tollgate schema` prints the JSON Schema for editors, and [`config/tollgate.toml`](../../config/tollgate.toml)
is a file with every key and remarks. Which keys a reload can change: [operation](../operation.md#reload).

\"${NAME}\" takes an environment variable, in any string; \"$${\" is a plain \"${\". The types:

| type | written |
|---|---|
| address with port | `\"0.0.0.0:8080\"`, `\"[::]:8080\"` |
| address range | `\"10.0.0.0/8\"`, `\"2001:db8::/32\"`, or one address |
| amount of money | `\"29.00\"`, `\"0.0005\"`: a decimal string in major units of `billing.currency` |
| duration | `\"250ms\"` `\"30s\"` `\"5m\"` `\"24h\"` `\"7d\"` |
| PEM file | the path of a file, relative to this file's folder, or the text itself |
| rate | `\"10/s\"` `\"600/m\"` `\"1000/h\"` `\"50000/d\"` |
| secret, text or file | a string, best `\"${NAME}\"`; or `{ file = \"path\" }`, relative to this file's folder; never shown |
| size | `\"1MiB\"` `\"512KiB\"` `\"10MB\"`, or a number of bytes |

A list of one may be written without brackets where the type says \"X or list of X\". In the tables a key that
is required says so; \"none\" means that it may be left out, and what then holds is told with the meaning.
";

/// Sections in the order in which a file is read; others follow by name.
const ORDER: [&str; 12] = [
    "server",
    "log",
    "ledger",
    "auth",
    "upstreams",
    "meters",
    "routes",
    "routes_default",
    "tiers",
    "credit_packs",
    "billing",
    "stripe",
];

#[test]
fn the_page_of_the_configuration_is_what_the_schema_says() {
    let mut page = heading("Configuration", "src/config/written", ABOUT);
    let schema = tollgate::config::schema();
    let sections = schema["properties"].as_object().expect("sections");
    let others = sections.keys().map(String::as_str).filter(|name| !ORDER.contains(name));
    for name in ORDER.into_iter().chain(others) {
        section(&mut page, name, &sections[name], "\n##");
    }
    assert_page("docs/reference/configuration.md", &page);
}

/// A table of keys, then the tables inside it.
fn section(page: &mut String, path: &str, schema: &Value, level: &str) {
    let Some(table) = table_in(schema) else {
        page.add(&format!("{level} {path}\n\n{}\n", about(schema)));
        return;
    };
    page.add(&format!("{level} {}\n\n{}\n", spelled(path, schema), about(schema)));
    page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    let required: Vec<&str> =
        table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let keys = table["properties"].as_object().expect("keys");
    for (name, key) in keys {
        let default = match &key["default"] {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null if table_in(key).is_some() && !is_secret(key) => "see below".to_owned(),
            Value::Null => "none".to_owned(),
            value => format!("`{value}`"),
        };
        page.add(&format!("| `{name}` | {} | {default} | {} |\n", cell(&kind(key)), cell(about(key))));
    }
    for (name, key) in keys.iter().filter(|(_, key)| table_in(key).is_some() && !is_secret(key)) {
        section(page, &format!("{path}.{name}"), key, "\n###");
    }
}

/// Without the section's name, which the heading has.
fn about(schema: &Value) -> &str {
    let about = schema["description"].as_str().unwrap_or_default();
    about.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map_or(about, |(_, about)| about)
}

/// `[server]`, `[tiers.NAME]`, `[[routes]]`.
fn spelled(path: &str, schema: &Value) -> String {
    match schema {
        _ if path.contains('.') => format!("`{path}`"),
        _ if schema.get("items").is_some() => format!("`[[{path}]]`"),
        _ if schema.get("additionalProperties").is_some_and(Value::is_object) => format!("`[{path}.NAME]`"),
        _ => format!("`[{path}]`"),
    }
}

/// The table with fixed keys that a value is, holds under names, lists, or can be.
fn table_in(schema: &Value) -> Option<&Value> {
    if schema.get("properties").is_some() {
        return Some(schema);
    }
    let inside = [schema.get("items"), schema.get("additionalProperties")];
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    inside.into_iter().flatten().chain(alternatives).find_map(table_in)
}

fn is_secret(schema: &Value) -> bool {
    table_in(schema).is_some_and(|table| table["properties"].get("file").is_some())
}

/// What can be written, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let mut kinds: Vec<String> = Vec::new();
        // What takes a variable's value, beside the words.
        let shown =
            alternatives.iter().filter(|one| one.get("pattern").is_none_or(|_| one.get("title").is_some()));
        for kind in shown.map(kind).filter(|kind| !kind.is_empty()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        return kinds.join(" or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    }
    if let Some(word) = schema.get("const") {
        return format!("`{word}`");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema.get("properties").is_some() => "table".to_owned(),
        Some("object") => format!("table by name of {}", kind(&schema["additionalProperties"])),
        Some(kind @ ("integer" | "number")) => {
            let bound = |name| schema.get(name).map(ToString::to_string);
            match (bound("minimum"), bound("maximum")) {
                (Some(least), Some(most)) => format!("{kind} {least} to {most}"),
                _ => kind.to_owned(),
            }
        }
        Some(kind) => kind.to_owned(),
        None => String::new(),
    }
}
