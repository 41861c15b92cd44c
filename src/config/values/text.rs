//! Strings with a small syntax of their own.

use http::Method;
use serde_json::Value as Json;
use tracing_subscriber::EnvFilter;

use super::pattern;
use crate::config::containers::{NAME_HELP, name};
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;
use crate::domain::money::Currency;

impl Read for Method {
    fn schema() -> Json {
        pattern("method", "[A-Z-]+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, r#"write it in capitals, such as "GET" or "POST""#, |text| {
            let capitals = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
            let method = text.parse().ok().filter(|method| capitals && *method != Self::CONNECT);
            method.ok_or_else(|| "this is not a method that a route can have".into())
        })
    }
}

impl Read for Currency {
    fn schema() -> Json {
        pattern("currency", "[A-Za-z]{3}")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write the three letters of ISO 4217, such as "usd""#;
        reader.parse(node, help, |text| Self::parse(text).ok_or_else(|| "this is not a currency".into()))
    }
}

/// A name that stands in headers and lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub String);

impl Read for Name {
    fn schema() -> Json {
        pattern("name", "[A-Za-z0-9_.-]{1,64}")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, NAME_HELP, |text| name(text).map(Self))
    }
}

/// A host's name without scheme and port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(pub String);

impl Read for HostName {
    fn schema() -> Json {
        pattern("host name", "[A-Za-z0-9_.-]{1,253}")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write the name alone, such as "tollgate.internal", without scheme and port"#;
        reader.parse(node, help, |text| {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            let valid = (1..=253).contains(&text.len()) && text.bytes().all(is_name);
            valid.then(|| Self(text.to_ascii_lowercase())).ok_or_else(|| "this is not a host's name".into())
        })
    }
}

/// A string that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub String);

impl Read for Text {
    fn schema() -> Json {
        pattern("text", ".+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, "write something between the quotes, or leave the key out", |text| {
            if text.trim().is_empty() { Err("it is empty".into()) } else { Ok(Self(text.to_owned())) }
        })
    }
}

/// The path of a claim: `sub`, or `org.id` to reach inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim(pub String);

impl Read for Claim {
    fn schema() -> Json {
        pattern("claim", r"[^.]+(\.[^.]+)*")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse(node, r#"write the claim's name, such as "sub", or a path such as "org.id""#, |text| {
            if text.split('.').any(str::is_empty) {
                Err("a part of the path is empty".into())
            } else {
                Ok(Self(text.to_owned()))
            }
        })
    }
}

/// Directives of `tracing`'s filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter(pub String);

impl Read for LogFilter {
    fn schema() -> Json {
        pattern("log filter", ".+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write "error", "warn", "info", "debug" or "trace", or directives such as "info,tollgate=debug""#;
        reader.parse(node, help, |text| match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            _ => Err("this is not a log filter".into()),
        })
    }
}
