//! The rights of people: a copy of all that is kept of a customer, and erasing them.
//!
//! # What erasing promises
//!
//! - Nothing that is still owed or to be reported is lost: it is refused before.
//! - Afterwards nothing in the store leads from the names of the customer and of their members to what they used or
//!   paid, nor back: usage, credits, payments and the audit trail stay under a number and a name that no token can
//!   spell. A payment keeps the ids that Stripe gave it, as books must.
//! - It is one transaction, with its audit row.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value};

use super::audit::{self, Act};
use super::{Result, Store, credits, customers, facts, names};

/// What became of the wish to erase somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erased {
    /// The name that is left.
    As(String),
    Refused(StillNeeded),
    Unknown,
}

/// Why somebody cannot be erased yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StillNeeded {
    #[error("the subscription {0} is still live: cancel it first")]
    Subscription(String),
    #[error("meter events of this customer wait for Stripe's answer: see /admin/outbox")]
    MeterEvents,
    #[error("usage of this customer is still to be reported: POST /admin/outbox/flush, then try again")]
    Usage,
    #[error(
        "the event {0} of this customer waits to be applied or handed on: see /admin/webhooks, and try again"
    )]
    Event(String),
}

/// What is exported, and how it is found by a customer's number and Stripe customer.
const EXPORTED: [(&str, &str); 18] = [
    (
        "customer",
        "SELECT number, name, stripe_customer, linked_by, strftime('%FT%TZ', linked_at, 'unixepoch') AS linked_at,
                strftime('%FT%TZ', first_seen, 'unixepoch') AS first_seen, tier, status,
                strftime('%FT%TZ', state_since, 'unixepoch') AS state_since,
                strftime('%FT%TZ', trial_at, 'unixepoch') AS trial_at
         FROM customers WHERE number = ?1",
    ),
    ("members", "SELECT number, name FROM names WHERE kind = 'member of ' || ?1 ORDER BY number"),
    ("subscriptions", "SELECT id, status, tier, facts FROM subscriptions WHERE stripe_customer = ?2 ORDER BY id"),
    (
        "changes",
        "SELECT strftime('%FT%TZ', at, 'unixepoch') AS at, from_tier, from_status, to_tier, to_status
         FROM state_changes WHERE customer = ?1 ORDER BY id",
    ),
    (
        "payments",
        "SELECT id, kind, outcome, attempts, amount_minor, overage_minor, currency,
                strftime('%FT%TZ', at, 'unixepoch') AS at, reason
         FROM payments WHERE customer = ?1 ORDER BY at, id",
    ),
    (
        "credits",
        "SELECT strftime('%FT%TZ', at, 'unixepoch') AS at, kind, units, balance, cause, reason
         FROM credits WHERE customer = ?1 ORDER BY id",
    ),
    (
        "credits_left",
        "SELECT units, strftime('%FT%TZ', expires_at, 'unixepoch') AS expires_at FROM credit_lots WHERE customer = ?1",
    ),
    (
        "override",
        "SELECT tier, included, strftime('%FT%TZ', until, 'unixepoch') AS until, reason,
                strftime('%FT%TZ', set_at, 'unixepoch') AS set_at
         FROM overrides WHERE customer = ?1",
    ),
    ("block", "SELECT reason, strftime('%FT%TZ', at, 'unixepoch') AS at FROM blocks WHERE customer = ?1"),
    (
        "checkouts",
        "SELECT session, kind, what, units, state, strftime('%FT%TZ', at, 'unixepoch') AS at
         FROM checkouts WHERE customer = ?1 ORDER BY at",
    ),
    (
        "usage",
        "SELECT n.name AS meter, strftime('%FT%TZ', t.period_start, 'unixepoch') AS period_start,
                strftime('%FT%TZ', t.period_end, 'unixepoch') AS period_end, t.included, t.extra, t.credits, t.overage,
                t.uncovered
         FROM totals t LEFT JOIN names n ON n.number = t.meter WHERE t.customer = ?1 ORDER BY t.period_start, t.meter",
    ),
    (
        "usage_by_member",
        "SELECT w.name AS member, n.name AS meter, strftime('%FT%TZ', t.period_start, 'unixepoch') AS period_start,
                strftime('%FT%TZ', t.period_end, 'unixepoch') AS period_end, t.units
         FROM member_totals t LEFT JOIN names w ON w.number = t.member LEFT JOIN names n ON n.number = t.meter
         WHERE t.customer = ?1 ORDER BY t.period_start, t.member, t.meter",
    ),
    (
        "usage_by_day",
        "SELECT date(h.hour, 'unixepoch') AS day, r.name AS route, m.name AS meter, sum(h.units) AS units,
                sum(h.requests) AS requests
         FROM hourly h LEFT JOIN names r ON r.number = h.route LEFT JOIN names m ON m.number = h.meter
         WHERE h.customer = ?1 GROUP BY 1, h.route, h.meter ORDER BY 1, h.route, h.meter",
    ),
    (
        "meter_events",
        "SELECT identifier, event_name, value, strftime('%FT%TZ', timestamp, 'unixepoch') AS timestamp, state
         FROM outbox WHERE customer = ?1 ORDER BY sequence",
    ),
    (
        "webhooks",
        "SELECT event_id, type, strftime('%FT%TZ', created, 'unixepoch') AS created, state
         FROM inbox WHERE facts ->> '$.stripe_customer' = ?2 ORDER BY received_at",
    ),
    (
        "messages",
        "SELECT id, kind, data, strftime('%FT%TZ', at, 'unixepoch') AS at
         FROM notices WHERE customer = ?1 AND data <> '' ORDER BY id",
    ),
    (
        "api_keys",
        "SELECT id, name, scopes, strftime('%FT%TZ', created_at, 'unixepoch') AS created_at,
                strftime('%FT%TZ', expires_at, 'unixepoch') AS expires_at,
                strftime('%FT%TZ', revoked_at, 'unixepoch') AS revoked_at, replaced_by,
                strftime('%FT%TZ', last_used, 'unixepoch') AS last_used_at
         FROM api_keys WHERE customer = ?1 ORDER BY number",
    ),
    (
        "audit",
        "SELECT strftime('%FT%TZ', at, 'unixepoch') AS at, action, actor, detail, before, after
         FROM audit WHERE customer = ?1 ORDER BY id",
    ),
];

