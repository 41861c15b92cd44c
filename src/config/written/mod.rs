//! The file as written: every section, its keys, what each is for and its default.

use super::containers::ByName;
use super::findings::At;
use super::read::{Given, Keys, Section};

pub(crate) use auth::{Auth, Jwt};
pub(crate) use billing::{Billing, Paths};
pub(crate) use credits::CreditPack;
pub(crate) use fleet::Fleet;
pub(crate) use outgoing::Webhook;
pub(crate) use retention::Retention;
pub(crate) use routes::{Cost, DefaultRoute, Route, Terms};
pub(crate) use server::{Ledger, Log, Server};
pub(crate) use stripe::{Mode, Stripe};
pub(crate) use tiers::{Overage, Tier};
pub(crate) use upstreams::{Meter, Upstream};

pub use fleet::OnRedisLoss;
pub use selling::{Proration, WebhookMode};
pub use server::{Durability, LogFormat};

mod auth;
mod billing;
mod credits;
mod fleet;
mod outgoing;
mod retention;
mod routes;
mod selling;
mod server;
mod stripe;
mod tiers;
mod upstreams;

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
        }
    }
}
