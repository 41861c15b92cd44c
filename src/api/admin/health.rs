//! Metrics and health: they need no token.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::fleet::LinkState;
use crate::metrics::METRICS;
use crate::problem::{Code, Problem};
use crate::stripe::api_version;

use super::AdminState;
use crate::api::Failed;

pub(super) async fn metrics() -> Response {
    match METRICS.render() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics could not be rendered");
            Failed(Problem::new(Code::Internal, "metrics could not be rendered")).into_response()
        }
    }
}

/// Ready to serve: usage can be recorded, and no shutdown is under way. Waits for neither Stripe nor the
/// issuer, and for Redis only where nothing is served without it.
pub(super) async fn ready(State(state): State<AdminState>) -> Response {
    let (status, text) = if !state.started.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    } else if state.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !state.ledger.is_available() {
        (StatusCode::SERVICE_UNAVAILABLE, "ledger unavailable\n")
    } else if state.needed.as_ref().is_some_and(|fleet| *fleet.states().borrow() != LinkState::Here) {
        (StatusCode::SERVICE_UNAVAILABLE, "redis unavailable\n")
    } else {
        (StatusCode::OK, "ready\n")
    };
    (status, text).into_response()
}

/// A meter event that has waited for so long needs somebody's eyes: a revoked key, for one.
const OLD_SECONDS: i64 = 900;

/// Degraded while usage waits; 503 only when nothing can be metered.
pub(super) async fn billing(State(state): State<AdminState>) -> Response {
    let ledger = state.ledger.is_available();
    let circuit_open = state.transport.circuit_open();
    let (pending, dead) = (METRICS.outbox_pending.get(), METRICS.outbox_dead.get());
    let oldest = METRICS.outbox_oldest_seconds.get();
    let ok = ledger && !circuit_open && dead == 0 && oldest < OLD_SECONDS;
    let status = if ledger { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if ok { "ok" } else { "degraded" },
        "ledger_available": ledger,
        "stripe_reachable": !circuit_open,
        "stripe_api_version": api_version(),
        "outbox_pending": pending,
        "outbox_oldest_seconds": oldest,
        "outbox_dead": dead,
        "webhooks_pending": METRICS.inbox_pending.get(),
        "webhooks_failed": METRICS.inbox_failed.get(),
    });
    (status, Json(body)).into_response()
}
