//! The operator's port: metrics, health, and what an operator can ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::billing::Sync;
use crate::ledger::Ledger;
use crate::metrics::METRICS;
use crate::problem::{Code, Problem};
use crate::reporting::{Flushed, Reconciler, Reporter};
use crate::seal::Sealer;
use crate::store::Store;
use crate::stripe::Transport;

use super::{Failed, admin_webhooks, not_found, only, outbox, sync};

/// What the operator's endpoints reach.
#[derive(Clone)]
pub struct AdminState {
    pub ledger: Arc<Ledger>,
    pub store: Arc<Store>,
    pub reporter: Arc<Reporter>,
    pub reconciler: Arc<Reconciler>,
    pub sync: Arc<Sync>,
    pub transport: Arc<Transport>,
    pub draining: Arc<AtomicBool>,
    /// Opens the payloads of webhooks.
    pub sealer: Option<Arc<Sealer>>,
    /// Told when a webhook is to be applied again.
    pub arrived: Arc<Notify>,
    /// SHA-256 of the admin token; without one `/admin/*` is closed.
    pub token_digest: Option<[u8; 32]>,
    /// False until everything serves.
    pub started: Arc<AtomicBool>,
}

/// The router of the admin port.
pub struct Admin;

impl Admin {
    pub fn digest(token: &str) -> [u8; 32] {
        Sha256::digest(token.as_bytes()).into()
    }

    pub fn router(state: AdminState) -> Router {
        let protected = Router::new()
            .route("/customers/{id}/sync", post(sync::customer).fallback(|| async { only("POST") }))
            .route("/outbox", get(outbox::list).fallback(|| async { only("GET, HEAD") }))
            .route("/outbox/{identifier}/retry", post(outbox::retry).fallback(|| async { only("POST") }))
            .route("/outbox/flush", post(flush).fallback(|| async { only("POST") }))
            .route("/reconcile", post(super::reconcile::reconcile).fallback(|| async { only("POST") }))
            .route(
                "/sync",
                get(sync::progress).post(sync::all).fallback(|| async { only("GET, HEAD, POST") }),
            )
            .nest("/webhooks", admin_webhooks::routes())
            .fallback(|| async { not_found() })
            .layer(middleware::from_fn_with_state(state.clone(), authorize));
        Router::new()
            .route("/metrics", get(metrics).fallback(|| async { only("GET, HEAD") }))
            .route("/healthz", get(|| async { "ok\n" }).fallback(|| async { only("GET, HEAD") }))
            .route("/readyz", get(ready).fallback(|| async { only("GET, HEAD") }))
            .route("/health/billing", get(billing_health).fallback(|| async { only("GET, HEAD") }))
            .nest("/admin", protected)
            .fallback(|| async { not_found() })
            .with_state(state)
            .layer(middleware::map_response(render))
    }
}

/// Checked before method, route and body. Digests are compared, so that timing tells nothing of the token.
async fn authorize(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = sent
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let expected = state.token_digest;
    match token {
        Some((_, token)) if expected.is_some_and(|digest| digest == Admin::digest(token.trim())) => {
            next.run(request).await
        }
        Some(_) => Failed(Problem::new(Code::TokenInvalid, "send the admin token of the configuration"))
            .into_response(),
        None => {
            Failed(Problem::new(Code::TokenMissing, "send the admin token as a bearer token")).into_response()
        }
    }
}

async fn metrics() -> Response {
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

/// Ready to serve: usage can be recorded, and no shutdown is under way. Waits for neither Stripe nor the issuer.
async fn ready(State(state): State<AdminState>) -> Response {
    let (status, text) = if !state.started.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    } else if state.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !state.ledger.is_available() {
        (StatusCode::SERVICE_UNAVAILABLE, "ledger unavailable\n")
    } else {
        (StatusCode::OK, "ready\n")
    };
    (status, text).into_response()
}

/// A meter event that has waited for so long needs somebody's eyes: a revoked key, for one.
const OLD_SECONDS: i64 = 900;

/// Degraded while usage waits; 503 only when nothing can be metered.
async fn billing_health(State(state): State<AdminState>) -> Response {
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
        "outbox_pending": pending,
        "outbox_oldest_seconds": oldest,
        "outbox_dead": dead,
    });
    (status, Json(body)).into_response()
}

/// Seals and sends everything recorded so far.
async fn flush(State(state): State<AdminState>) -> Result<Json<Flushed>, Failed> {
    Ok(Json(state.reporter.flush().await?))
}

/// Writes out the problems of handlers.
async fn render(response: Response) -> Response {
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let status = response.status();
    let headers: [(HeaderName, Option<String>); 4] = [
        (header::CONTENT_TYPE, Some("application/problem+json".to_owned())),
        (header::WWW_AUTHENTICATE, problem.www_authenticate().map(str::to_owned)),
        (header::ALLOW, problem.allow.clone()),
        (header::RETRY_AFTER, problem.retry_after.map(|seconds| seconds.to_string())),
    ];
    let request_id = uuid::Uuid::new_v4().to_string();
    let mut rendered = (status, problem.body(&request_id)).into_response();
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            rendered.headers_mut().insert(name, value);
        }
    }
    rendered
}
