//! Our own endpoints, as axum routers: billing and pricing, Stripe's webhook, and the operator's.
//!
//! A handler that fails answers with a [`Problem`]; whoever serves the router renders it, so that all errors look
//! alike. `/billing/*` acts for the customer of the verified token: no id in a URL or body can name another.

mod admin;
mod admin_webhooks;
mod caller;
mod failed;
mod json;
mod outbox;
mod pricing;
mod reconcile;
mod status;
mod sync;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::sync::Notify;

use crate::auth::Authenticator;
use crate::customers::Customers;
use crate::domain::catalogue::Catalogue;
use crate::problem::{Code, Problem};
use crate::store::Store;

pub use admin::{Admin, AdminState};
pub use failed::Failed;
pub use outbox::waiting_event_json;
pub use webhook::{WebhookLimits, WebhookSettings};

/// What the public endpoints reach.
#[derive(Clone)]
pub struct Public {
    pub catalogue: Arc<Catalogue>,
    pub authenticator: Arc<Authenticator>,
    pub customers: Arc<Customers>,
    pub store: Arc<Store>,
    pub webhook: Arc<WebhookSettings>,
    /// Told when an event has been stored.
    pub arrived: Arc<Notify>,
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
        .route(
            &format!("{}/status", paths.prefix),
            get(status::status).fallback(|| async { only("GET, HEAD") }),
        )
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
