//! What a customer has used, by route, day or hour, as JSON or CSV: the same for themselves and for operators.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::csv;
use crate::domain::period::{Period, rfc3339};
use crate::problem::{Code, Problem};
use crate::store::{Store, UsageBy, UsageOf, UsageRow};

use super::Failed;
use super::instant::Span;

/// More rows are no answer to a person: a year of hours on ten meters.
const MOST_ROWS: u32 = 100_000;
const SECONDS_PER_HOUR: i64 = 3_600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// RFC 3339 instants or dates, UTC; the current period where left out. The last is not in the span.
    from: Option<String>,
    to: Option<String>,
    /// `day`, if left out.
    by: Option<String>,
    /// `json`, if left out.
    format: Option<String>,
}

/// `current` is the customer's period.
pub(super) async fn answer(
    store: &Store,
    customer: u32,
    current: Period,
    question: Question,
) -> Result<Response, Failed> {
    let (by, unit) = match question.by.as_deref().unwrap_or("day") {
        "route" => (UsageBy::Route, "route"),
        "day" => (UsageBy::Day, "day"),
        "hour" => (UsageBy::Hour, "hour"),
        _ => return Err(bad("by is route, day or hour")),
    };
    let as_csv = match question.format.as_deref().unwrap_or("json") {
        "json" => false,
        "csv" => true,
        _ => return Err(bad("format is json or csv")),
    };
    let usual = Span { from: current.start, to: current.end };
    let Span { from, to } = Span::parse(question.from.as_deref(), question.to.as_deref(), usual)?;
    // An hour is the finest there is: the one that `from` lies in counts whole.
    let rows =
        store.usage(customer, (from - from.rem_euclid(SECONDS_PER_HOUR), to), by, MOST_ROWS + 1).await?;
    if rows.len() > MOST_ROWS as usize {
        let detail = format!("these are more than {MOST_ROWS} rows; narrow the span, or ask by day");
        return Err(Problem::new(Code::Unprocessable, detail).into());
    }
    Ok(if as_csv { table(unit, by, &rows).into_response() } else { list(unit, by, &rows).into_response() })
}

fn list(unit: &str, by: UsageBy, rows: &[UsageRow]) -> Json<Value> {
    let show = |row: &UsageRow| {
        let UsageRow { of, meter, units, requests } = row;
        json!({ unit: name(of, by), "meter": meter, "units": units, "requests": requests })
    };
    Json(json!({ "data": rows.iter().map(show).collect::<Vec<_>>(), "has_more": false, "next_cursor": null }))
}

fn table(unit: &str, by: UsageBy, rows: &[UsageRow]) -> impl IntoResponse {
    let mut text = csv::line(&[unit, "meter", "units", "requests"]);
    for row in rows {
        let (units, requests) = (row.units.to_string(), row.requests.to_string());
        text.push_str(&csv::line(&[&name(&row.of, by), &row.meter, &units, &requests]));
    }
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text)
}

fn name(of: &UsageOf, by: UsageBy) -> String {
    match of {
        UsageOf::Route(pattern) => pattern.clone(),
        UsageOf::Instant(at) if by == UsageBy::Day => rfc3339(*at)[..10].to_owned(),
        UsageOf::Instant(at) => rfc3339(*at),
    }
}

fn bad(detail: &'static str) -> Failed {
    Problem::new(Code::BadRequest, detail).into()
}
