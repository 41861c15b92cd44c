//! CORS: which pages of other origins may call a route from a browser, and what they may read.

use std::sync::Arc;

use http::Method;

use super::origin::Origin;

/// `[cors]`, or a route's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    pub origins: Vec<AllowedOrigin>,
    /// Empty: those of the route.
    pub methods: Vec<Method>,
    /// Of requests; in lower case.
    pub headers: Vec<Arc<str>>,
    /// Of answers, beside our own; in lower case.
    pub expose: Vec<Arc<str>>,
    pub credentials: bool,
    /// How long browsers remember the answer to a preflight.
    pub max_age_seconds: u64,
}

/// Pages that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    Any,
    This(Origin),
    /// Those whose host has exactly one label more than this one.
    Below(Origin),
}

impl AllowedOrigin {
    /// `*`, `https://app.example.com`, or `https://*.example.com`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once("://*.") {
            _ if text == "*" => Some(Self::Any),
            Some((scheme, host)) => {
                let parent = Origin::parse(&format!("{scheme}://{host}"))?;
                (host.contains('.') && !host.contains('*')).then_some(Self::Below(parent))
            }
            None if text.contains('*') => None,
            None => Origin::parse(text).map(Self::This),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_all_one_or_those_below_a_host() {
        let below = Origin::parse("https://example.com").expect("an origin");
        for (text, origin) in [
            ("*", Some(AllowedOrigin::Any)),
            ("https://example.com", Some(AllowedOrigin::This(below.clone()))),
            ("https://*.example.com", Some(AllowedOrigin::Below(below))),
            ("https://*.com", None),
            ("https://*", None),
            ("https://a.*.example.com", None),
            ("https://*.*.example.com", None),
            ("example.com", None),
            ("https://*.example.com/path", None),
        ] {
            assert_eq!(AllowedOrigin::parse(text), origin, "{text}");
        }
    }
}
