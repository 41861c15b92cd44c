//! The outbox for operators: what Stripe has not accepted, another try, and all of it now.

use axum::Json;
use axum::extract::State;
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
use crate::api::json::{Asked, Named, Page, list as page_of};

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
    if filter(wanted.as_deref()).is_none() {
        return Err(Problem::new(Code::BadRequest, "state is pending, dead or all").into());
    }
    let node = state.others.node();
    let page = Page { limit, cursor };
    let (limit, after) = (page.limit()?, place(&page, node)?);
    let question = Question::Outbox { state: wanted.clone(), after: after.clone(), limit: limit + 1 };
    let (own, told) = tokio::join!(
        rows(&state.store, wanted.as_deref(), after.as_ref(), limit + 1, node),
        state.others.ask::<Vec<(Behind, Value)>>(question),
    );
    let missing = told.as_ref().map(|told| told.missing.clone());
    let mut rows = own?;
    rows.extend(told.into_iter().flat_map(Told::into_answers).flatten());
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    let cursor = |(at, _): &(Behind, Value)| node.map_or_else(|| at.number.to_string(), |_| at.cursor());
    let Json(list) = page_of(rows, limit, cursor, |(_, row)| row.clone());
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

/// Where the page begins. In a fleet a cursor names the node.
fn place(page: &Page, node: Option<&str>) -> Result<Option<Behind>, Failed> {
    if node.is_none() {
        return Ok(page.after()?.map(|number| Behind { node: String::new(), number }));
    }
    let wrong = || Problem::new(Code::BadRequest, "cursor is the next_cursor of a list").into();
    page.cursor().map(|cursor| Behind::parse(cursor).ok_or_else(wrong)).transpose()
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
    Named(identifier): Named<String>,
) -> Result<Json<Value>, Failed> {
    let outcome = match retried(&state.store, identifier.clone()).await? {
        Some(outcome) => outcome,
        None => {
            state.others.find(Question::Retry { identifier }, "no meter event has this identifier").await?
        }
    };
    let rows = outcome.into_rows().map_err(|wrong| Problem::new(Code::Conflict, wrong))?;
    let row = rows.first().ok_or_else(|| Problem::new(Code::NotFound, "nothing was named"))?;
    Ok(Json(row.json()))
}

/// Of an event that this node has.
pub(super) async fn retried(store: &Store, identifier: String) -> Result<Option<RetryOutcome>, Failed> {
    let outcome = store.retry_dead(vec![identifier], clock::now().seconds()).await?;
    Ok(Some(outcome).filter(|outcome| !matches!(outcome, RetryOutcome::Unknown(_))))
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
