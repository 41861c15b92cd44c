//! What a customer has used, by route, day or hour, as JSON or CSV: the same for themselves and for operators.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::csv;
use crate::domain::period::{Period, rfc3339};
use crate::problem::{Code, Problem};
use crate::store::{Store, UsageBy, UsageOf, UsageRow};

use super::Failed;
use super::fleet::{Others, Question as Asking, Told, with_missing};
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

/// Where a table says which nodes have not told theirs.
const MISSING: HeaderName = HeaderName::from_static("x-tollgate-nodes-missing");

/// `current` is the period of the customer, who has a number here and a name everywhere.
pub(super) async fn answer(
    (store, others): (&Store, &Others),
    (number, name): (u32, &str),
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
    let span = (from - from.rem_euclid(SECONDS_PER_HOUR), to);
    let (own, told) = tokio::join!(
        store.usage(number, span, by, MOST_ROWS + 1),
        others.ask(Asking::Usage { customer: name.to_owned(), span, by, limit: MOST_ROWS + 1 }),
    );
    let missing = told.as_ref().map(|told: &Told<Vec<UsageRow>>| told.missing.clone());
    let rows = merge(own?, told.into_iter().flat_map(Told::into_answers));
    if rows.len() > MOST_ROWS as usize {
        let detail = format!("these are more than {MOST_ROWS} rows; narrow the span, or ask by day");
        return Err(Problem::new(Code::Unprocessable, detail).into());
    }
    let missing = missing.as_deref();
    Ok(if as_csv {
        let heading = missing.filter(|nodes| !nodes.is_empty()).map(|nodes| [(MISSING, nodes.join(","))]);
        (heading, table(unit, by, &rows)).into_response()
    } else {
        Json(with_missing(list(unit, by, &rows), missing)).into_response()
    })
}

/// The sums over all nodes, in the order that each has.
fn merge(own: Vec<UsageRow>, others: impl Iterator<Item = Vec<UsageRow>>) -> Vec<UsageRow> {
    let mut sums: BTreeMap<(UsageOf, String), (i64, i64)> = BTreeMap::new();
    for UsageRow { of, meter, units, requests } in others.chain([own]).flatten() {
        let sum = sums.entry((of, meter)).or_default();
        *sum = (sum.0.saturating_add(units), sum.1.saturating_add(requests));
    }
    let row = |((of, meter), (units, requests))| UsageRow { of, meter, units, requests };
    sums.into_iter().map(row).collect()
}

fn list(unit: &str, by: UsageBy, rows: &[UsageRow]) -> Value {
    let show = |row: &UsageRow| {
        let UsageRow { of, meter, units, requests } = row;
        json!({ unit: name(of, by), "meter": meter, "units": units, "requests": requests })
    };
    json!({ "data": rows.iter().map(show).collect::<Vec<_>>(), "has_more": false, "next_cursor": null })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(of: UsageOf, meter: &str, units: i64, requests: i64) -> UsageRow {
        UsageRow { of, meter: meter.to_owned(), units, requests }
    }

    #[test]
    fn rows_of_all_nodes_are_added_up_in_their_order() {
        let hour = UsageOf::Instant;
        let own = vec![row(hour(3_600), "calls", 5, 2), row(hour(3_600), "tokens", 100, 2)];
        let one = vec![row(hour(0), "calls", 1, 1), row(hour(3_600), "calls", 7, 3)];
        let other = vec![row(hour(7_200), "calls", -2, 0)];
        let expected = [
            row(hour(0), "calls", 1, 1),
            row(hour(3_600), "calls", 12, 5),
            row(hour(3_600), "tokens", 100, 2),
            row(hour(7_200), "calls", -2, 0),
        ];
        assert_eq!(merge(own.clone(), [one, other].into_iter()), expected);
        assert_eq!(merge(own.clone(), std::iter::empty()), own, "alone nothing changes");
    }
}
