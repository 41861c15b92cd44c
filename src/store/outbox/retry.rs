//! Another try for meter events that are dead, asked for by an operator, from this process or another one.
//!
//! Identifier, value and timestamp stay. What changes:
//!
//! - The next try goes under a new `Idempotency-Key`, since Stripe would replay the refusal that it stored.
//! - The 23 hours within which an event may be sent again begin anew only if the one try that may have reached Stripe
//!   is the one that it refused. After an unanswered try they go on, and what is past them is compared, not sent.
//! - A total never has two unanswered rows. A row whose total has one is queued, and a trigger of the schema makes it
//!   pending when that one is answered.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::period::rfc3339;

use crate::store::{Result, Store, audit, reading};

/// A dead row that will be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    pub identifier: String,
    /// Not at once: after the unanswered row of its total.
    pub queued: bool,
    /// A try that may have reached Stripe lies so far back.
    pub unanswered_since: Option<i64>,
}

impl Retried {
    /// What becomes of it.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self { queued: true, .. } => {
                "follows when the unanswered one of the same customer, meter and period is answered"
            }
            Self { unanswered_since: Some(_), .. } => {
                "tried again within 23 hours of its first unanswered try; after that compared with Stripe's sums"
            }
            _ => "tried again at the gateway's next turn, within 10 s, or when it is next started",
        }
    }

    /// A row of an answer, here and on the command line.
    pub fn json(&self) -> Value {
        json!({
            "identifier": self.identifier,
            "queued": self.queued,
            "unanswered_since": self.unanswered_since.map(rfc3339),
            "detail": self.sentence(),
        })
    }
}

/// What became of an operator's wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOutcome {
    Retried(Vec<Retried>),
    /// One of those named is not there; nothing was changed.
    Unknown(String),
    /// One of those named is pending or delivered; nothing was changed.
    NotDead {
        identifier: String,
        state: String,
    },
}

/// Rows that one transaction changes when all are asked for: a gateway beside the command waits only so long to write.
const SLICE: u32 = 1_000;
/// Between two of those transactions, for whoever waits.
const BETWEEN_SLICES: Duration = Duration::from_millis(20);

impl Store {
    /// Makes dead rows due: those named, or all when none is.
    pub async fn retry_dead(&self, identifiers: Vec<String>, now: i64) -> Result<RetryOutcome> {
        if !identifiers.is_empty() {
            return self.write(move |db| retry_named(db, &identifiers, now)).await;
        }
        let mut all = Slices::default();
        while let Some(after) = all.next {
            all.add(self.write(move |db| retry_slice(db, after, now)).await?);
        }
        Ok(RetryOutcome::Retried(all.retried))
    }
}

/// The same, beside a running gateway, which sends them at its next turn.
pub fn retry_dead_in(data_dir: &Path, identifiers: &[String], now: i64) -> Result<RetryOutcome> {
    let db = reading::existing(data_dir, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    if !identifiers.is_empty() {
        return in_transaction(&db, || retry_named(&db, identifiers, now));
    }
    let mut all = Slices::default();
    while let Some(after) = all.next {
        all.add(in_transaction(&db, || retry_slice(&db, after, now))?);
        thread::sleep(BETWEEN_SLICES);
    }
    Ok(RetryOutcome::Retried(all.retried))
}

/// After an error the connection is closed, which rolls back.
fn in_transaction<T>(db: &Connection, job: impl FnOnce() -> Result<T>) -> Result<T> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = job()?;
    db.execute_batch("COMMIT")?;
    Ok(outcome)
}

/// What was retried slice by slice.
struct Slices {
    retried: Vec<Retried>,
    /// The sequence behind which the next slice begins.
    next: Option<i64>,
}

impl Default for Slices {
    fn default() -> Self {
        Self { retried: Vec::new(), next: Some(0) }
    }
}

impl Slices {
    fn add(&mut self, (retried, next): (Vec<Retried>, Option<i64>)) {
        self.retried.extend(retried);
        self.next = next;
    }
}

/// The next of all dead rows, and where to go on. Those that stay dead for now are not looked at again.
fn retry_slice(db: &Connection, after: i64, now: i64) -> Result<(Vec<Retried>, Option<i64>)> {
    let mut dead = db.prepare_cached(
        "SELECT sequence FROM outbox WHERE state = 'dead' AND sequence > ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let rows: Vec<i64> =
        dead.query_map(params![after, SLICE], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let retried = rows.iter().map(|row| retry_row(db, *row, now)).collect::<Result<_>>()?;
    Ok((retried, rows.last().copied().filter(|_| rows.len() == SLICE as usize)))
}

/// Checks everything, then changes everything.
fn retry_named(db: &Connection, identifiers: &[String], now: i64) -> Result<RetryOutcome> {
    let mut rows = Vec::new();
    for identifier in identifiers {
        let found: Option<(i64, String)> = db
            .prepare_cached("SELECT sequence, state FROM outbox WHERE identifier = ?1")?
            .query_row([identifier], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match found {
            None => return Ok(RetryOutcome::Unknown(identifier.clone())),
            Some((sequence, state)) if state == "dead" => rows.push(sequence),
            Some((_, state)) => {
                return Ok(RetryOutcome::NotDead { identifier: identifier.clone(), state });
            }
        }
    }
    rows.sort_unstable();
    rows.dedup();
    let retried = rows.iter().map(|row| retry_row(db, *row, now)).collect::<Result<_>>()?;
    Ok(RetryOutcome::Retried(retried))
}

fn retry_row(db: &Connection, sequence: i64, now: i64) -> Result<Retried> {
    // The only try that may have arrived is the last one exactly if it is also the first: and that one was refused.
    db.prepare_cached(
        "UPDATE outbox SET retry_at = ?2, answer = NULL,
                first_tried_at = iif(answer IS NULL, first_tried_at, nullif(first_tried_at, last_tried_at))
         WHERE sequence = ?1",
    )?
    .execute(params![sequence, now])?;
    // Ignored where the total has an unanswered row.
    let pending = db
        .prepare_cached(
            "UPDATE OR IGNORE outbox SET state = 'pending', retry_at = NULL, settled_at = NULL, next_try_at = ?2
             WHERE sequence = ?1",
        )?
        .execute(params![sequence, now])?;
    let mut row =
        db.prepare_cached("SELECT identifier, first_tried_at, customer FROM outbox WHERE sequence = ?1")?;
    let (retried, customer) = row.query_row([sequence], |row| {
        let retried =
            Retried { identifier: row.get(0)?, queued: pending == 0, unanswered_since: row.get(1)? };
        Ok((retried, row.get(2)?))
    })?;
    let detail = format!("{} is tried again", retried.identifier);
    audit::add(db, now, "outbox_retry", Some(customer), &detail)?;
    Ok(retried)
}

impl RetryOutcome {
    /// The rows, or a sentence that says which name is wrong.
    pub fn into_rows(self) -> std::result::Result<Vec<Retried>, String> {
        match self {
            Self::Retried(rows) => Ok(rows),
            Self::Unknown(identifier) => {
                Err(format!("no meter event has the identifier {identifier}; nothing was changed"))
            }
            Self::NotDead { identifier, state } => {
                Err(format!("the meter event {identifier} is {state}, not dead; nothing was changed"))
            }
        }
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
