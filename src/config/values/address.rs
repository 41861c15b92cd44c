//! Addresses to listen on, and servers to connect to.

use std::fmt;
use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use crate::config::read::{Read, Reader};
use crate::config::tree::Node;

impl Read for SocketAddr {
    fn schema() -> Json {
        json!({ "type": "string", "title": "address with port" })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = r#"write an IP address and a port, such as "0.0.0.0:8080" or "[::]:8080""#;
        reader.parse(node, help, |text| text.parse().map_err(|_| "this is not an address with a port".into()))
    }
}

/// A server by name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

/// As `host:port`, with brackets where the host is an IPv6 address.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

pub(crate) fn parse(text: &str) -> Result<HostPort, String> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or("the port is no number from 1 to 65535")?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match bracketed {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
        None if is_host(host) => host,
        _ => return Err("this is not a host".into()),
    };
    Ok(HostPort { host: host.to_owned(), port })
}

fn is_host(host: &str) -> bool {
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    plain && (1..=253).contains(&host.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_a_host_and_a_port() {
        for text in ["127.0.0.1:9000", "api.internal:80", "[::1]:9000", "my_service:1"] {
            assert_eq!(parse(text).map(|server| server.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "",
            "api",
            "api:",
            ":80",
            "api:0",
            "api:65536",
            "http://api:80",
            "::1:80",
            "[api]:80",
            "a b:80",
            "a/b:80",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
