//! Servers behind the gateway: `"host:port"`, `"http://host:port"`, `"https://host[:port][/path]"`.

use serde_json::{Value as Json, json};

use super::address::{self, HostPort};
use super::path::FixedPath;
use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

/// Where a server is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    pub tls: bool,
    pub address: HostPort,
    /// What stands before every path, without a trailing slash; empty for nothing.
    pub base: String,
}

impl Read for ServerUrl {
    fn schema() -> Json {
        json!({ "type": "string", "title": "host:port or URL" })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help =
            r#"write host and port, such as "127.0.0.1:9000", or a URL such as "https://api.internal:8443""#;
        reader.parse(node, help, parse)
    }
}

fn parse(text: &str) -> Result<ServerUrl, String> {
    let (tls, usual_port, rest) = if let Some(rest) = text.strip_prefix("https://") {
        (true, Some(":443"), rest)
    } else if let Some(rest) = text.strip_prefix("http://") {
        (false, Some(":80"), rest)
    } else if text.contains("://") {
        return Err("only http and https are spoken".into());
    } else {
        (false, None, text)
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err("a user has no place here".into());
    }
    if !path.is_empty() && usual_port.is_none() {
        return Err("a path needs a URL".into());
    }
    let base = match path.trim_end_matches('/') {
        "" => String::new(),
        base => FixedPath::parse(base)?.0,
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let address = match usual_port {
        Some(port) if !has_port => address::parse(&format!("{authority}{port}")),
        _ => address::parse(authority),
    };
    Ok(ServerUrl { tls, address: address?, base })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_addresses_or_urls() {
        for (text, tls, address, base) in [
            ("127.0.0.1:9000", false, "127.0.0.1:9000", ""),
            ("[::1]:9000", false, "[::1]:9000", ""),
            ("http://api.internal", false, "api.internal:80", ""),
            ("http://[::1]", false, "[::1]:80", ""),
            ("https://api.internal/", true, "api.internal:443", ""),
            ("https://[::1]:8443", true, "[::1]:8443", ""),
            ("https://api.internal:8443/base/v1/", true, "api.internal:8443", "/base/v1"),
        ] {
            let server = parse(text).expect(text);
            let read = (server.tls, server.address.to_string(), server.base.as_str());
            assert_eq!(read, (tls, address.to_owned(), base), "{text}");
        }
        for text in [
            "",
            "api.internal",
            "ftp://api.internal:21",
            "https://",
            "https://user@api.internal",
            "https://api.internal:0",
            "https://api.internal/a/../b",
            "https://api.internal/a?b",
            "https://api.internal/{a}",
            "127.0.0.1:9000/base",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
