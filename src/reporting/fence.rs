//! What a copy of unsent usage says, in texts; and how a node that comes back reckons with what was taken over of it.
//!
//! A field is one of: `m`, how far the copy reaches; `r` and an identifier, an unanswered row; `t` and a total's numbers,
//! what of it is in no row; in a fence also `a` and an identifier, the answer to a row.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::fleet::copy::Fields;
use crate::store::{
    FencedRow, TakenAnswer, TakenEvent, TakenRow, TotalKey, Unsent, UnsentRow, UnsentTotal, row_of_total,
};

pub(super) const MARK: &str = "m";

/// How far a copy reaches: segment, offset and next record number of the ledger, and when it was written.
#[derive(Serialize, Deserialize)]
struct Mark(i64, i64, i64, i64);

#[derive(Serialize, Deserialize)]
struct RowText {
    /// Our name for the customer.
    c: String,
    /// Stripe's.
    s: String,
    e: String,
    p: i64,
    v: i64,
    t: i64,
    /// It was not tried before.
    a: i64,
}

#[derive(Serialize, Deserialize)]
struct TotalText {
    c: String,
    s: String,
    e: String,
    v: i64,
    t: i64,
    /// The identifier of the row that it becomes, and which of its total's rows that is.
    i: String,
    n: i64,
}

/// What a node's copy shall say. Totals of meters that are not reported are left out.
pub(super) fn texts(
    unsent: &Unsent,
    prefix: &str,
    events: &[(u32, String)],
    now: i64,
) -> HashMap<String, String> {
    let (segment, offset, next_record) = unsent.position;
    let mut fields = HashMap::with_capacity(unsent.rows.len() + unsent.totals.len() + 1);
    fields.insert(MARK.to_owned(), text(&Mark(segment, offset, next_record, now)));
    fields.extend(unsent.rows.iter().map(|row| (row_field(row), row_text(row))));
    fields.extend(unsent.totals.iter().filter_map(|total| total_text(total, prefix, events)));
    fields
}

pub(super) fn row_field(row: &UnsentRow) -> String {
    format!("r{}", row.identifier)
}

pub(super) fn row_text(row: &UnsentRow) -> String {
    text(&RowText {
        c: row.customer.clone(),
        s: row.stripe_customer.clone(),
        e: row.event_name.clone(),
        p: row.period_start,
        v: row.value,
        t: row.timestamp,
        a: row.sealed_at,
    })
}

/// The field of the total whose n-th row this identifier names, if it is one of this node's.
pub(super) fn total_field_of(identifier: &str, prefix: &str) -> Option<String> {
    let mut numbers = identifier.strip_prefix(prefix)?.strip_prefix('-')?.split('-');
    let (customer, meter, start) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some(format!("t{customer}.{meter}.{start}"))
}

fn total_text(total: &UnsentTotal, prefix: &str, events: &[(u32, String)]) -> Option<(String, String)> {
    let TotalKey { customer, meter, period_start } = total.total;
    let (_, event) = events.iter().find(|(number, _)| *number == meter)?;
    let body = TotalText {
        c: total.customer.clone(),
        s: total.stripe_customer.clone(),
        e: event.clone(),
        v: total.value,
        t: total.timestamp,
        i: row_of_total(prefix, total.total, total.number),
        n: total.number,
    };
    Some((format!("t{customer}.{meter}.{period_start}"), text(&body)))
}

fn text(value: &impl Serialize) -> String {
    // Numbers and texts always can be written.
    serde_json::to_string(value).unwrap_or_default()
}

fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    let read = serde_json::from_str(text);
    read.inspect_err(|error| tracing::error!(%error, text, "a copy of unsent usage cannot be read")).ok()
}

fn total_of(field: &str) -> Option<TotalKey> {
    let mut numbers = field.strip_prefix('t')?.split('.');
    Some(TotalKey {
        customer: numbers.next()?.parse().ok()?,
        meter: numbers.next()?.parse().ok()?,
        period_start: numbers.next()?.parse().ok()?,
    })
}

/// What a copy says, in the words of whoever sends it: each row once.
struct Entry<'a> {
    field: &'a str,
    body: &'a str,
    event: TakenEvent,
    /// Of what was in no row.
    number: Option<i64>,
}

