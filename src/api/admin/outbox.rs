//! The outbox for operators: what Stripe has not accepted, another try, and all of it now.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::reporting::Flushed;
use crate::store::{OutboxFilter, RetryOutcome, WaitingEvent};

use super::AdminState;
use crate::api::Failed;
use crate::api::json::{Asked, Page, list as page_of};

/// What a list may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// `GET /admin/outbox`.
pub(super) async fn list(
    State(state): State<AdminState>,
    Asked(Which { state: wanted, limit, cursor }): Asked<Which>,
) -> Result<Json<Value>, Failed> {
    let filter = match wanted.as_deref() {
        None | Some("all") => OutboxFilter::Unaccepted,
        Some("pending") => OutboxFilter::Pending,
        Some("dead") => OutboxFilter::Dead,
        Some(_) => return Err(Problem::new(Code::BadRequest, "state is pending, dead or all").into()),
    };
    let page = Page { limit, cursor };
    let (limit, after) = (page.limit()?, page.after()?);
    let rows = state.store.waiting_events(filter, after.unwrap_or(0), limit + 1).await?;
    Ok(page_of(rows, limit, |row| row.sequence.to_string(), waiting_event_json))
}

/// `POST /admin/outbox/{identifier}/retry`.
pub(super) async fn retry(
    State(state): State<AdminState>,
    Path(identifier): Path<String>,
) -> Result<Json<Value>, Failed> {
    let outcome = state.store.retry_dead(vec![identifier], clock::now().seconds()).await?;
    let code = match outcome {
        RetryOutcome::NotDead { .. } => Code::Conflict,
        _ => Code::NotFound,
    };
    let rows = outcome.into_rows().map_err(|wrong| Problem::new(code, wrong))?;
    let row = rows.first().ok_or_else(|| Problem::new(Code::NotFound, "nothing was named"))?;
    Ok(Json(row.json()))
}

/// `POST /admin/outbox/flush`: seals and sends everything recorded so far.
pub(super) async fn flush(State(state): State<AdminState>) -> Result<Json<Flushed>, Failed> {
    Ok(Json(state.reporter.flush().await?))
}

/// A row of the list, here and on the command line.
pub fn waiting_event_json(event: &WaitingEvent) -> Value {
    json!({
        "identifier": event.identifier,
        "customer": event.customer,
        "meter": event.meter,
        "stripe_customer": event.stripe_customer,
        "event_name": event.event_name,
        "value": event.value,
        "timestamp": event.timestamp,
        "state": event.state,
        "queued": event.queued,
        "tries": event.tries,
        "sealed_at": rfc3339(event.sealed_at),
        "first_tried_at": event.first_tried_at.map(rfc3339),
        "next_try_at": event.next_try_at.map(rfc3339),
        "reason": event.reason,
    })
}
