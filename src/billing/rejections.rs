//! Meter events that Stripe rejects after it has accepted them.
//!
//! Stripe names samples only: those rows become dead, with the reason; the trail keeps the counts and says how to
//! find the rest. The same report changes nothing twice.

use crate::metrics::METRICS;
use crate::store::{InboxRow, Rejection, Store};
use crate::stripe::{MeterError, Transport, retrieve_meter_errors};

use super::apply::ApplyError;

/// Reads what an event reports, and applies it.
pub(super) async fn apply(
    store: &Store,
    transport: &Transport,
    event: &InboxRow,
    now: i64,
) -> Result<(), ApplyError> {
    let Some(errors) = retrieve_meter_errors(transport, &event.event_id).await? else {
        tracing::warn!(event = event.event_id, "Stripe no longer has this report: run `tollgate reconcile`");
        return Ok(());
    };
    let rejection = Rejection {
        reported_at: event.created,
        rows: errors.iter().flat_map(rows).collect(),
        detail: detail(&event.event_id, &errors),
    };
    tracing::error!(detail = rejection.detail, "Stripe rejected meter events that it had accepted");
    let rejected = store.reject(rejection, now).await?;
    METRICS.meter_events.with_label_values(&["rejected"]).inc_by(rejected);
    Ok(())
}

fn rows(error: &MeterError) -> impl Iterator<Item = (String, String)> + '_ {
    error.identifiers.iter().map(|identifier| (identifier.clone(), error.code.clone()))
}

fn detail(event: &str, errors: &[MeterError]) -> String {
    let counts: Vec<String> = errors.iter().map(|error| format!("{} {}", error.count, error.code)).collect();
    format!(
        "{event}: {}; Stripe names samples only: run `tollgate reconcile` to find the others",
        counts.join(", ")
    )
}
