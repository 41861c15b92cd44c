//! `POST /admin/reconcile`: the command's comparison, on the operator's port.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;

use crate::clock;
use crate::problem::{Code, Problem};
use crate::reporting::{ReconcileError, Repair, Report, parse_period};

use super::Failed;
use super::admin::AdminState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default = "current")]
    period: String,
    #[serde(default)]
    repair: bool,
}

fn current() -> String {
    "current".to_owned()
}

/// An empty body asks for the current month, without repairs.
pub(super) async fn reconcile(State(state): State<AdminState>, body: Bytes) -> Result<Json<Report>, Failed> {
    let wrong = |detail: String| Failed(Problem::new(Code::BadRequest, detail));
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        wrong(format!("send {{\"period\": \"current\", \"repair\": false}}, both optional: {error}"))
    })?;
    let period =
        parse_period(&asked.period, clock::now().seconds()).map_err(|error| wrong(error.to_string()))?;
    // The reporter beside this sends what is repaired.
    let repair = if asked.repair { Repair::ByGateway } else { Repair::No };
    Ok(Json(state.reconciler.run(period, repair, &|_| ()).await?))
}

impl From<ReconcileError> for Failed {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Store(error) => error.into(),
            ReconcileError::Sum(error) => {
                tracing::warn!(%error, "Stripe's sums could not be read");
                Self(Problem::new(Code::UpstreamFailed, format!("Stripe's sums could not be read: {error}")))
            }
        }
    }
}
