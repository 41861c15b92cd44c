//! The outbox for operators: what Stripe has not accepted, another try, and all of it now.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::reporting::Flushed;
use crate::store::{OutboxFilter, RetryOutcome, WaitingEvent};

use super::AdminState;
use crate::api::Failed;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// What a list may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    state: Option<String>,
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<i64>,
}

/// `GET /admin/outbox`.
pub(super) async fn list(
    State(state): State<AdminState>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Failed> {
    let bad =
        || Problem::new(Code::BadRequest, "ask with state=pending, dead or all, limit=1 to 1000, and cursor");
    let Query(asked) = asked.map_err(|_| bad())?;
    let filter = match asked.state.as_deref() {
        None | Some("all") => OutboxFilter::Unaccepted,
        Some("pending") => OutboxFilter::Pending,
        Some("dead") => OutboxFilter::Dead,
        Some(_) => return Err(bad().into()),
    };
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(bad().into());
    }
    // One more than is shown tells whether there are more.
    let mut rows = state.store.waiting_events(filter, asked.cursor.unwrap_or(0), limit + 1).await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| has_more).map(|row| row.sequence.to_string());
    let data: Vec<_> = rows.iter().map(waiting_event_json).collect();
    Ok(Json(json!({ "data": data, "has_more": has_more, "next_cursor": next_cursor })))
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
