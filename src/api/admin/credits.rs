//! `/admin/customers/{id}/credits`: an operator grants credits, takes them away, and reads their history.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::customers::{Customers, Taken};
use crate::domain::period::rfc3339;
use crate::domain::usage::Now;
use crate::problem::{Code, Problem};
use crate::store::{CreditAct, CreditRow, CustomerRow};

use super::super::json::{Body, Page, list};
use super::{AdminState, Failed};

const MOST_UNITS: u64 = 1_000_000_000_000;
const LONGEST_TEXT: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Negative takes away.
    amount: i64,
    reason: String,
    /// RFC 3339; left out: they never expire.
    expires_at: Option<String>,
}

/// What is asked for, understood.
struct Change {
    amount: i64,
    expires_at: Option<i64>,
    act: CreditAct,
}

/// `GET`: the history, the latest first.
pub(super) async fn history(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Failed> {
    let bad = |_| Problem::new(Code::BadRequest, "ask with limit=1 to 1000, and cursor");
    let Query(page) = page.map_err(bad)?;
    let customer = customer(&state, name).await?;
    let limit = page.limit()?;
    // One more than is shown tells whether there are more.
    let rows = state.store.credit_history(customer.number, page.after()?, limit + 1).await?;
    Ok(list(rows, limit, |row| row.id.to_string(), row_json))
}

/// `POST`: with an `Idempotency-Key`, once.
pub(super) async fn change(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(asked): Body<Asked>,
) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let customer = customer(&state, name.clone()).await?;
    let change = understand(asked, &key(&headers)?, customer.number, now)?;
    if let Some(row) = state.store.credits_of_cause(change.act.cause.clone()).await? {
        return repeated(&change, &row);
    }
    let cause = change.act.cause.clone();
    // Whoever asks may go away; what has begun is done whole.
    let customers = state.customers.clone();
    let done = tokio::spawn(async move { apply(&customers, &name, change, now).await });
    let balance =
        done.await.map_err(|_| Problem::new(Code::Internal, "something went wrong here; try again"))??;
    let row = state.store.credits_of_cause(cause).await?;
    let row = row.ok_or_else(|| Problem::new(Code::Internal, "something went wrong here; try again"))?;
    Ok(shown(&row, balance))
}

async fn customer(state: &AdminState, name: String) -> Result<CustomerRow, Failed> {
    let unknown = || Problem::new(Code::NotFound, "there is no customer of this name");
    Ok(state.store.find_customer(name).await?.ok_or_else(unknown)?)
}

/// The idempotency key, or one of its own.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(uuid::Uuid::new_v4().to_string()) };
    let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let wrong = || Problem::new(Code::BadRequest, "Idempotency-Key is 1 to 255 visible characters");
    Ok(key.ok_or_else(wrong)?.to_owned())
}

fn understand(asked: Asked, key: &str, customer: u32, now: Now) -> Result<Change, Problem> {
    let refuse = |detail: &'static str| Err(Problem::new(Code::Unprocessable, detail));
    if asked.amount == 0 || asked.amount.unsigned_abs() > MOST_UNITS {
        return refuse("amount is a number of units, up to 10^12; a negative one takes credits away");
    }
    if asked.reason.trim().is_empty() || asked.reason.len() > LONGEST_TEXT {
        return refuse("reason says why, in 1 to 500 bytes");
    }
    let expires_at = asked.expires_at.as_deref().map(str::parse::<jiff::Timestamp>);
    let expires_at = match expires_at.transpose() {
        Ok(instant) => instant.map(jiff::Timestamp::as_second),
        Err(_) => return refuse("expires_at is an instant as 2027-01-31T00:00:00Z"),
    };
    if expires_at.is_some_and(|at| asked.amount < 0 || at <= now.seconds()) {
        return refuse("expires_at is an instant to come, of units that are granted");
    }
    let act =
        CreditAct { cause: format!("operator:{customer}:{key}"), reason: asked.reason, actor: "operator" };
    Ok(Change { amount: asked.amount, expires_at, act })
}

/// Answers how many credits can be spent now.
async fn apply(customers: &Customers, name: &str, change: Change, now: Now) -> Result<u64, Failed> {
    let Change { amount, expires_at, act } = change;
    let again = || Failed(Problem::new(Code::Conflict, "this Idempotency-Key is in use; ask once more"));
    if amount > 0 {
        let granted = customers.grant(name, (amount.unsigned_abs(), expires_at), act, now).await?;
        return granted.ok_or_else(again);
    }
    match customers.take_credits(name, amount.unsigned_abs(), act, now).await? {
        Taken::Left(balance) => Ok(balance),
        Taken::Known => Err(again()),
        Taken::Short(free) => {
            let detail = format!("only {free} credits can be taken away: nothing was taken");
            Err(Failed(Problem::new(Code::Conflict, detail)))
        }
    }
}

/// What was done under the same key.
fn repeated(change: &Change, row: &CreditRow) -> Result<Json<Value>, Failed> {
    let is_same = row.units == change.amount && row.expires_at == change.expires_at;
    if is_same && row.reason.as_deref() == Some(&*change.act.reason) {
        return Ok(shown(row, row.balance));
    }
    let detail = "this Idempotency-Key has been used for another change of credits; use a new one";
    Err(Failed(Problem::new(Code::Conflict, detail)))
}

fn shown(row: &CreditRow, balance: u64) -> Json<Value> {
    Json(json!({
        "id": row.id.to_string(),
        "amount": row.units,
        "balance": balance,
        "reason": row.reason,
        "expires_at": row.expires_at.map(rfc3339),
        "at": rfc3339(row.at),
    }))
}

fn row_json(row: &CreditRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "at": rfc3339(row.at),
        "kind": row.kind,
        "units": row.units,
        "balance": row.balance,
        "cause": row.cause,
        "reason": row.reason,
        "expires_at": row.expires_at.map(rfc3339),
    })
}
