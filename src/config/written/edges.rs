//! `[cors]` and `[headers]`, for all routes or one of them.

use http::Method;
use serde_json::{Value as Json, json};

use crate::config::containers::{ByName, NonEmpty};
use crate::config::findings::At;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::{Node, Value};
use crate::config::values::header::Header;
use crate::config::values::pattern;
use crate::config::values::span::Span;
use crate::domain::cors::AllowedOrigin;
use crate::domain::header_rules::Template;

#[derive(Debug)]
pub(crate) struct Cors {
    pub origins: Given<NonEmpty<AllowedOrigin>>,
    pub methods: At<Vec<At<Method>>>,
    pub headers: At<Vec<At<Header>>>,
    pub expose: At<Vec<At<Header>>>,
    pub credentials: At<bool>,
    pub max_age: At<Span<0>>,
}

impl Section for Cors {
    const ABOUT: &'static str =
        "[cors]: pages of other origins that may call routes from a browser; left out: upstreams answer.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            origins: keys
                .required("origins", "\"*\", \"https://app.example.com\" or \"https://*.example.com\"."),
            methods: keys.or("methods", "What they may use; left out: the methods of the route.", []),
            headers: keys.or("headers", "Headers that they may send.", []),
            expose: keys.or("expose", "Headers that they may read, beside Tollgate's own.", []),
            credentials: keys.or("credentials", "Whether they may send cookies.", false),
            max_age: keys.or("max_age", "How long browsers remember the answer.", "10m"),
        }
    }
}

/// A route's own, or none although all others have them.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per route, never moved in bulk")]
pub(crate) enum RouteCors {
    Off,
    Own(Cors),
}

impl Read for RouteCors {
    fn schema() -> Json {
        json!({ "anyOf": [{ "const": false }, Cors::schema()] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Boolean(false) => Some(Self::Off),
            Value::Table(_) => Cors::read(node, reader).map(Self::Own),
            _ => {
                reader.unexpected(node, "false or a table", "write false, or a table such as that of [cors]")
            }
        }
    }
}

impl Read for AllowedOrigin {
    fn schema() -> Json {
        pattern("origin, or *", "\\*|https?://.+")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write "*", "https://app.example.com", or "https://*.example.com""#;
        reader.parse(node, help, |text| Self::parse(text).ok_or_else(|| "this is not an origin".into()))
    }
}

#[derive(Debug)]
pub(crate) struct Headers {
    pub request: At<Changes>,
    pub response: At<Changes>,
}

impl Section for Headers {
    const ABOUT: &'static str = "[headers]: what is changed in the headers of every request and answer.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self { request: keys.section("request"), response: keys.section("response") }
    }
}

#[derive(Debug)]
pub(crate) struct Changes {
    pub set: Given<ByName<Template>>,
    pub remove: At<Vec<At<Header>>>,
    pub default: Given<ByName<Template>>,
}

impl Section for Changes {
    const ABOUT: &'static str = "What is changed in one direction.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            set: keys.optional(
                "set",
                "Headers and their values; in braces {client}, {customer}, {tier}, {request_id}, {route}.",
            ),
            remove: keys.or("remove", "Headers that are taken out.", []),
            default: keys.optional("default", "Like `set`, where there is none."),
        }
    }
}

impl Read for Template {
    fn schema() -> Json {
        json!({ "type": "string" })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = "write plain text, with {client}, {customer}, {tier}, {request_id} or {route} in it";
        reader.parse(node, help, |text| Self::parse(text).map_err(|error| error.to_string()))
    }
}
