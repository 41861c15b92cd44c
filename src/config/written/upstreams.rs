//! `[upstreams.NAME]` and `[meters.NAME]`.

use serde_json::{Value as Json, json};

use crate::config::containers::NonEmpty;
use crate::config::findings::{At, Place};
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::{Node, Value};
use crate::config::values::number::Number;
use crate::config::values::path::FixedPath;
use crate::config::values::pem::Pem;
use crate::config::values::server_url::ServerUrl;
use crate::config::values::span::Span;
use crate::config::values::status::Statuses;
use crate::config::values::text::Text;
use crate::config::values::words;

#[derive(Debug)]
pub(crate) struct Upstream {
    pub servers: Given<NonEmpty<UpstreamServer>>,
    pub balance: At<Balance>,
    pub health_check: Given<HealthCheck>,
    pub eject: Given<Eject>,
    pub slow_start: At<Span<0>>,
    pub resolve: At<Resolve>,
    pub resolve_interval: At<Span<1_000>>,
    pub retries: At<Number<0, 10>>,
    pub retry_on: At<Vec<At<Statuses>>>,
    pub timeouts: Timeouts,
    pub tls: Given<UpstreamTls>,
    pub http: At<Http>,
    pub host: At<Text>,
}

/// How long a step may take.
#[derive(Debug)]
pub(crate) struct Timeouts {
    pub connect: At<Span<1>>,
    pub read: At<Span<1>>,
    pub write: At<Span<1>>,
    pub first_byte: Given<Span<1>>,
    pub total: Given<Span<1>>,
    pub idle: At<Span<1>>,
    pub keepalive: At<Span<1>>,
}

words! {
    /// Which server takes a request.
    Balance {
        /// Each in turn, by its weight.
        RoundRobin "round_robin",
        LeastConnections "least_connections",
        /// A customer's requests go to the same one.
        Customer "customer",
    }
}

words! {
    /// What is spoken to servers.
    Http {
        Http1 "1",
        Http2 "2",
        /// What TLS agrees on.
        Auto "auto",
    }
}

words! {
    /// When names of servers are resolved for the first time.
    Resolve {
        /// The gateway does not start without.
        Start "start",
        Lazy "lazy",
    }
}

impl Section for Upstream {
    const ABOUT: &'static str = "[upstreams.NAME]: servers that answer the same requests.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            servers: keys.required("servers", SERVERS),
            balance: keys.or("balance", BALANCE, "round_robin"),
            health_check: keys.optional("health_check", HealthCheck::ABOUT),
            eject: keys.optional("eject", Eject::ABOUT),
            slow_start: keys.or(
                "slow_start",
                "How long a server that has come back gets fewer requests.",
                "0s",
            ),
            resolve: keys.or(
                "resolve",
                "\"start\": every name must have an address then; or \"lazy\".",
                "start",
            ),
            resolve_interval: keys.or("resolve_interval", "How often names are resolved again.", "30s"),
            retries: keys.or("retries", "Further tries when no connection can be made.", 1),
            retry_on: keys.or("retry_on", "Statuses on which another server is asked, if it is safe.", []),
            timeouts: Timeouts::read_keys(keys),
            tls: keys.optional("tls", UpstreamTls::ABOUT),
            http: keys.or("http", "HTTP that servers speak: \"1\", \"2\" or \"auto\".", "1"),
            host: keys.or("host", HOST, "keep"),
        }
    }
}

impl Timeouts {
    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            connect: keys.or("connect_timeout", "How long connecting may take.", "1s"),
            read: keys.or("read_timeout", "How long the server may be silent.", "60s"),
            write: keys.or("write_timeout", "How long the server may refuse to read.", "60s"),
            first_byte: keys.optional(
                "first_byte_timeout",
                "How long an answer may take to begin; left out: read_timeout.",
            ),
            total: keys.optional(
                "total_timeout",
                "How long it may with all attempts; left out: no limit of its own.",
            ),
            idle: keys.or("idle_timeout", "How long both sides of a WebSocket may be silent.", "5m"),
            keepalive: keys.or("keepalive_timeout", "How long an unused connection is kept.", "60s"),
        }
    }
}

