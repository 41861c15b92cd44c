//! `/admin/customers/{id}/credits`: an operator grants credits, takes them away, and reads their history.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::customers::{Customers, Taken};
use crate::domain::period::rfc3339;
use crate::domain::usage::Now;
use crate::problem::{Code, Problem};
use crate::store::{CreditAct, CreditRow};

use super::adjust::{OPERATOR, instant_after, refused, stated_reason};
use super::customer::{Named, Present};
use super::{AdminState, Failed};
use crate::api::json::{Asked, Body, Page, list};

const MOST_UNITS: u64 = 1_000_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Negative takes away.
    amount: i64,
    reason: String,
    /// Left out: they never expire.
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
    Named(customer): Named,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, Failed> {
    let limit = page.limit()?;
    // One more than is shown tells whether there are more.
    let rows = state.store.credit_history(customer.number, page.after()?, limit + 1).await?;
    Ok(list(rows, limit, |row| row.id.to_string(), row_json))
}

/// `POST`: with an `Idempotency-Key`, once.
pub(super) async fn change(
    State(state): State<AdminState>,
    Present(customer): Present,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>, Failed> {
    let now = clock::now();
    let change = understand(wanted, &key(&headers)?, customer.number, now)?;
    let cause = change.act.cause.clone();
    if let Some(row) = state.store.credits_of_cause(cause.clone()).await? {
        return repeated(&change, &row);
    }
    let balance = apply(&state.customers, &customer.name, change, now).await?;
    let row = state.store.credits_of_cause(cause).await?;
    let row = row.ok_or_else(|| Problem::new(Code::Internal, "something went wrong here; try again"))?;
    Ok(shown(&row, balance))
}

/// The idempotency key, or one of its own.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(uuid::Uuid::new_v4().to_string()) };
    let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let wrong = || Problem::new(Code::BadRequest, "Idempotency-Key is 1 to 255 visible characters");
    Ok(key.ok_or_else(wrong)?.to_owned())
}

fn understand(wanted: Wanted, key: &str, customer: u32, now: Now) -> Result<Change, Failed> {
    let Wanted { amount, reason, expires_at } = wanted;
    if amount == 0 || amount.unsigned_abs() > MOST_UNITS {
        return Err(refused("amount is a number of units, up to 10^12; a negative one takes credits away"));
    }
    let reason = stated_reason(Some(&reason))?;
    let until = |text: &str| instant_after("expires_at", text, now.seconds());
    let expires_at = expires_at.as_deref().map(until).transpose()?;
    if expires_at.is_some() && amount < 0 {
        return Err(refused("expires_at is of units that are granted"));
    }
    let act = CreditAct { cause: format!("operator:{customer}:{key}"), reason, actor: OPERATOR };
    Ok(Change { amount, expires_at, act })
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
