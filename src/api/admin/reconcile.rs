//! `POST /admin/reconcile`: the command's comparison, on the operator's port.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::clock;
use crate::problem::{Code, Problem};
use crate::reporting::{ReconcileError, Repair, Report, parse_period};

use super::AdminState;
use crate::api::Failed;
use crate::api::json::Body;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default = "current")]
    period: String,
    #[serde(default)]
    repair: bool,
}

fn current() -> String {
    "current".to_owned()
}

/// An empty body asks for the current month, without repairs.
pub(super) async fn reconcile(
    State(state): State<AdminState>,
    Body(asked): Body<Asked>,
) -> Result<Json<Report>, Failed> {
    let wrong = |detail: String| Failed(Problem::new(Code::BadRequest, detail));
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
            ReconcileError::Period(error) => Self(Problem::new(Code::BadRequest, error.to_string())),
            ReconcileError::Sum(_) | ReconcileError::Stripe { .. } => {
                tracing::warn!(%error, "ledger and Stripe could not be compared");
                Self(Problem::new(Code::UpstreamFailed, error.to_string()))
            }
        }
    }
}
