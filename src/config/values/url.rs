//! `http` and `https` URLs.

use std::net::IpAddr;

use serde_json::Value as Json;

use super::pattern;
use crate::config::read::{Read, Reader};
use crate::config::tree::{Node, Value};

/// An absolute URL without user, fragment or trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url(http::Uri);

impl Url {
    /// What is sent there can be read on the way.
    pub(crate) fn is_plain_beyond_loopback(&self) -> bool {
        self.0.scheme_str() == Some("http") && !self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let host = self.0.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
    }

    /// Ready for a path to be appended.
    pub(crate) fn to_text(&self) -> String {
        self.0.to_string().trim_end_matches('/').to_owned()
    }
}

impl Read for Url {
    fn schema() -> Json {
        pattern("URL", "https?://.*")
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write an absolute URL, such as "https://api.example.com""#;
        // A name in a URL comes with a password, a query with a key.
        if matches!(&node.value, Value::Text(text) if text.contains(['@', '?'])) {
            node.scalars(&mut reader.found.masked);
        }
        reader.parse(node, help, |text| parse(text).ok_or_else(|| "this is not an http or https URL".into()))
    }
}

fn parse(text: &str) -> Option<Url> {
    let uri: http::Uri = text.parse().ok()?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let host = uri.host().is_some_and(|host| !host.is_empty());
    (web && plain && host && !text.contains('#')).then_some(Url(uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_and_name_nobody() {
        assert_eq!(parse("https://api.example.com/").expect("a URL").to_text(), "https://api.example.com");
        assert_eq!(parse("http://[::1]:80/a?b=c").expect("a URL").to_text(), "http://[::1]:80/a?b=c");
        for text in
            ["", "api.example.com", "/x", "ftp://x", "http://", "http://u:p@x", "http://x/#y", "http://a b"]
        {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn plain_http_is_safe_on_loopback_only() {
        for (text, exposed) in [
            ("http://127.0.0.1:1", false),
            ("http://127.9.9.9", false),
            ("http://LOCALHOST", false),
            ("http://[::1]:1", false),
            ("https://a.example", false),
            ("http://a.example", true),
            ("http://localhost.a.example", true),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(parse(text).expect("a URL").is_plain_beyond_loopback(), exposed, "{text}");
        }
    }
}