/// What goes, or loses what names somebody, with a customer of this number.
const FORGOTTEN: [&str; 12] = [
    "DELETE FROM api_keys WHERE customer = ?1",
    "DELETE FROM member_totals WHERE customer = ?1",
    "DELETE FROM idempotency WHERE customer = ?1",
    "DELETE FROM operations WHERE customer = ?1",
    "DELETE FROM checkouts WHERE customer = ?1",
    "DELETE FROM overrides WHERE customer = ?1",
    "DELETE FROM blocks WHERE customer = ?1",
    "DELETE FROM deliveries WHERE notice IN (SELECT id FROM notices WHERE customer = ?1)",
    "DELETE FROM notices WHERE customer = ?1",
    // A cause of an operator's holds what they wrote; one of Stripe's keeps a payment from being granted again.
    "UPDATE credits SET reason = NULL, cause = iif(cause LIKE 'operator:%', 'operator:' || id, cause)
     WHERE customer = ?1",
    "UPDATE audit SET detail = '' WHERE customer = ?1",
    // What comes late is recorded, and no more reported: nobody at Stripe stands for them.
    "UPDATE totals SET sealable = 0 WHERE customer = ?1",
];

/// Events are found by what they name.
const EVENTS: &str = "SELECT event_id FROM inbox
    WHERE (facts ->> '$.stripe_customer' = ?1 OR facts ->> '$.tollgate_customer' = ?2
       OR facts ->> '$.client_reference_id' = ?2)";

/// Of these something is still to be done, which would name the customer again.
const WAITING: &str = "event_id IN (SELECT event_id FROM inbox WHERE state = 'pending'
    UNION ALL SELECT event_id FROM forwards)";

/// The events of somebody who is to be erased, as far as they had come at an instant.
#[derive(Clone, Debug)]
pub struct EventsOf {
    ids: Vec<String>,
    at: i64,
}

impl Store {
    /// All that is kept of a customer, by what it is. Instants are in UTC.
    pub async fn export_customer(&self, number: u32, stripe_customer: Option<String>) -> Result<Value> {
        self.scan(move |db| {
            let mut exported = Map::new();
            for (name, query) in EXPORTED {
                exported.insert(name.to_owned(), rows(db, query, number, stripe_customer.as_deref())?);
            }
            Ok(Value::Object(exported))
        })
        .await
    }

    /// Looks for the events of the customer of that name among all that are kept, which takes its time.
    pub async fn events_of_customer(&self, name: String, now: i64) -> Result<EventsOf> {
        self.scan(move |db| {
            let customer = customers::by_name(db, &name)?.and_then(|row| row.stripe_customer);
            Ok(EventsOf { ids: events_of(db, &name, customer.as_deref(), "true")?, at: now })
        })
        .await
    }

    /// Erases the customer of that name, and what their events tell of them.
    pub async fn erase_customer(&self, name: String, events: EventsOf, now: i64) -> Result<Erased> {
        self.write(move |db| {
            let erased = erase(db, &name, events, now)?;
            if matches!(erased, Erased::As(_)) {
                facts::note_erasure(db, &name, now)?;
            }
            Ok(erased)
        })
        .await
    }
}

