//! `POST /admin/reconcile`: the command's comparison, on the operator's port.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;

use crate::clock;
use crate::problem::{Code, Problem};
use crate::reporting::{ReconcileError, Repair, Report, parse_period};

use super::AdminState;
use crate::api::Failed;

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
    let misread = |error: &dyn std::fmt::Display| {
        wrong(format!("send {{\"period\": \"current\", \"repair\": false}}, both optional: {error}"))
    };
    // An array would be taken for the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(misread(&"this is no object"));
    }
    let asked: Asked = serde_json::from_slice(body).map_err(|error| misread(&error))?;
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
