//! Stripe's webhooks for operators: what came, what it changed, and another go.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::store::{EventFilter, EventRow, Replayed};

use super::AdminState;
use crate::api::json::Named;
use crate::api::webhook::payload_context;
use crate::api::{Failed, only};

const USUAL_ROWS: u32 = 100;
const MOST_ROWS: u32 = 1_000;
const STATES: [&str; 4] = ["pending", "done", "ignored", "failed"];

pub(super) fn routes() -> Router<AdminState> {
    Router::new()
        .route("/", get(list).fallback(|| async { only("GET, HEAD") }))
        .route("/{event_id}", get(one).fallback(|| async { only("GET, HEAD") }))
        .route("/{event_id}/replay", post(replay).fallback(|| async { only("POST") }))
}

/// What a list may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    status: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// `GET /admin/webhooks`: the latest first.
async fn list(
    State(state): State<AdminState>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Failed> {
    let bad = || {
        let detail = "ask with status=pending, done, ignored or failed, type, limit=1 to 1000, and cursor";
        Problem::new(Code::BadRequest, detail)
    };
    let Query(Asked { status, kind, limit, cursor }) = asked.map_err(|_| bad())?;
    let limit = limit.unwrap_or(USUAL_ROWS);
    let state_of = |status: String| STATES.into_iter().find(|state| *state == status).ok_or_else(bad);
    let found = status.map(state_of).transpose()?;
    let after = cursor.map(|cursor| place(&cursor).ok_or_else(bad)).transpose()?;
    if !(1..=MOST_ROWS).contains(&limit) {
        return Err(bad().into());
    }
    let filter = EventFilter { state: found, kind, after };
    // One more than is shown tells whether there are more.
    let mut rows = state.store.events(filter, limit + 1).await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| has_more);
    let next_cursor = last.map(|row| format!("{}:{}", row.received_at, row.event_id));
    let data: Vec<_> = rows.iter().map(shown).collect();
    Ok(Json(json!({ "data": data, "has_more": has_more, "next_cursor": next_cursor })))
}

fn place(cursor: &str) -> Option<(i64, String)> {
    let (at, id) = cursor.split_once(':')?;
    Some((at.parse().ok()?, id.to_owned()))
}

/// `GET /admin/webhooks/{event_id}`, with the payload where it was kept and can be opened.
async fn one(State(state): State<AdminState>, Named(event_id): Named<String>) -> Result<Json<Value>, Failed> {
    let Some((row, sealed)) = state.store.event(event_id.clone()).await? else { return Err(unknown()) };
    let settings = state.settings.now();
    let opened = settings.sealer.as_ref().zip(sealed).and_then(|(sealer, sealed)| {
        let opened = sealer.open(&payload_context(&event_id), &sealed)?;
        serde_json::from_slice::<Value>(&opened).ok()
    });
    let mut shown = shown(&row);
    shown["payload"] = json!(opened);
    Ok(Json(shown))
}

/// `POST /admin/webhooks/{event_id}/replay`.
async fn replay(
    State(state): State<AdminState>,
    Named(event_id): Named<String>,
) -> Result<Json<Value>, Failed> {
    let conflict = |detail: &'static str| Err(Failed(Problem::new(Code::Conflict, detail)));
    match state.store.replay_event(event_id.clone(), clock::now().seconds()).await? {
        Replayed::Unknown => return Err(unknown()),
        Replayed::Waits => return conflict("this event waits to be applied anyway"),
        Replayed::MeansNothing => return conflict("an event of this type or mode has no effect here"),
        Replayed::Yes => state.arrived.notify_one(),
    }
    let event = state.store.event(event_id).await?;
    event.map(|(row, _)| Json(shown(&row))).ok_or_else(unknown)
}

fn unknown() -> Failed {
    Failed(Problem::new(Code::NotFound, "no event of this id is kept here"))
}

fn shown(row: &EventRow) -> Value {
    let waits = row.state == "pending";
    json!({
        "id": row.event_id,
        "provider": "stripe",
        "type": row.kind,
        "status": row.state,
        "created": rfc3339(row.created),
        "received_at": rfc3339(row.received_at),
        "settled_at": row.settled_at.map(rfc3339),
        "replayed_at": row.replayed_at.map(rfc3339),
        "tries": row.tries,
        "next_try_at": waits.then(|| rfc3339(row.next_try_at.max(row.received_at))),
        "reason": row.reason,
        "effects": row.effects,
        "sealed": row.is_sealed,
    })
}