/// Objects by the names of the columns.
fn rows(db: &Connection, query: &str, number: u32, stripe_customer: Option<&str>) -> Result<Value> {
    let mut query = db.prepare(query)?;
    let names: Vec<String> = query.column_names().map(str::to_owned).collect();
    let values: [&dyn rusqlite::ToSql; 2] = [&number, &stripe_customer];
    let known = query.parameter_count();
    let first = if known == 2 { &values[..] } else { &values[..1] };
    let rows = query.query_map(first, |row| object(row, &names))?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into())
}

fn object(row: &Row<'_>, names: &[String]) -> rusqlite::Result<Value> {
    let mut object = Map::new();
    for (at, name) in names.iter().enumerate() {
        let value = match row.get_ref(at)? {
            ValueRef::Integer(number) => number.into(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
        };
        object.insert(name.clone(), value);
    }
    Ok(Value::Object(object))
}

/// Among `which` of the inbox.
fn events_of(db: &Connection, name: &str, stripe_customer: Option<&str>, which: &str) -> Result<Vec<String>> {
    let mut query = db.prepare(&format!("{EVENTS} AND {which}"))?;
    let rows = query.query_map(params![stripe_customer, name], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn erase(db: &Connection, name: &str, events: EventsOf, now: i64) -> Result<Erased> {
    let Some(row) = customers::by_name(db, name)? else { return Ok(Erased::Unknown) };
    let (number, stripe_customer) = (row.number, row.stripe_customer.as_deref());
    if let Some(needed) = still_needed(db, number, stripe_customer)? {
        return Ok(Erased::Refused(needed));
    }
    if let Some(waits) = events_of(db, name, stripe_customer, WAITING)?.pop() {
        return Ok(Erased::Refused(StillNeeded::Event(waits)));
    }
    let EventsOf { mut ids, at } = events;
    ids.extend(events_of(db, name, stripe_customer, &format!("received_at >= {at}"))?);
    // First: it may be told as few credits are, and that goes with all messages.
    credits::forfeit(db, number, now)?;
    for forget in FORGOTTEN {
        db.execute(forget, [number])?;
    }
    names::forget_members(db, number)?;
    let mut forget = db.prepare("UPDATE inbox SET facts = '{}', payload = NULL WHERE event_id = ?1")?;
    for event in &ids {
        forget.execute([event])?;
    }
    // No claim can spell a space.
    let left = format!("erased {number}");
    db.execute(
        "UPDATE customers SET name = ?2, stripe_customer = NULL, linked_by = NULL, linked_at = NULL, tier = NULL,
                status = 'no_subscription', state_since = ?3, trial_at = NULL, erased_at = ?3
         WHERE number = ?1",
        params![number, left, now],
    )?;
    // As a lost node's copy named them, in JSON; Redis is told.
    let named = db.execute(
        "UPDATE fenced SET body = json_replace(body, '$.c', ?2)
         WHERE iif(json_valid(body), body ->> '$.c', NULL) = ?1",
        [name, &left],
    )?;
    if named > 0 {
        db.execute("UPDATE fences SET told = ''", [])?;
    }
    if let Some(stripe_customer) = row.stripe_customer {
        forget_stripe_customer(db, &stripe_customer)?;
    }
    let act = Act { action: "customer_erased", customer: Some(number), actor: "operator", ..Act::default() };
    audit::add_act(db, now, &act)?;
    Ok(Erased::As(left))
}

/// Several of our customers may share one.
fn forget_stripe_customer(db: &Connection, stripe_customer: &str) -> Result<()> {
    for table in ["subscriptions", "listed"] {
        db.execute(
            &format!(
                "DELETE FROM {table} WHERE stripe_customer = ?1
                 AND NOT EXISTS (SELECT 1 FROM customers WHERE stripe_customer = ?1)"
            ),
            [stripe_customer],
        )?;
    }
    Ok(())
}

fn still_needed(db: &Connection, number: u32, stripe_customer: Option<&str>) -> Result<Option<StillNeeded>> {
    let live: Option<String> = db
        .prepare(
            "SELECT id FROM subscriptions WHERE stripe_customer = ?1
             AND coalesce(status, facts ->> '$.status') NOT IN ('canceled', 'incomplete_expired') LIMIT 1",
        )?
        .query_row([stripe_customer], |row| row.get(0))
        .optional()?;
    if let Some(live) = live {
        return Ok(Some(StillNeeded::Subscription(live)));
    }
    let exists = |query: &str| db.query_row(query, [number], |row| row.get::<_, bool>(0));
    if exists("SELECT EXISTS (SELECT 1 FROM outbox WHERE customer = ?1 AND state <> 'delivered')")? {
        return Ok(Some(StillNeeded::MeterEvents));
    }
    let unsealed =
        "SELECT EXISTS (SELECT 1 FROM totals WHERE customer = ?1 AND sealable AND reportable > sealed)";
    Ok(exists(unsealed)?.then_some(StillNeeded::Usage))
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
