//! Reading subscriptions again from Stripe, for operators: all of them, or one customer's.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::billing::sync::{Progress, SyncError, Synced};
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};

use super::AdminState;
use crate::api::Failed;
use crate::api::json::Named;

/// `POST /admin/sync`: answers when all have been read; a run that is under way is joined.
pub(super) async fn all(State(state): State<AdminState>) -> Result<Json<Synced>, Failed> {
    Ok(Json(state.sync.run().await?))
}

/// `GET /admin/sync`: the run that is under way, or the last one of this process.
pub(super) async fn progress(State(state): State<AdminState>) -> Json<Value> {
    let now = state.sync.progress().borrow().clone();
    Json(progress_json(&now))
}

/// `POST /admin/customers/{id}/sync`.
pub(super) async fn customer(
    State(state): State<AdminState>,
    Named(id): Named<String>,
) -> Result<Json<Synced>, Failed> {
    Ok(Json(state.sync.customer(&id).await?))
}

fn progress_json(now: &Progress) -> Value {
    json!({
        "running": now.is_running(),
        "known": now.known,
        "synced": now.done.synced,
        "failed": now.done.failed,
        "events": now.events,
        "began_at": now.began_at.map(rfc3339),
        "ended_at": now.ended_at.map(rfc3339),
        "error": now.error.as_ref().map(ToString::to_string),
    })
}

impl From<SyncError> for Failed {
    fn from(error: SyncError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            SyncError::NoCustomer => Problem::new(Code::NotFound, detail),
            SyncError::NotLinked => Problem::new(Code::Conflict, detail),
            SyncError::Stripe(error) if error.is_transient() => Problem::new(Code::StripeUnavailable, detail),
            SyncError::Stripe(_) => Problem::new(Code::UpstreamFailed, detail),
            SyncError::Store(_) => {
                tracing::error!(detail, "the store failed a sync");
                Problem::new(Code::Internal, "something went wrong here; try again")
            }
        };
        Self(problem)
    }
}
