//! `/billing/*`: what the customer of a verified token may see and do.
//!
//! What it promises:
//!
//! - Who is meant is who calls: no id in a path, query or body names a customer. A body with a member that is not known
//!   is refused by that member's name.
//! - Each endpoint has a rate limit of its own for each customer, spent before a body is read.
//! - A POST under an `Idempotency-Key` is carried out once; the key answers the same for a day. A link is
//!   the exception: it is good once, so each call makes another.
//! - Pages of the configured origins may call from a browser, and see failures as well. Nothing here is cached.

mod browsers;
mod limits;
mod link;
mod lists;
mod orders;
mod usage;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};

use crate::domain::origin::Origin;

pub use limits::BillingLimits;

use super::{Public, not_found, only, status};

/// What `/billing` is configured with.
pub struct BillingSettings {
    /// Where customers may be sent back to.
    pub return_origins: Vec<Origin>,
    /// Pages that may call from a browser.
    pub cors_origins: Vec<Origin>,
    pub limits: BillingLimits,
}

/// Everything below the prefix.
pub(super) fn routes(public: &Public) -> Router<Public> {
    Router::new()
        .route("/cancel", posts(post(orders::cancel)))
        .route("/checkout", posts(post(orders::checkout)))
        .route("/credits", gets(get(lists::credits)))
        .route("/invoices", gets(get(lists::invoices)))
        .route("/link", posts(post(link::link)))
        .route("/payment-methods", gets(get(lists::payment_methods)))
        .route(
            "/portal",
            get(orders::portal_by_link).post(orders::portal).fallback(|| async { only("GET, POST") }),
        )
        .route("/resume", posts(post(orders::resume)))
        .route("/status", gets(get(status::status)))
        .route("/subscribe", posts(post(orders::subscribe)))
        .route("/sync", posts(post(orders::sync)))
        .route("/upgrade", posts(post(orders::upgrade)))
        .route("/usage", gets(get(usage::usage)))
        .fallback(|| async { not_found() })
        .layer(middleware::from_fn_with_state(public.clone(), browsers::serve))
}

fn gets(router: MethodRouter<Public>) -> MethodRouter<Public> {
    router.fallback(|| async { only("GET, HEAD") })
}

fn posts(router: MethodRouter<Public>) -> MethodRouter<Public> {
    router.fallback(|| async { only("POST") })
}
