//! Where a request came from, as the upstream hears it: `X-Forwarded-*`, or `Forwarded` (RFC 7239), or both.
//!
//! - A client that is no trusted proxy has said nothing about it: `spoofed` has removed what it said.
//! - What a trusted proxy said stays, and its address is added behind it.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};

use crate::config::Forwarded;

use super::connections::Connection;
use super::doors::Kind;
use super::headers::{Headers, value};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const HTTP: &str = "http";
const HTTPS: &str = "https";

/// Tells the upstream of this connection, as the configuration has it.
pub(super) fn tell(
    headers: &mut impl Headers,
    connection: &Connection,
    told: Forwarded,
) -> pingora::Result<()> {
    let Some(client) = connection.client else { return Ok(()) };
    if matches!(told, Forwarded::X | Forwarded::Both) {
        tell_x(headers, connection)?;
    }
    if matches!(told, Forwarded::Standard | Forwarded::Both) {
        let host = headers.all().get(header::HOST).and_then(|host| host.to_str().ok());
        let element = element(client, host, proto(connection));
        let chain = match before(headers, &header::FORWARDED) {
            Some(before) => format!("{before}, {element}"),
            None => element,
        };
        headers.put(header::FORWARDED, value(chain))?;
    }
    Ok(())
}

fn tell_x(headers: &mut impl Headers, connection: &Connection) -> pingora::Result<()> {
    let client = connection.client_text.clone();
    if let Some(before) = before(headers, &FOR) {
        let client = client.to_str().unwrap_or_default();
        return headers.put(FOR, value(format!("{before}, {client}")));
    }
    headers.put(PROTO, HeaderValue::from_static(proto(connection)))?;
    match headers.all().get(header::HOST).cloned() {
        Some(host) => headers.put(HOST, host)?,
        None => headers.delete(&HOST),
    }
    headers.put(FOR, client)
}

/// How the client spoke to us.
fn proto(connection: &Connection) -> &'static str {
    if connection.kind == Kind::Tls { HTTPS } else { HTTP }
}

/// What is there already, in one line.
fn before(headers: &impl Headers, name: &HeaderName) -> Option<String> {
    let mut lines = headers.all().get_all(name).iter().filter_map(|line| line.to_str().ok());
    let first = lines.next()?.to_owned();
    Some(lines.fold(first, |all, line| format!("{all}, {line}")))
}

/// One hop of `Forwarded`.
fn element(client: IpAddr, host: Option<&str>, proto: &str) -> String {
    let mut element = match client {
        IpAddr::V4(client) => format!("for={client}"),
        IpAddr::V6(client) => format!("for=\"[{client}]\""),
    };
    if let Some(host) = host {
        element.push_str(";host=\"");
        for character in host.chars() {
            if matches!(character, '"' | '\\') {
                element.push('\\');
            }
            element.push(character);
        }
        element.push('"');
    }
    // Writing to a string cannot fail.
    let _ = write!(element, ";proto={proto}");
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_quotes_what_is_no_token() {
        for (client, host, expected) in [
            ("203.0.113.7", Some("api.test"), "for=203.0.113.7;host=\"api.test\";proto=http"),
            ("2001:db8::1", Some("[::1]:8080"), "for=\"[2001:db8::1]\";host=\"[::1]:8080\";proto=http"),
            ("10.0.0.1", Some("a\"\\;b"), "for=10.0.0.1;host=\"a\\\"\\\\;b\";proto=http"),
            ("10.0.0.1", None, "for=10.0.0.1;proto=http"),
        ] {
            assert_eq!(element(client.parse().expect("an address"), host, "http"), expected);
        }
    }
}
