//! Web origins (RFC 6454): who may call from a browser, and where customers may be sent back to.

use std::fmt;

/// Scheme, host and port. Two are equal only as parsed, never because one begins like the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute URL without a user; `None` where it has none.
    pub fn of(url: &str) -> Option<Self> {
        // Browsers read these as slashes or drop them; a URL that two readers take for two hosts has no origin.
        if url.contains(['\\', '\t', '\n', '\r', ' ', '@']) {
            return None;
        }
        let uri: http::Uri = url.parse().ok()?;
        let (scheme, usual) = match uri.scheme_str()? {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        Some(Self { scheme, host: host.to_ascii_lowercase(), port: uri.port_u16().unwrap_or(usual) })
    }

    /// The same from what names an origin and nothing else, as a browser's `Origin` header does.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?', '#']));
        bare.then(|| Self::of(text)).flatten()
    }
}

impl Origin {
    /// Whether this is `parent` with one label before its host.
    pub fn is_label_below(&self, parent: &Self) -> bool {
        let label = self.host.strip_suffix(parent.host.as_str()).and_then(|rest| rest.strip_suffix('.'));
        let one = label.is_some_and(|label| !label.is_empty() && !label.contains('.'));
        one && (self.scheme, self.port) == (parent.scheme, parent.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_parsed() {
        let of = |url| Origin::of(url).map(|origin| origin.to_string());
        for (url, origin) in [
            ("https://App.Example.com/a?b#c", Some("https://app.example.com")),
            ("https://app.example.com:443", Some("https://app.example.com")),
            ("http://localhost:3000/x", Some("http://localhost:3000")),
            ("https://app.example.com.evil.example/", Some("https://app.example.com.evil.example")),
            ("https://app.example.com@evil.example/", None),
            ("https:\\\\evil.example", None),
            ("https://evil.example\\@app.example.com", None),
            ("//app.example.com/", None),
            ("/path", None),
            ("javascript:alert(1)", None),
            ("ftp://app.example.com", None),
            ("", None),
        ] {
            assert_eq!(of(url).as_deref(), origin, "{url}");
        }
    }

    #[test]
    fn an_origin_alone_has_no_path() {
        assert!(Origin::parse("https://app.example.com").is_some());
        for text in ["https://app.example.com/", "https://app.example.com?x", "null", "app.example.com"] {
            assert!(Origin::parse(text).is_none(), "{text}");
        }
    }
}
