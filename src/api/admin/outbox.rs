//! The outbox for operators: what Stripe has not accepted, another try, and all of it now.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::reporting::Flushed;
use crate::store::{OutboxFilter, RetryOutcome, Store, WaitingEvent};

use super::AdminState;
use crate::api::Failed;
use crate::api::fleet::{Behind, Question, Told, of_node, with_missing};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// What a list may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    state: Option<String>,
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// `GET /admin/outbox`.
pub(super) async fn list(
    State(state): State<AdminState>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Failed> {
    let bad =
        || Problem::new(Code::BadRequest, "ask with state=pending, dead or all, limit=1 to 1000, and cursor");
    let Query(asked) = asked.map_err(|_| bad())?;
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT);
    let node = state.others.node();
    let after = asked.cursor.as_deref().map(|cursor| place(cursor, node).ok_or_else(bad)).transpose()?;
    if !(1..=MAX_LIMIT).contains(&limit) || filter(asked.state.as_deref()).is_none() {
        return Err(bad().into());
    }
    // One more than is shown tells whether there are more.
    let question = Question::Outbox { state: asked.state.clone(), after: after.clone(), limit: limit + 1 };
    let (own, told) = tokio::join!(
        rows(&state.store, asked.state.as_deref(), after.as_ref(), limit + 1, node),
        state.others.ask::<Vec<(Behind, Value)>>(question),
    );
    let missing = told.as_ref().map(|told| told.missing.clone());
    let mut rows = own?;
    rows.extend(told.into_iter().flat_map(Told::into_answers).flatten());
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let cursor = |(at, _): &(Behind, Value)| node.map_or_else(|| at.number.to_string(), |_| at.cursor());
    let next_cursor = rows.last().filter(|_| has_more).map(cursor);
    let data: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let list = json!({ "data": data, "has_more": has_more, "next_cursor": next_cursor });
    Ok(Json(with_missing(list, missing.as_deref())))
}

fn filter(state: Option<&str>) -> Option<OutboxFilter> {
    match state {
        None | Some("all") => Some(OutboxFilter::Unaccepted),
        Some("pending") => Some(OutboxFilter::Pending),
        Some("dead") => Some(OutboxFilter::Dead),
        Some(_) => None,
    }
}

/// In a fleet a cursor names the node.
fn place(cursor: &str, node: Option<&str>) -> Option<Behind> {
    match node {
        Some(_) => Behind::parse(cursor),
        None => Some(Behind { node: String::new(), number: cursor.parse().ok()? }),
    }
}

/// This node's rows behind a place, as they are shown. `node` is its name in a fleet.
pub(super) async fn rows(
    store: &Store,
    state: Option<&str>,
    after: Option<&Behind>,
    limit: u32,
    node: Option<&str>,
) -> Result<Vec<(Behind, Value)>, Failed> {
    let name = node.unwrap_or_default();
    let (Some(filter), Some(after)) = (filter(state), Behind::of(after, name)) else { return Ok(Vec::new()) };
    let events = store.waiting_events(filter, after, limit).await?;
    let place = |event: &WaitingEvent| Behind { node: name.to_owned(), number: event.sequence };
    Ok(events.iter().map(|event| (place(event), of_node(waiting_event_json(event), node))).collect())
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
