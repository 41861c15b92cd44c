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

impl Cors {
    /// Whether pages of whatever origin may call.
    pub fn allow_any(&self) -> bool {
        self.origins.contains(&AllowedOrigin::Any)
    }

    /// Whether pages of this origin, as a browser names it, may call.
    pub fn allow(&self, origin: &str) -> bool {
        self.allow_any() || Origin::parse(origin).is_some_and(|origin| self.list(&origin))
    }

    fn list(&self, origin: &Origin) -> bool {
        self.origins.iter().any(|allowed| match allowed {
            AllowedOrigin::Any => true,
            AllowedOrigin::This(this) => origin == this,
            AllowedOrigin::Below(parent) => origin.is_label_below(parent),
        })
    }
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

    fn allowing(origins: &[&str]) -> Cors {
        let parse = |text: &&str| AllowedOrigin::parse(text).expect("an origin");
        Cors {
            origins: origins.iter().map(parse).collect(),
            methods: vec![],
            headers: vec![],
            expose: vec![],
            credentials: false,
            max_age_seconds: 0,
        }
    }

    #[test]
    fn a_page_is_allowed_by_its_whole_origin() {
        let some = allowing(&["https://app.example.com", "https://*.pages.example.com:8443"]);
        for (origin, allowed) in [
            ("https://app.example.com", true),
            ("https://APP.example.com:443", true),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com.evil.example", false),
            ("https://evil-app.example.com", false),
            ("https://a.pages.example.com:8443", true),
            ("https://a.pages.example.com", false),
            ("https://pages.example.com:8443", false),
            ("https://a.b.pages.example.com:8443", false),
            ("https://apages.example.com:8443", false),
            ("https://.pages.example.com:8443", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(some.allow(origin), allowed, "{origin}");
        }
        assert!(allowing(&["https://a.example", "*"]).allow("null"));
    }

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
