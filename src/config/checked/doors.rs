//! How connections come in, and what they may do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::tls::{self, Tls};
use crate::config::findings::{At, Findings, Place};
use crate::config::read::Given;
use crate::config::values::pem::Pem;
use crate::config::written;

/// The public ports beside `listen`, and the limits of their connections.
#[derive(Clone, Debug)]
pub struct Doors {
    /// `None`: `listen` speaks plain HTTP.
    pub tls: Option<Tls>,
    /// HTTP/2 without TLS.
    pub h2c_listen: Vec<SocketAddr>,
    /// HTTP/1 without TLS.
    pub plain_listen: Vec<SocketAddr>,
    /// Sends clients on to https.
    pub redirect_listen: Vec<SocketAddr>,
    /// Paths below which those serve routes, without a trailing slash.
    pub redirect_except: Vec<String>,
    /// Offered by ALPN.
    pub http2: bool,
    pub h2: H2,
    pub limits: Limits,
}

/// What a client may do on one connection of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct H2 {
    pub streams: u32,
    pub resets: u32,
    /// Bytes.
    pub window: u32,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// Bytes a second; `None`: any.
    pub min_body_rate: Option<u64>,
    pub max_headers: usize,
    pub max_header_bytes: u64,
    pub max_uri: u64,
    pub max_connections: Option<u64>,
    pub connections_per_ip: Option<u64>,
    pub requests_per_connection: Option<u64>,
}

pub(super) fn check(server: &written::Server, found: &mut Findings) -> Doors {
    let doors = &server.doors;
    let has_tls = !doors.tls.is_left_out();
    check_addresses(server, found);
    for list in [&doors.plain_listen, &doors.redirect_listen] {
        if let (false, Some(first)) = (has_tls, list.value.first()) {
            let help = "write `tls`, or move the address to `listen`";
            found.error(&first.place, "without server.tls nothing else is listened on", help);
        }
    }
    if let (true, Some(first)) = (doors.redirect_listen.value.is_empty(), doors.redirect_except.value.first())
    {
        let help = "add `redirect_listen`, or leave it out";
        found.error(&first.place, "without server.redirect_listen nobody is sent on", help);
    }
    let addresses = |list: &At<Vec<At<SocketAddr>>>| list.value.iter().map(|address| address.value).collect();
    let except = doors.redirect_except.value.iter();
    Doors {
        tls: doors.tls.get().map(|tls| tls::check(tls, found)),
        h2c_listen: addresses(&doors.h2c_listen),
        plain_listen: addresses(&doors.plain_listen),
        redirect_listen: addresses(&doors.redirect_listen),
        redirect_except: except.map(|path| path.value.0.clone()).collect(),
        http2: doors.http2.value,
        h2: h2(doors),
        limits: limits(&doors.limits, found),
    }
}

fn h2(doors: &written::Doors) -> H2 {
    let [streams, resets, window] =
        [doors.h2.value.streams.value.0, doors.h2.value.resets.value.0, doors.h2.value.window.value.0]
            .map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    // Beyond it is a protocol error (RFC 9113, section 6.9.1).
    H2 { streams, resets, window: window.min((1 << 31) - 1) }
}

/// More than these is not read of a request, whatever is allowed.
const LARGEST_HEADER: u64 = 512 * 1024;
const LONGEST_URI: u64 = 60 * 1024;

fn limits(limits: &written::Limits, found: &mut Findings) -> Limits {
    for (size, most, help) in [
        (&limits.max_header_bytes, LARGEST_HEADER, "write at most \"512KiB\""),
        (&limits.max_uri, LONGEST_URI, "write at most \"60KiB\""),
    ] {
        if size.value.0 > most {
            found.error(&size.place, "so much is not read of a request", help);
        }
    }
    let some = |number: u64| (number > 0).then_some(number);
    Limits {
        header_timeout: limits.header_timeout.value.0,
        body_timeout: limits.body_timeout.value.0,
        min_body_rate: some(limits.min_body_rate.value.0),
        max_headers: usize::try_from(limits.max_headers.value.0).unwrap_or(usize::MAX),
        max_header_bytes: limits.max_header_bytes.value.0,
        max_uri: limits.max_uri.value.0,
        max_connections: some(limits.max_connections.value.0),
        connections_per_ip: some(limits.connections_per_ip.value.0),
        requests_per_connection: some(limits.requests_per_connection.value.0),
    }
}

/// Each address once, over all kinds of listeners.
fn check_addresses(server: &written::Server, found: &mut Findings) {
    let doors = &server.doors;
    let listen = server.listen.get().map_or(&[][..], |listen| &listen.0);
    let mut taken: HashMap<SocketAddr, &str> =
        listen.iter().map(|address| (address.value, "server.listen")).collect();
    taken.insert(server.admin_listen.value, "server.admin_listen");
    for (key, list) in [
        ("server.h2c_listen", &doors.h2c_listen),
        ("server.plain_listen", &doors.plain_listen),
        ("server.redirect_listen", &doors.redirect_listen),
    ] {
        for address in &list.value {
            if address.value.port() == 0 {
                found.error(&address.place, "nobody would find port 0", "write the port that clients call");
            } else if let Some(other) = taken.insert(address.value, key) {
                let help = "give each kind of listener an address of its own";
                found.error(&address.place, format!("this address stands in {other} already"), help);
            }
        }
    }
}

/// A certificate and its key, both or none.
pub(super) fn pair(
    certificate: &Given<Pem>,
    private_key: &Given<Pem>,
    place: &Place,
    found: &mut Findings,
) -> Option<(Pem, Pem)> {
    match (certificate.is_left_out(), private_key.is_left_out()) {
        (false, true) => found.error(&place.child("private_key"), "missing", "add the certificate's key"),
        (true, false) => found.error(&place.child("certificate"), "missing", "add the key's certificate"),
        _ => {}
    }
    certificate.get().cloned().zip(private_key.get().cloned())
}
