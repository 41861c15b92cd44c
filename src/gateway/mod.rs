//! The gateway: the life of a proxied request.
//!
//! # What it promises
//!
//! - Nothing is forwarded on a charged route without a [`crate::customers::Reservation`], and no charged response's
//!   header goes out before its usage record is in the ledger.
//! - A refusal is never charged and never closes the client's connection. A repeat of a charged request is not charged.
//! - What may run again on a retry (`upstream_peer`, `upstream_request_filter`) counts nothing.
//! - The upstream hears of a customer only what a verified token says.
//!
//! A request's way, file by file:
//!
//! 1. `doors`: who is let in where (`crowd`, `tls`, `redirect`). `connections`, with `serving` or `h2`: its requests.
//! 2. `phases`: what all of them go through. `framing`: what is no plain request is put into one form.
//! 3. `admission`: who calls (`client`: from where), for what, and may they. `cors`: may a page ask. `idempotency`,
//!    `fleet_keys`: is it a repeat of one that was charged, here or on another node.
//! 4. To an upstream (`upstreams`): `exchange` for plain requests and what opens a `websocket`, `proxy`, pingora's own
//!    way, for all others (`upload`: a body's way by HTTP/2). `forwarding`: what it gets (`spoofed`: and what not,
//!    `hops`: from where). `measuring`: what passes, where that tells the price.
//! 5. `charging`: at the answer's header. `estimates`: what only the end tells; `slices`: while it is open. `tiers`:
//!    what is kept of each. `limits`: what the client is told of them.
//!    `books`: where charges are settled when another process takes this one's place.
//! 6. `answer`, `in_process`: what the gateway itself says. `grpc`: what is different for gRPC. `edges`: what the
//!    configuration changes of requests and answers (`header_rules`).
//! 7. What is left of it: `counters`, `access` (its line), `traces` (its spans), `debug` (what was
//!    decided and why, for the log).

mod access;
mod admission;
mod answer;
mod books;
mod charging;
mod client;
mod connections;
mod context;
mod cors;
mod counters;
mod crowd;
mod debug;
mod doors;
mod edges;
mod estimates;
mod exchange;
mod fleet_keys;
mod forwarding;
mod framing;
mod grpc;
mod h2;
mod header_rules;
mod headers;
mod hops;
mod idempotency;
mod in_process;
mod limits;
mod measuring;
mod phases;
mod proxy;
mod redirect;
mod request_id;
mod serving;
mod slices;
mod spoofed;
mod tiers;
mod tls;
mod traces;
mod upload;
mod upstreams;
mod websocket;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use http::{HeaderName, HeaderValue};

use crate::auth::Authenticator;
use crate::config::{CertificateName, Cidr, Forwarded, H2, Limits};
use crate::customers::Customers;
use crate::domain::anonymous::Networks;
use crate::domain::catalogue::Catalogue;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::sharded::Running;

use counters::Counters;
use edges::{Edge, Edges};
use tiers::OfTiers;

pub use access::Access;
pub use books::{Books, Desk, Heir};
pub use connections::Connections;
pub use doors::{Door, Kind};
pub use redirect::Redirects;
pub use request_id::RequestId;
pub use tiers::Tiers;
pub use tls::{NextTls, Tls};
pub use traces::Traces;
pub use upstreams::{Addresses, MOST_ATTEMPTS, ProbeFailed, Probed, Unresolved, Upstreams, probe, resolve};

/// The store's numbers of what records name, by the catalogue's own numbers.
#[derive(Clone, Debug, Default)]
pub struct RecordNumbers {
    pub routes: Vec<u32>,
    pub tiers: Vec<u32>,
    pub meters: Vec<u32>,
    /// A fingerprint of the configuration.
    pub configuration: u32,
}

/// The paths that the gateway answers itself.
#[derive(Clone, Debug)]
pub struct OwnPaths {
    /// `/billing`: itself and everything below it.
    pub prefix: String,
    pub pricing: String,
    pub webhook: String,
}

