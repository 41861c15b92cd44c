//! The inbox: webhook events, stored before Stripe is answered, applied by a worker, each once.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::notices::{self, NewNotice};
use super::{Result, Store, StoreError, audit, forwards};
use crate::domain::notice::NoticeKind;

/// What the state needs of an event: the worker reads the objects again from Stripe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFacts {
    /// The id of what it is about.
    pub object: Option<String>,
    pub stripe_customer: Option<String>,
    pub subscription: Option<String>,
    /// Names one of our customers on a checkout session.
    pub client_reference_id: Option<String>,
    /// `metadata.tollgate_customer`.
    pub tollgate_customer: Option<String>,
}

/// An event as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEvent {
    pub id: String,
    pub kind: String,
    pub created: i64,
    /// Else it changes nothing here, and is stored as ignored.
    pub means_something: bool,
    pub facts: EventFacts,
    /// The whole of it, sealed.
    pub payload: Option<Vec<u8>>,
    /// `Stripe-Signature` and body for another handler.
    pub forward: Option<(String, Vec<u8>)>,
}

/// Whether an event is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    New,
    Duplicate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    pub event_id: String,
    pub kind: String,
    pub created: i64,
    pub facts: EventFacts,
    pub tries: u32,
    /// An operator wants it applied again.
    pub is_replayed: bool,
}

/// What is left to do, and what cannot be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    pub pending: i64,
    pub failed: i64,
    /// When the oldest of those pending came, or was to be applied again.
    pub oldest_at: Option<i64>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxOutcome {
    /// With what it changed, in words.
    Done { effects: Vec<String> },
    /// Stripe could not be asked: that is no try.
    Postponed { at: i64, reason: String },
    /// Tried again at `at`.
    Retry { at: i64, reason: String },
    /// Kept, told, and not tried again by itself.
    Failed { reason: String },
}

impl Store {
    /// Stores an event; durable when this returns.
    pub async fn receive(&self, event: NewEvent, now: i64) -> Result<Stored> {
        self.write(move |db| receive(db, &event, now)).await
    }

