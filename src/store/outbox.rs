//! The outbox: sealed usage that Stripe has not accepted yet.
//!
//! A row is marked as tried, durably, before it is sent. Identifier, value and timestamp never change.

use rusqlite::{Connection, Row, params};

use super::{Result, Store, unsigned};

/// A row to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub sequence: i64,
    pub identifier: String,
    pub stripe_customer: String,
    pub event_name: String,
    pub value: u64,
    pub timestamp: i64,
    pub tries: u32,
    pub answers: u32,
    /// Tried before this attempt.
    pub first_tried_at: Option<i64>,
}

/// The rows that are due now, marked as tried.
pub type Due = Vec<OutboxRow>;

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered {
        /// What Stripe said.
        answer: String,
    },
    /// Kept and shown, not sent again by itself.
    Dead { reason: String },
    /// Sent again at `at`. `answered`: under another `Idempotency-Key`. With `never_arrived` the 23 hours in which an
    /// event may be sent again have not begun with this try.
    Retry { at: i64, answered: bool, never_arrived: Option<NeverArrived>, reason: String },
    /// Its identifier was taken by somebody else: sealed anew under another one.
    Reseal { identifier: String, at: i64, reason: String },
}

/// A try that Stripe certainly did not take, and when the first one that it may have taken was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeverArrived {
    pub first_tried_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    pub pending: u64,
    pub dead: u64,
    pub oldest_sealed_at: Option<i64>,
}

impl Store {
    /// The next rows to try, those due longest first, marked as tried, durably, before they are sent.
    pub async fn claim_due(&self, now: i64, limit: u32) -> Result<Due> {
        self.write(move |db| {
            let mut query = db.prepare_cached(
                "SELECT sequence, identifier, stripe_customer, event_name, value, timestamp, tries, answers,
                        first_tried_at
                 FROM outbox WHERE state = 'pending' AND next_try_at <= ?1
                 ORDER BY next_try_at LIMIT ?2",
            )?;
            let due: Due =
                query.query_map(params![now, limit], read_row)?.collect::<rusqlite::Result<_>>()?;
            let mut mark = db.prepare_cached(
                "UPDATE outbox SET tries = tries + 1, first_tried_at = coalesce(first_tried_at, ?2),
                                   last_tried_at = ?2
                 WHERE sequence = ?1",
            )?;
            for row in &due {
                mark.execute(params![row.sequence, now])?;
            }
            Ok(due)
        })
        .await
    }

    /// Notes what became of tries.
    pub async fn settle_tries(&self, outcomes: Vec<(i64, Outcome)>, now: i64) -> Result<()> {
        self.write(move |db| outcomes.iter().try_for_each(|(row, outcome)| settle(db, *row, outcome, now)))
            .await
    }

    pub async fn outbox_counts(&self) -> Result<OutboxCounts> {
        self.scan(|db| {
            let mut counts = OutboxCounts::default();
            db.prepare_cached("SELECT count(*), min(sealed_at) FROM outbox WHERE state = 'pending'")?
                .query_row([], |row| {
                    counts.pending = unsigned(row.get(0)?);
                    counts.oldest_sealed_at = row.get(1)?;
                    Ok(())
                })?;
            counts.dead = db
                .prepare_cached("SELECT count(*) FROM outbox WHERE state = 'dead'")?
                .query_row([], |row| Ok(unsigned(row.get(0)?)))?;
            Ok(counts)
        })
        .await
    }

    /// When the next row becomes due, if any is pending.
    pub async fn next_due(&self) -> Result<Option<i64>> {
        self.read(|db| {
            let next = db
                .prepare_cached("SELECT min(next_try_at) FROM outbox WHERE state = 'pending'")?
                .query_row([], |row| row.get(0))?;
            Ok(next)
        })
        .await
    }
}

fn settle(db: &Connection, row: i64, outcome: &Outcome, now: i64) -> Result<()> {
    match outcome {
        Outcome::Delivered { answer } => db
            .prepare_cached(
                "UPDATE outbox SET state = 'delivered', settled_at = ?2, answer = ?3, reason = NULL
                 WHERE sequence = ?1",
            )?
            .execute(params![row, now, answer])?,
        Outcome::Dead { reason } => db
            .prepare_cached("UPDATE outbox SET state = 'dead', settled_at = ?2, reason = ?3 WHERE sequence = ?1")?
            .execute(params![row, now, reason])?,
        Outcome::Retry { at, answered, never_arrived, reason } => db
            .prepare_cached(
                "UPDATE outbox SET next_try_at = ?2, answers = answers + ?3, reason = ?4,
                        first_tried_at = iif(?5, ?6, first_tried_at)
                 WHERE sequence = ?1",
            )?
            .execute(params![
                row,
                at,
                answered,
                reason,
                never_arrived.is_some(),
                never_arrived.and_then(|before| before.first_tried_at)
            ])?,
        Outcome::Reseal { identifier, at, reason } => db
            .prepare_cached(
                "UPDATE outbox SET identifier = ?2, first_tried_at = NULL, answers = 0, reason = ?3, next_try_at = ?4
                 WHERE sequence = ?1",
            )?
            .execute(params![row, identifier, reason, at])?,
    };
    Ok(())
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        sequence: row.get(0)?,
        identifier: row.get(1)?,
        stripe_customer: row.get(2)?,
        event_name: row.get(3)?,
        value: unsigned(row.get(4)?),
        timestamp: row.get(5)?,
        tries: row.get(6)?,
        answers: row.get(7)?,
        first_tried_at: row.get(8)?,
    })
}