fn entries<'a>(fields: &'a Fields, mark: &Mark) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> =
        fields.iter().filter_map(|(field, body)| entry(field, body, mark)).collect();
    // What was a row is not also what was in none.
    let rows: HashSet<String> = entries
        .iter()
        .filter(|entry| entry.number.is_none())
        .map(|entry| entry.event.identifier.clone())
        .collect();
    entries.retain(|entry| entry.number.is_none() || !rows.contains(&entry.event.identifier));
    entries
}

fn entry<'a>(field: &'a str, body: &'a str, mark: &Mark) -> Option<Entry<'a>> {
    let event = |identifier, customer, stripe_customer, event_name, period_start, value, timestamp, at| {
        let meter = 0;
        TakenEvent {
            identifier,
            customer,
            meter,
            stripe_customer,
            event_name,
            period_start,
            value,
            timestamp,
            at,
        }
    };
    let (event, number) = match field.as_bytes().first()? {
        b'r' => {
            let RowText { c, s, e, p, v, t, a } = read(body)?;
            (event(field[1..].to_owned(), c, s, e, p, v, t, a), None)
        }
        b't' => {
            let TotalText { c, s, e, v, t, i, n } = read(body)?;
            (event(i, c, s, e, total_of(field)?.period_start, v, t, mark.3), Some(n))
        }
        _ => return None,
    };
    (event.value > 0).then_some(Entry { field, body, event, number })
}

fn mark(fields: &Fields) -> Mark {
    let found = fields.iter().find(|(field, _)| field == MARK);
    // Without it nothing is known to be young.
    found.and_then(|(_, text)| read(text)).unwrap_or(Mark(0, 0, 0, 0))
}

/// What a taker puts into its outbox. `meters`: numbers with the names of their events.
pub(super) fn taken_rows(fields: &Fields, meters: &[(u32, String)]) -> Vec<TakenRow> {
    let mark = mark(fields);
    let marks = fields.iter().filter(|(field, _)| field == MARK);
    let marks = marks.map(|(field, body)| TakenRow { field: field.clone(), body: body.clone(), event: None });
    let rows = entries(fields, &mark).into_iter().map(|entry| {
        let meter = meters.iter().find(|(_, event)| *event == entry.event.event_name);
        let event = TakenEvent { meter: meter.map_or(0, |(number, _)| *number), ..entry.event };
        TakenRow { field: entry.field.to_owned(), body: entry.body.to_owned(), event: Some(event) }
    });
    marks.chain(rows).collect()
}

/// What the fenced node reckons with.
pub(super) fn fenced_rows(fields: &Fields) -> Vec<FencedRow> {
    let mark = mark(fields);
    let answers: HashMap<&str, TakenAnswer> =
        fields.iter().filter_map(|(field, text)| Some((field.strip_prefix('a')?, answer(text)?))).collect();
    let rows = entries(fields, &mark).into_iter().map(|entry| FencedRow {
        answer: answers.get(entry.event.identifier.as_str()).copied(),
        sealed_there: entry.number.and_then(|number| Some((total_of(entry.field)?, number))),
        identifier: entry.event.identifier,
        stripe_customer: entry.event.stripe_customer,
        event_name: entry.event.event_name,
        value: entry.event.value,
        timestamp: entry.event.timestamp,
        at: entry.event.at,
        next_record: mark.2,
    });
    rows.collect()
}

const ANSWERS: [(TakenAnswer, &str); 4] = [
    (TakenAnswer::Accepted, "accepted"),
    (TakenAnswer::Known, "known"),
    (TakenAnswer::Unclear, "unclear"),
    (TakenAnswer::Dead, "dead"),
];

fn answer(text: &str) -> Option<TakenAnswer> {
    ANSWERS.iter().find(|(_, known)| *known == text).map(|(answer, _)| *answer)
}

/// Answers as a fence's fields.
pub(super) fn answer_fields(answers: &[(String, TakenAnswer)]) -> Fields {
    let text = |answer| ANSWERS.iter().find(|(known, _)| *known == answer).map_or("", |(_, text)| *text);
    answers.iter().map(|(identifier, answer)| (format!("a{identifier}"), text(*answer).to_owned())).collect()
}
