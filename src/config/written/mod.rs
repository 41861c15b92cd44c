//! The file as written: every section, its keys, what each is for and its default.

use super::containers::ByName;
use super::findings::At;
use super::read::{Given, Keys, Section};

pub(crate) use auth::{Anonymous, ApiKeys, Auth, ClientCertificate, Jwt};
pub(crate) use billing::{Billing, Paths};
pub(crate) use costs::{Cost, Measure, MeterCost};
pub(crate) use credits::CreditPack;
pub(crate) use doors::{Certificate, Doors, Limits, Tls};
pub(crate) use edges::{Changes, Cors, Headers, RouteCors};
pub(crate) use extras::{Extras, FreeWhen, RouteTimeouts};
pub(crate) use fleet::Fleet;
pub(crate) use outgoing::Webhook;
pub(crate) use retention::Retention;
pub(crate) use routes::{DefaultRoute, Route, Terms};
pub(crate) use server::{Ledger, Log, Server};
pub(crate) use stripe::{Mode, Stripe};
pub(crate) use tiers::{Member, Overage, Tier};
pub(crate) use upstreams::{HealthCheck, Meter, Upstream, UpstreamServer, UpstreamTls};
pub(crate) use watching::{AccessLog, Tracing};

pub use auth::CertificateName;
pub use doors::{ClientAuth, TlsVersion};
pub use fleet::OnRedisLoss;
pub use selling::{Proration, WebhookMode};
pub use server::{Durability, Forwarded, LogFormat};
pub use upstreams::{Balance, Http, Resolve};
pub use watching::LogField;

mod auth;
mod billing;
mod costs;
mod credits;
mod doors;
mod edges;
mod extras;
mod fleet;
mod outgoing;
mod retention;
mod routes;
mod selling;
mod server;
mod stripe;
mod tiers;
mod upstreams;
mod watching;

/// The whole file.
#[derive(Debug)]
pub(crate) struct Root {
    pub server: Given<Server>,
    pub log: At<Log>,
    pub ledger: At<Ledger>,
    pub auth: Given<Auth>,
    pub upstreams: Given<ByName<Upstream>>,
    pub meters: Given<ByName<Meter>>,
    pub routes: Given<Vec<At<Route>>>,
    pub routes_default: Given<DefaultRoute>,
    pub tiers: Given<ByName<Tier>>,
    pub credit_packs: At<Vec<At<CreditPack>>>,
    pub billing: At<Billing>,
    pub webhooks: At<Vec<At<Webhook>>>,
    pub retention: At<Retention>,
    pub stripe: Given<Stripe>,
    pub fleet: Given<Fleet>,
    pub cors: Given<Cors>,
    pub headers: Given<Headers>,
    pub access_log: Given<AccessLog>,
    pub tracing: Given<Tracing>,
}

impl Section for Root {
    const ABOUT: &'static str = "The configuration of Tollgate.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            server: keys.required("server", Server::ABOUT),
            log: keys.section("log"),
            ledger: keys.section("ledger"),
            auth: keys.required("auth", Auth::ABOUT),
            upstreams: keys.required("upstreams", "[upstreams.NAME]: the API behind the gateway."),
            meters: keys.required("meters", "[meters.NAME]: what counts units; at least one."),
            routes: keys.optional(
                "routes",
                "[[routes]]: which requests there are and what they cost. The most specific pattern wins.",
            ),
            routes_default: keys.optional("routes_default", DefaultRoute::ABOUT),
            tiers: keys.required(
                "tiers",
                "[tiers.NAME]: what customers may use and pay; at least one. A later one beats an earlier one.",
            ),
            credit_packs: keys.or("credit_packs", CreditPack::ABOUT, []),
            billing: keys.section("billing"),
            webhooks: keys.or("webhooks", Webhook::ABOUT, []),
            retention: keys.section("retention"),
            stripe: keys.required("stripe", Stripe::ABOUT),
            fleet: keys.optional("fleet", Fleet::ABOUT),
            cors: keys.optional("cors", Cors::ABOUT),
            headers: keys.optional("headers", Headers::ABOUT),
            access_log: keys.optional("access_log", AccessLog::ABOUT),
            tracing: keys.optional("tracing", Tracing::ABOUT),
        }
    }
}
