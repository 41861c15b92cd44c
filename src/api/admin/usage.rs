//! `GET /admin/customers/{id}/usage`: units by route, day or hour.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::period::rfc3339;
use crate::problem::{Code, Problem};
use crate::store::{UsageBy, UsageOf, UsageRow};

use super::AdminState;
use super::customer::Named;
use crate::api::Failed;
use crate::api::instant::Span;
use crate::api::json::Asked;

const MOST_ROWS: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Of the current period, if left out.
    from: Option<String>,
    to: Option<String>,
    /// `route`, if left out.
    by: Option<String>,
}

pub(super) async fn usage(
    State(state): State<AdminState>,
    Named(customer): Named,
    Asked(which): Asked<Which>,
) -> Result<Json<Value>, Failed> {
    let by = match which.by.as_deref() {
        None | Some("route") => UsageBy::Route,
        Some("day") => UsageBy::Day,
        Some("hour") => UsageBy::Hour,
        Some(_) => return Err(Failed(Problem::new(Code::BadRequest, "by is route, day or hour"))),
    };
    let now = clock::now();
    let entry = state.customers.load(&customer.name, None, now).await?;
    let period = state.customers.snapshot(&entry, now).period;
    let usual = Span { from: period.start, to: period.end };
    let Span { from, to } = Span::parse(which.from.as_deref(), which.to.as_deref(), usual)?;
    let rows = state.store.usage(customer.number, (from, to), by, MOST_ROWS + 1).await?;
    if rows.len() > MOST_ROWS as usize {
        let detail = format!("these are more than {MOST_ROWS} rows: ask for a shorter span, or by day");
        return Err(Failed(Problem::new(Code::Unprocessable, detail)));
    }
    let data: Vec<_> = rows.iter().map(|row| shown(row, by)).collect();
    Ok(Json(json!({ "data": data, "has_more": false, "next_cursor": null })))
}

fn shown(row: &UsageRow, by: UsageBy) -> Value {
    let mut shown = json!({ "meter": row.meter, "units": row.units, "requests": row.requests });
    let (key, value) = match (&row.of, by) {
        (UsageOf::Route(route), _) => ("route", route.clone()),
        (UsageOf::Instant(at), UsageBy::Hour) => ("hour", rfc3339(*at)),
        (UsageOf::Instant(at), _) => ("day", rfc3339(*at).chars().take(10).collect()),
    };
    shown[key] = json!(value);
    shown
}
