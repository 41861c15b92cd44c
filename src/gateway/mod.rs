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
//! A request's way, file by file: `connections` and `serving` (a connection's requests), `phases` (what all of them go
//! through), `framing` (what is no plain request is put into one form), `admission` (before the upstream),
//! `idempotency` and `fleet_keys` (which requests repeat one that was charged, here or on another node), then
//! `exchange` to the upstream for plain requests and for what opens a WebSocket (`websocket`), and `proxy`, pingora's
//! own way, for all others; `forwarding` (what the upstream gets), `edges` (what the configuration changes of requests
//! and answers), `measuring` (what passes, where that tells the price), `charging` (at the response), `limits` (what
//! the client is told of its limits), `answer` (what the gateway itself says), `access` (the line that is left of a
//! request), `traces` (its spans).

mod access;
mod admission;
mod answer;
mod charging;
mod connections;
mod context;
mod cors;
mod counters;
mod edges;
mod exchange;
mod fleet_keys;
mod forwarding;
mod framing;
mod header_rules;
mod headers;
mod hops;
mod idempotency;
mod in_process;
mod limits;
mod measuring;
mod phases;
mod proxy;
mod request_id;
mod serving;
mod spoofed;
mod traces;
mod upstreams;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use http::HeaderValue;

use crate::auth::Authenticator;
use crate::config::{Cidr, Forwarded};
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::sharded::Running;

use counters::Counters;
use edges::{Edge, Edges};
use forwarding::TierHeaders;

pub use access::Access;
pub use connections::Connections;
pub use request_id::RequestId;
pub use traces::Traces;
pub use upstreams::{Upstream, Upstreams};

/// The store's numbers of what records name, by position in the catalogue.
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
    /// Where `upgrade_url` points; none without a public URL.
    pub upgrade_url: Option<String>,
    /// Networks whose `x-request-id` and `x-forwarded-for` are believed.
    pub trusted_proxies: Vec<Cidr>,
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
    /// None where requests leave no line.
    pub access: Option<Access>,
    /// None where nothing is traced.
    pub traces: Option<Traces>,
}

/// What every phase can reach.
pub struct Parts {
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
    tier_headers: Vec<TierHeaders>,
    edges: Edges,
}

impl Parts {
    pub fn new(rooms: Rooms, numbers: RecordNumbers, settings: Settings, flow: Arc<Flow>) -> Arc<Self> {
        let Rooms { catalogue, authenticator, customers, ledger, upstreams, api, fleet, access, traces } =
            rooms;
        Arc::new(Self {
            counters: Counters::new(&catalogue),
            tier_headers: TierHeaders::of(&catalogue),
            edges: Edge::all(&catalogue),
            usage_costs: limits::usage_costs(&catalogue),
            catalogue,
            authenticator,
            customers,
            ledger,
            upstreams,
            api,
            fleet,
            access,
            traces,
            numbers,
            settings,
            flow,
        })
    }
}