    /// The events that are due, those due longest first.
    pub async fn due_events(&self, now: i64, limit: u32) -> Result<Vec<InboxRow>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT event_id, type, created, facts, tries, replayed_at IS NOT NULL FROM inbox
                 WHERE state = 'pending' AND next_try_at <= ?1 ORDER BY next_try_at, received_at LIMIT ?2",
            )?;
            let rows = query.query_map(params![now, limit], |row| {
                let facts: String = row.get(3)?;
                Ok(InboxRow {
                    event_id: row.get(0)?,
                    kind: row.get(1)?,
                    created: row.get(2)?,
                    // Written by us; a row that cannot be read names nothing and is done.
                    facts: serde_json::from_str(&facts).unwrap_or_default(),
                    tries: row.get(4)?,
                    is_replayed: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Events of these types since an instant by Stripe's clock: their ids, types, and when they were made.
    pub async fn events_of_kinds(
        &self,
        kinds: Vec<String>,
        since: i64,
    ) -> Result<Vec<(String, String, i64)>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT event_id, type, created FROM inbox WHERE created >= ?1
                   AND type IN (SELECT value FROM json_each(?2)) ORDER BY created, event_id",
            )?;
            let kinds = serde_json::json!(kinds).to_string();
            let rows =
                query.query_map(params![since, kinds], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Keeps what became of events.
    pub async fn settle_events(&self, outcomes: Vec<(String, InboxOutcome)>, now: i64) -> Result<()> {
        self.write(move |db| {
            outcomes.iter().try_for_each(|(event_id, outcome)| settle(db, event_id, outcome, now))
        })
        .await
    }

    /// When the next event becomes due, if any waits.
    pub async fn next_event_due(&self) -> Result<Option<i64>> {
        self.read(|db| {
            let next = db
                .prepare_cached("SELECT min(next_try_at) FROM inbox WHERE state = 'pending'")?
                .query_row([], |row| row.get(0))
                .optional()?;
            Ok(next.flatten())
        })
        .await
    }

    /// How many events wait, since when, and how many have failed.
    pub async fn count_events(&self) -> Result<EventCounts> {
        self.scan(|db| {
            let count = |state: &str| -> Result<i64> {
                let query = format!("SELECT count(*) FROM inbox WHERE state = '{state}'");
                Ok(db.prepare_cached(&query)?.query_row([], |row| row.get(0))?)
            };
            let oldest =
                "SELECT min(max(received_at, coalesce(replayed_at, 0))) FROM inbox WHERE state = 'pending'";
            Ok(EventCounts {
                pending: count("pending")?,
                failed: count("failed")?,
                oldest_at: db.prepare_cached(oldest)?.query_row([], |row| row.get(0))?,
            })
        })
        .await
    }
}

fn receive(db: &Connection, event: &NewEvent, now: i64) -> Result<Stored> {
    let state = if event.means_something { "pending" } else { "ignored" };
    let facts =
        serde_json::to_string(&event.facts).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    let new = db
        .prepare_cached(
            "INSERT OR IGNORE INTO inbox (event_id, type, created, received_at, facts, state, settled_at, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, iif(?6 = 'ignored', ?4, NULL), ?7)",
        )?
        .execute(params![event.id, event.kind, event.created, now, facts, state, event.payload])?;
    if new == 0 {
        return Ok(Stored::Duplicate);
    }
    if let Some(forward) = &event.forward {
        forwards::add(db, &event.id, forward, now)?;
    }
    Ok(Stored::New)
}

fn settle(db: &Connection, event_id: &str, outcome: &InboxOutcome, now: i64) -> Result<()> {
    match outcome {
        InboxOutcome::Done { effects } => db
            .prepare_cached(
                "UPDATE inbox SET state = 'done', settled_at = ?2, reason = NULL, effects = ?3 WHERE event_id = ?1",
            )?
            .execute(params![event_id, now, serde_json::json!(effects).to_string()])?,
        InboxOutcome::Postponed { at, reason } => db
            .prepare_cached("UPDATE inbox SET next_try_at = ?2, reason = ?3 WHERE event_id = ?1")?
            .execute(params![event_id, at, reason])?,
        InboxOutcome::Retry { at, reason } => db
            .prepare_cached(
                "UPDATE inbox SET next_try_at = ?2, tries = tries + 1, reason = ?3 WHERE event_id = ?1",
            )?
            .execute(params![event_id, at, reason])?,
        InboxOutcome::Failed { reason } => {
            audit::add(db, now, "webhook_failed", None, &format!("{event_id}: {reason}"))?;
            let failed = db
                .prepare_cached(
                    "UPDATE inbox SET state = 'failed', settled_at = ?2, tries = tries + 1, reason = ?3
                     WHERE event_id = ?1",
                )?
                .execute(params![event_id, now, reason])?;
            tell_of_failure(db, event_id, now)?;
            failed
        }
    };
    Ok(())
}

/// Once for each time that it fails: one that was replayed may fail again.
fn tell_of_failure(db: &Connection, event_id: &str, now: i64) -> Result<()> {
    let read = "SELECT type, tries, reason, replayed_at FROM inbox WHERE event_id = ?1";
    let told = db.prepare_cached(read)?.query_row([event_id], |row| {
        let (kind, tries, reason): (String, u32, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let data =
            serde_json::json!({ "event": event_id, "event_type": kind, "tries": tries, "reason": reason });
        Ok((row.get::<_, Option<i64>>(3)?, data))
    });
    let Some((replayed_at, data)) = told.optional()? else { return Ok(()) };
    let cause = format!("webhook:{event_id}:{}", replayed_at.unwrap_or(0));
    let notice = NewNotice { kind: NoticeKind::WebhookFailed, customer: None, cause, data };
    notices::add(db, &notice, now).map(drop)
}