const SERVERS: &str = "Each as \"host:port\", as a URL, or as { address = …, weight = 2 }.";
const BALANCE: &str = "Which server takes a request: \"round_robin\", \"least_connections\", \"customer\".";
const HOST: &str = "The Host that servers see: \"keep\" the client's, the \"server\"'s own, or a name.";

/// A server, alone or with its weight.
#[derive(Debug)]
pub(crate) struct UpstreamServer {
    pub address: Given<ServerUrl>,
    pub weight: At<Number<1, 1_000>>,
}

/// A server in the long form.
struct Weighted(UpstreamServer);

impl Section for Weighted {
    const ABOUT: &'static str = "A server and its weight.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self(UpstreamServer {
            address: keys.required("address", "\"host:port\", or a URL."),
            weight: keys.or("weight", "Its share of the requests, beside the others'.", 1),
        })
    }
}

impl Read for UpstreamServer {
    fn schema() -> Json {
        json!({ "anyOf": [ServerUrl::schema(), Weighted::schema()] })
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(node.value, Value::Table(_)) {
            return Weighted::read(node, reader).map(|server| server.0);
        }
        let address = At { value: ServerUrl::read(node, reader)?, place: node.place.clone() };
        let weight = At { value: Number(1), place: node.place.clone() };
        Some(Self { address: Given::Value(address), weight })
    }
}

#[derive(Debug)]
pub(crate) struct HealthCheck {
    pub path: Given<FixedPath>,
    pub interval: At<Span<100>>,
    pub timeout: At<Span<1>>,
    pub rise: At<Number<1, 1_000>>,
    pub fall: At<Number<1, 1_000>>,
    pub expect: Given<NonEmpty<Statuses>>,
}

impl Section for HealthCheck {
    const ABOUT: &'static str = "Servers are asked whether they are well; left out: they are not.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            path: keys.optional("path", "What is asked for; left out: a connection is enough."),
            interval: keys.or("interval", "How often.", "5s"),
            timeout: keys.or("timeout", "How long the answer may take.", "2s"),
            rise: keys.or("rise", "Good answers in a row after which a server is well again.", 2),
            fall: keys.or("fall", "Bad ones after which it is not.", 3),
            expect: keys.optional("expect", "Statuses that are good; left out: [\"2xx\"]."),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Eject {
    pub failures: At<Number<1, 1_000>>,
    pub within: At<Span<1>>,
    pub lasts: At<Span<1>>,
}

impl Section for Eject {
    const ABOUT: &'static str = "A server that fails is left alone for a while; left out: it is not.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            failures: keys.or("failures", "How many failures, of connections or answers.", 5),
            within: keys.or("within", "In how long.", "10s"),
            lasts: keys.or("for", "How long it is left alone, the first time.", "30s"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct UpstreamTls {
    pub place: Place,
    pub ca: Given<Pem>,
    pub certificate: Given<Pem>,
    pub private_key: Given<Pem>,
    pub sni: Given<Text>,
}

impl Section for UpstreamTls {
    const ABOUT: &'static str = "How servers with https are known; they always are verified.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            ca: keys
                .optional("ca", "Who signs their certificates, in PEM; left out: who this machine trusts."),
            certificate: keys.optional("certificate", "What the gateway shows them, in PEM."),
            private_key: keys.optional("private_key", "Its key in PEM."),
            sni: keys.optional("sni", "The name in their certificates; left out: that of the URL."),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Meter {
    pub stripe_event_name: Given<Text>,
}

impl Section for Meter {
    const ABOUT: &'static str = "[meters.NAME]: counts units.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            stripe_event_name: keys.optional(
                "stripe_event_name",
                "The `event_name` of the meter at Stripe; left out: the meter's name.",
            ),
        }
    }
}
