//! The inbox: webhook events, stored before Stripe is answered, applied by a worker, each once.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{Result, Store, StoreError, audit};

/// What the state needs of an event. No payload is kept: the worker reads the objects again from Stripe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFacts {
    pub stripe_customer: Option<String>,
    pub subscription: Option<String>,
    /// Names one of our customers on a checkout session.
    pub client_reference_id: Option<String>,
    /// `metadata.tollgate_customer`.
    pub tollgate_customer: Option<String>,
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
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxOutcome {
    Done,
    /// Stripe could not be asked: that is no try.
    Postponed {
        at: i64,
        reason: String,
    },
    /// Tried again at `at`.
    Retry {
        at: i64,
        reason: String,
    },
    /// Kept, and not tried again by itself.
    Failed {
        reason: String,
    },
}

impl Store {
    /// Stores an event; durable when this returns. One that changes nothing is stored as ignored.
    pub async fn receive(
        &self,
        event_id: String,
        kind: String,
        created: i64,
        facts: Option<EventFacts>,
        now: i64,
    ) -> Result<Stored> {
        self.write(move |db| {
            let state = if facts.is_some() { "pending" } else { "ignored" };
            let facts = serde_json::to_string(&facts.unwrap_or_default())
                .map_err(|error| StoreError::Unreadable(error.to_string()))?;
            let new = db
                .prepare_cached(
                    "INSERT OR IGNORE INTO inbox (event_id, type, created, received_at, facts, state, settled_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, iif(?6 = 'ignored', ?4, NULL))",
                )?
                .execute(params![event_id, kind, created, now, facts, state])?;
            Ok(if new == 1 { Stored::New } else { Stored::Duplicate })
        })
        .await
    }

    /// The events that are due, those due longest first.
    pub async fn due_events(&self, now: i64, limit: u32) -> Result<Vec<InboxRow>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT event_id, type, created, facts, tries FROM inbox
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
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub async fn settle_event(&self, event_id: String, outcome: InboxOutcome, now: i64) -> Result<()> {
        self.write(move |db| settle(db, &event_id, &outcome, now)).await
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
}

fn settle(db: &Connection, event_id: &str, outcome: &InboxOutcome, now: i64) -> Result<()> {
    match outcome {
        InboxOutcome::Done => db
            .prepare_cached(
                "UPDATE inbox SET state = 'done', settled_at = ?2, reason = NULL WHERE event_id = ?1",
            )?
            .execute(params![event_id, now])?,
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
            db.prepare_cached(
                "UPDATE inbox SET state = 'failed', settled_at = ?2, tries = tries + 1, reason = ?3
                 WHERE event_id = ?1",
            )?
            .execute(params![event_id, now, reason])?
        }
    };
    Ok(())
}
