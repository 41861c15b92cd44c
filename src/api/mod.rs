//! Our own endpoints, as axum routers: billing and pricing, Stripe's webhook, and the operator's.
//!
//! A handler that fails answers with a [`Problem`]; whoever serves the router renders it, so that all errors look
//! alike. `/billing/*` acts for the customer of the verified token: no id in a URL or body can name another.

mod admin;
mod billing;
mod caller;
mod failed;
mod fleet;
mod instant;
mod json;
mod link;
mod pricing;
mod return_url;
mod status;
mod usage;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::auth::Authenticator;
use crate::billing::{Links, Shop};
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::live::Live;
use crate::problem::{Code, Problem};
use crate::reporting::Reporter;
use crate::store::Store;
use crate::stripe::Transport;

pub use admin::{
    Admin, AdminSettings, AdminState, Charges, KeyDesk, MadeKey, Reloaded, Reloads, WantedKey,
    WantedRotation, answer_others, key_json, waiting_event_json,
};
pub use billing::{BillingLimits, BillingSettings};
pub use failed::Failed;
pub use fleet::Others;
pub use webhook::{WebhookLimits, WebhookSettings};

/// What the public endpoints reach.
#[derive(Clone)]
pub struct Public {
    pub catalogue: Arc<Live<Catalogue>>,
    pub authenticator: Arc<Authenticator>,
    pub customers: Arc<Customers>,
    pub store: Arc<Store>,
    pub billing: Arc<BillingSettings>,
    pub shop: Arc<Shop>,
    /// To the usage page.
    pub links: Arc<Links>,
    pub reporter: Arc<Reporter>,
    pub transport: Arc<Transport>,
    /// Where everything runs that is not a proxied request.
    pub work: Handle,
    pub webhook: Arc<WebhookSettings>,
    /// Told when an event has been stored.
    pub arrived: Arc<Notify>,
    pub others: Others,
}

/// Where the public endpoints are.
#[derive(Clone, Debug)]
pub struct PublicPaths {
    pub prefix: String,
    pub pricing: String,
    pub webhook: String,
}

/// `/billing/*`, `/pricing` and the webhook.
pub fn public(paths: &PublicPaths, public: Public) -> Router {
    Router::new()
        .nest(&paths.prefix, billing::routes(&public))
        .route(&paths.pricing, get(pricing::pricing).fallback(|| async { only("GET, HEAD") }))
        .route(&paths.webhook, axum::routing::post(webhook::receive).fallback(|| async { only("POST") }))
        .fallback(|| async { not_found() })
        .with_state(public)
}

fn only(methods: &str) -> Failed {
    let problem = Problem::new(Code::MethodNotAllowed, format!("this path answers {methods}"));
    Failed(Problem { allow: Some(methods.to_owned()), ..problem })
}

fn not_found() -> Failed {
    Failed(Problem::new(Code::NotFound, "there is nothing under this path"))
}