/// What the gateway needs to know of the configuration beside the catalogue.
#[derive(Clone, Debug)]
pub struct Settings {
    pub own_paths: OwnPaths,
    pub max_body: u64,
    pub forward_token: bool,
    /// Where an API key stands, beside `Authorization`; none where keys are off.
    pub key_header: Option<HeaderName>,
    /// Which networks make one anonymous customer; none: nobody is anonymous.
    pub anonymous: Option<Networks>,
    /// Where `upgrade_url` points; none without a public URL.
    pub upgrade_url: Option<String>,
    /// Networks whose `x-request-id` and `x-forwarded-for` are believed.
    pub trusted_proxies: Vec<Cidr>,
    pub keepalive_timeout: Duration,
    pub limits: Limits,
    pub h2: H2,
    /// What of a client's certificate names the customer; none: nothing does.
    pub client_certificate: Option<CertificateName>,
    pub redirects: Redirects,
    /// Which headers tell upstreams where a request came from.
    pub forwarded: Forwarded,
}

/// What the server and the gateway tell each other.
#[derive(Debug, Default)]
pub struct Flow {
    pub draining: Arc<AtomicBool>,
    /// Nothing is admitted any more. Sequentially consistent, as [`Running::start`] wants it: a request sees that it is
    /// closed, or is waited for.
    pub closed: AtomicBool,
    /// Requests whose answer is not finished.
    pub in_flight: Running,
    /// Where charges are settled.
    pub books: Books,
    /// Connections, on which a request may come at any time.
    pub connections: Running,
    /// Connections of HTTP/2: what was answered there may still be on its way.
    pub http2: Running,
}

impl OwnPaths {
    /// Whether the gateway answers a path itself.
    fn hold(&self, path: &str) -> bool {
        let below = path
            .strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        below || path == self.pricing || path == self.webhook
    }
}

/// The rooms that a request passes through, as the server hands them over.
pub struct Rooms {
    pub catalogue: Arc<Catalogue>,
    pub authenticator: Arc<Authenticator>,
    pub customers: Arc<Customers>,
    pub ledger: Arc<Ledger>,
    pub upstreams: Arc<Upstreams>,
    /// Answers `own_paths`.
    pub api: Router,
    /// The other gateways; none where this is the only one.
    pub fleet: Option<Arc<Fleet>>,
    /// The same one for all configurations that follow each other.
    pub tiers: Arc<Tiers>,
    /// None where requests leave no line.
    pub access: Option<Access>,
    /// None where nothing is traced.
    pub traces: Option<Traces>,
}

/// What every phase can reach.
pub struct Parts {
    /// For what outlives the request that it is of.
    me: Weak<Self>,
    catalogue: Arc<Catalogue>,
    authenticator: Arc<Authenticator>,
    customers: Arc<Customers>,
    ledger: Arc<Ledger>,
    upstreams: Arc<Upstreams>,
    api: Router,
    fleet: Option<Arc<Fleet>>,
    access: Option<Access>,
    traces: Option<Traces>,
    numbers: RecordNumbers,
    settings: Settings,
    flow: Arc<Flow>,
    usage_costs: Vec<HeaderValue>,
    counters: Counters,
    own_tiers: OfTiers,
    tiers: Arc<Tiers>,
    edges: Edges,
    /// Some tier does: then it is known of each request who makes it before it is admitted.
    caps_members: bool,
}

impl Parts {
    pub fn new(rooms: Rooms, numbers: RecordNumbers, settings: Settings, flow: Arc<Flow>) -> Arc<Self> {
        let Rooms {
            catalogue,
            authenticator,
            customers,
            ledger,
            upstreams,
            api,
            fleet,
            tiers,
            access,
            traces,
        } = rooms;
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            counters: Counters::new(&catalogue),
            own_tiers: tiers.follow(&catalogue, &numbers.tiers),
            edges: Edge::all(&catalogue),
            usage_costs: limits::usage_costs(&catalogue),
            caps_members: catalogue.caps_members(),
            catalogue,
            authenticator,
            customers,
            ledger,
            upstreams,
            api,
            fleet,
            tiers,
            access,
            traces,
            numbers,
            settings,
            flow,
        })
    }
}
