//! Those keys of `[server]` that say how connections come in and what they may do.

use std::net::SocketAddr;

use crate::config::findings::{At, Place};
use crate::config::read::{Given, Keys, Section};
use crate::config::values::number::Number;
use crate::config::values::path::FixedPath;
use crate::config::values::pem::Pem;
use crate::config::values::size::{Size, SizeOrNone};
use crate::config::values::span::Span;
use crate::config::values::text::Text;
use crate::config::values::words;

/// A part of [`super::Server`].
#[derive(Debug)]
pub(crate) struct Doors {
    pub tls: Given<Tls>,
    pub h2c_listen: At<Vec<At<SocketAddr>>>,
    pub plain_listen: At<Vec<At<SocketAddr>>>,
    pub redirect_listen: At<Vec<At<SocketAddr>>>,
    pub redirect_except: At<Vec<At<FixedPath>>>,
    pub http2: At<bool>,
    pub h2: At<H2>,
    pub limits: Limits,
}

/// What a connection may do.
#[derive(Debug)]
pub(crate) struct Limits {
    pub header_timeout: At<Span<1>>,
    pub body_timeout: At<Span<1>>,
    pub min_body_rate: At<SizeOrNone>,
    pub max_headers: At<Number<1, 256>>,
    pub max_header_bytes: At<Size>,
    pub max_uri: At<Size>,
    pub max_connections: At<Number<0, 10_000_000>>,
    pub connections_per_ip: At<Number<0, 10_000_000>>,
    pub requests_per_connection: At<Number<0, 1_000_000_000>>,
}

impl Doors {
    pub fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            tls: keys.optional("tls", Tls::ABOUT),
            h2c_listen: keys.or("h2c_listen", "Addresses for HTTP/2 without TLS, inside your network.", []),
            plain_listen: keys.or("plain_listen", "Addresses without TLS, beside `listen` with it.", []),
            redirect_listen: keys.or("redirect_listen", "Addresses that send clients on to https.", []),
            redirect_except: keys.or("redirect_except", REDIRECT_EXCEPT, []),
            http2: keys.or("http2", "Whether HTTP/2 is offered where TLS is.", true),
            h2: keys.section("h2"),
            limits: Limits::read_keys(keys),
        }
    }
}

impl Limits {
    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            header_timeout: keys.or(
                "header_timeout",
                "How long a request's whole header may take, and a handshake.",
                "60s",
            ),
            body_timeout: keys.or(
                "body_timeout",
                "How long a client may send nothing of its body, or take nothing.",
                "60s",
            ),
            min_body_rate: keys.or(
                "min_body_rate",
                "Bytes a second that a body must come at on average, after 30s; 0: any.",
                "0",
            ),
            max_headers: keys.or("max_headers", "The most headers of a request.", 100),
            max_header_bytes: keys.or(
                "max_header_bytes",
                "The most bytes of their names and values.",
                "64KiB",
            ),
            max_uri: keys.or("max_uri", "The longest path and query.", "8KiB"),
            max_connections: keys.or("max_connections", "The most connections at once; 0: no limit.", 0),
            connections_per_ip: keys.or("connections_per_ip", CONNECTIONS_PER_IP, 0),
            requests_per_connection: keys.or("requests_per_connection", REQUESTS_PER_CONNECTION, 0),
        }
    }
}

const REDIRECT_EXCEPT: &str =
    "Paths below which `redirect_listen` serves routes, such as \"/.well-known/acme-challenge\".";
const CONNECTIONS_PER_IP: &str =
    "The most connections of one address, IPv6 by /64; trusted proxies may have more; 0: no limit.";
const REQUESTS_PER_CONNECTION: &str = "A connection is closed after so many requests; 0: never for that.";

#[derive(Debug)]
pub(crate) struct Tls {
    pub place: Place,
    pub certificate: Given<Pem>,
    pub private_key: Given<Pem>,
    pub certificates: At<Vec<At<Certificate>>>,
    pub min_version: At<TlsVersion>,
    pub client_ca: Given<Pem>,
    pub client_auth: At<ClientAuth>,
}

words! {
    /// The oldest TLS that is spoken.
    TlsVersion {
        V12 "1.2",
        V13 "1.3",
    }
}

words! {
    /// Whether clients show a certificate.
    ClientAuth {
        None "none",
        /// Those that do must have one of `client_ca`.
        Optional "optional",
        Required "required",
    }
}

impl Section for Tls {
    const ABOUT: &'static str = "With it `listen` speaks TLS.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            certificate: keys.optional("certificate", "The chain in PEM, the own certificate first."),
            private_key: keys.optional("private_key", "Its key in PEM."),
            certificates: keys.or("certificates", "Several, chosen by the name that a client asks for.", []),
            min_version: keys.or("min_version", "The oldest TLS that is spoken.", "1.2"),
            client_ca: keys.optional("client_ca", "Who signs clients' certificates, in PEM."),
            client_auth: keys.or(
                "client_auth",
                "Whether clients show a certificate: \"none\", \"optional\" or \"required\".",
                "none",
            ),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Certificate {
    pub chain: Given<Pem>,
    pub private_key: Given<Pem>,
    pub names: At<Vec<At<Text>>>,
}

impl Section for Certificate {
    const ABOUT: &'static str = "A certificate and the names that it is shown for.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            chain: keys.required("certificate", "The chain in PEM, the own certificate first."),
            private_key: keys.required("private_key", "Its key in PEM."),
            names: keys.or("names", "Host names, or \"*.example.com\"; left out: those in it.", []),
        }
    }
}

#[derive(Debug)]
pub(crate) struct H2 {
    pub streams: At<Number<1, 10_000>>,
    pub resets: At<Number<1, 10_000>>,
    pub window: At<Size>,
}

impl Section for H2 {
    const ABOUT: &'static str = "What a client may do on one connection of HTTP/2.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            streams: keys.or("streams", "Requests at once.", 100),
            resets: keys.or("resets", "Requests that it may have taken back at once.", 50),
            window: keys.or("window", "Bytes of a body that it may send ahead.", "64KiB"),
        }
    }
}
