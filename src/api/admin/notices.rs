//! `/admin/notices`: the log of messages to others, and another try for those that were not taken.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::store::{DeliveryRow, DeliveryState, NoticeFilter, NoticeRow, Retry};

use super::AdminState;
use crate::api::Failed;
use crate::api::json::{Asked, Body, Named, Page, list};

/// Which of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(rename = "type")]
    kind: Option<String>,
    state: Option<DeliveryState>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// `GET /admin/notices?type&state&limit&cursor`, the latest first.
pub(super) async fn log(
    State(state): State<AdminState>,
    Asked(which): Asked<Which>,
) -> Result<Json<Value>, Failed> {
    let Which { kind, state: wanted, limit, cursor } = which;
    let page = Page { limit, cursor };
    let (limit, before) = (page.limit()?, page.after()?);
    let rows = state.store.notices(NoticeFilter { kind, state: wanted, before, limit: limit + 1 }).await?;
    Ok(list(rows, limit, |row| row.id.to_string(), notice_json))
}

/// `POST /admin/notices/{id}/{target}/retry`.
pub(super) async fn retry(
    State(state): State<AdminState>,
    Named((id, target)): Named<(String, String)>,
) -> Result<Json<Value>, Failed> {
    let refuse = |code, detail| Err(Failed(Problem::new(code, detail)));
    let unknown = "there is no such message to that target; GET /admin/notices lists them";
    let Ok(id) = id.parse() else { return refuse(Code::NotFound, unknown) };
    told(&state, &target)?;
    match state.store.retry_delivery(id, target, clock::now().seconds()).await? {
        Retry::Due => Ok(Json(json!({ "retried": 1 }))),
        Retry::Delivered => refuse(Code::Conflict, "the target has taken this message"),
        Retry::Unknown => refuse(Code::NotFound, unknown),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryAll {
    target: String,
}

/// `POST /admin/notices/retry`: all that was given up for a target.
pub(super) async fn retry_all(
    State(state): State<AdminState>,
    Body(RetryAll { target }): Body<RetryAll>,
) -> Result<Json<Value>, Failed> {
    told(&state, &target)?;
    let retried = state.store.retry_deliveries(target, clock::now().seconds()).await?;
    Ok(Json(json!({ "retried": retried })))
}

/// Nobody would send what waits for another one.
fn told(state: &AdminState, target: &str) -> Result<(), Failed> {
    if state.targets.iter().any(|known| known == target) {
        return Ok(());
    }
    let detail = "no target of this name is told of anything; [[webhooks]] of the configuration names them";
    Err(Failed(Problem::new(Code::NotFound, detail)))
}

fn notice_json(row: &NoticeRow) -> Value {
    json!({
        "id": row.id,
        "type": row.kind,
        "customer": row.customer,
        "created": rfc3339(row.at),
        "data": row.data,
        "deliveries": row.deliveries.iter().map(delivery_json).collect::<Vec<_>>(),
    })
}

fn delivery_json(delivery: &DeliveryRow) -> Value {
    let pending = delivery.settled_at.is_none();
    json!({
        "target": delivery.target,
        "state": delivery.state,
        "tries": delivery.tries,
        "next_try_at": pending.then(|| rfc3339(delivery.next_try_at)),
        "answer": delivery.answer,
        "settled_at": delivery.settled_at.map(rfc3339),
    })
}
