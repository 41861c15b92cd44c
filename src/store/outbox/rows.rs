//! Rows: sealed usage that Stripe has not accepted yet, and what becomes of each try.
//!
//! A row is marked as tried, durably, before it is sent. Identifier, value and timestamp never change.

use rusqlite::{Connection, Row, params};

use crate::store::{Result, Store, StoreReader, signed, unsigned};

/// Stripe remembers identifiers for at least 24 hours. A row whose first try is older than this and has no answer
/// may have arrived: sending it again could bill it twice.
pub const RESEND_WITHIN_SECONDS: i64 = 23 * 3600;

/// The answer to a row whose identifier Stripe knew.
pub const ARRIVED_BEFORE: &str = "known to Stripe: an earlier try arrived";

/// The answer to a row that was looked for in Stripe's sum.
pub const FOUND_IN_SUM: &str = "found in Stripe's sum";

/// The answer to a row that was taken over, where another node found it known.
pub const KNOWN_THERE: &str = "known to Stripe when another node tried";

/// What [`read_row`] reads.
pub(super) const COLUMNS: &str = "
    sequence, identifier, stripe_customer, event_name, value, timestamp, tries, answers, first_tried_at, last_tried_at,
    rejected_at, compared_units, compared_at, sought_from IS NOT NULL";

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
    /// Of the attempts that sent it; this one included if it does.
    pub last_tried_at: Option<i64>,
    /// Stripe accepted it once, and told later that it does not count.
    pub rejected_at: Option<i64>,
    /// What Stripe's sum held when the row was first compared with it.
    pub compared: Option<Reading>,
    /// The gateway before a restore may have sent its units, under names that are not known here.
    pub restored: bool,
}

impl OutboxRow {
    /// Without an answer for so long that it must not be sent again unseen; or never to be sent unseen.
    pub fn is_unanswered(&self, now: i64) -> bool {
        self.restored || self.first_tried_at.is_some_and(|first| first < now - RESEND_WITHIN_SECONDS)
    }
}

/// Units that Stripe's sum held at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub units: i64,
    pub at: i64,
}

/// The rows that are due now, marked as tried.
pub type Due = Vec<OutboxRow>;

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered {
        /// How that is known.
        answer: String,
    },
    /// Kept and shown, not sent again by itself. `refused`: Stripe said no to this try, so that it did not arrive.
    Dead { reason: String, refused: bool },
    /// Sent again at `at`. `answered`: under another `Idempotency-Key`. With `never_arrived` the 23 hours in which an
    /// event may be sent again have not begun with this try.
    Retry { at: i64, answered: bool, never_arrived: Option<NeverArrived>, reason: String },
    /// Compared with Stripe's sum, and to be compared again at `at`.
    Compared { reading: Reading, at: i64, reason: String },
    /// So many of its units have arrived under another name: the rest is sent.
    PartArrived { units: u64, reason: String },
    /// It has certainly not arrived: sent again, and the 23 hours begin anew.
    Resend { reason: String },
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

impl StoreReader {
    pub fn outbox_counts(&self) -> Result<OutboxCounts> {
        outbox_counts(&self.db)
    }
}

fn outbox_counts(db: &Connection) -> Result<OutboxCounts> {
    let mut counts = OutboxCounts::default();
    db.prepare_cached("SELECT count(*), min(sealed_at) FROM outbox WHERE state = 'pending'")?.query_row(
        [],
        |row| {
            counts.pending = unsigned(row.get(0)?);
            counts.oldest_sealed_at = row.get(1)?;
            Ok(())
        },
    )?;
    counts.dead = db
        .prepare_cached("SELECT count(*) FROM outbox WHERE state = 'dead'")?
        .query_row([], |row| Ok(unsigned(row.get(0)?)))?;
    Ok(counts)
}

impl Store {
    /// The next rows to try, those due longest first, marked as tried, durably, before they are sent.
    pub async fn claim_due(&self, now: i64, limit: u32) -> Result<Due> {
        self.write(move |db| claim(db, "", now, limit)).await
    }

    /// Notes what became of tries.
    pub async fn settle_tries(&self, outcomes: Vec<(i64, Outcome)>, now: i64) -> Result<()> {
        self.write(move |db| outcomes.iter().try_for_each(|(row, outcome)| settle(db, *row, outcome, now)))
            .await
    }

    pub async fn outbox_counts(&self) -> Result<OutboxCounts> {
        self.scan(outbox_counts).await
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

/// The number that the next row gets.
pub(super) fn next_sequence(db: &Connection) -> Result<i64> {
    let next = db
        .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'outbox'")?
        .query_row([], |row| row.get(0))?;
    Ok(next)
}

/// Takes up due rows, those due longest first, and notes their tries; `only` narrows which.
pub(super) fn claim(db: &Connection, only: &str, now: i64, limit: u32) -> Result<Due> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM outbox WHERE state = 'pending' AND next_try_at <= ?1 {only}
         ORDER BY next_try_at LIMIT ?2"
    ))?;
    let due: Due = query.query_map(params![now, limit], read_row)?.collect::<rusqlite::Result<_>>()?;
    mark_tried(db, &due, now)?;
    Ok(due)
}

/// Notes a try before it is made. What has been unanswered for too long is compared, not sent.
/// Only the first try is the last one at its instant: one that follows it within the second counts as later.
pub(super) fn mark_tried(db: &Connection, due: &[OutboxRow], now: i64) -> Result<()> {
    let mut mark = db.prepare_cached(
        "UPDATE outbox SET tries = tries + 1, first_tried_at = coalesce(first_tried_at, ?2),
                last_tried_at = iif(?3, last_tried_at, max(?2, coalesce(first_tried_at + 1, ?2)))
         WHERE sequence = ?1",
    )?;
    due.iter().try_for_each(|row| {
        mark.execute(params![row.sequence, now, row.is_unanswered(now)])?;
        Ok(())
    })
}

fn settle(db: &Connection, row: i64, outcome: &Outcome, now: i64) -> Result<()> {
    match outcome {
        Outcome::Delivered { answer } => db
            .prepare_cached(
                "UPDATE outbox SET state = 'delivered', settled_at = ?2, reason = NULL, answer = ?3
                 WHERE sequence = ?1",
            )?
            .execute(params![row, now, answer])?,
        // Stripe's no would be replayed under its key. Whether the 23 hours begin anew with another try is decided
        // when one is asked for.
        Outcome::Dead { reason, refused } => db
            .prepare_cached(
                "UPDATE outbox SET state = 'dead', settled_at = ?2, reason = ?3, answer = iif(?4, ?3, NULL),
                        answers = answers + 1, compared_units = NULL, compared_at = NULL
                 WHERE sequence = ?1",
            )?
            .execute(params![row, now, reason, refused])?,
        Outcome::Compared { reading, at, reason } => db
            .prepare_cached(
                "UPDATE outbox SET compared_units = ?2, compared_at = ?3, next_try_at = ?4, reason = ?5
                 WHERE sequence = ?1",
            )?
            .execute(params![row, reading.units, reading.at, at, reason])?,
        Outcome::Resend { reason } => db
            .prepare_cached(
                "UPDATE outbox SET compared_units = NULL, compared_at = NULL, first_tried_at = ?2,
                        answers = answers + 1, next_try_at = ?2, reason = ?3, sought_from = NULL, sought_until = NULL
                 WHERE sequence = ?1",
            )?
            .execute(params![row, now, reason])?,
        Outcome::PartArrived { units, reason } => part_arrived(db, row, *units, reason, now)?,
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

/// Two rows in the place of one that was never sent under its name: what has arrived, and what is to be sent.
fn part_arrived(db: &Connection, row: i64, units: u64, reason: &str, now: i64) -> Result<usize> {
    db.prepare_cached(
        "INSERT INTO outbox (sequence, identifier, customer, meter, period_start, stripe_customer, event_name, value,
                             timestamp, next_record, sealed_at, next_try_at, state, settled_at, answer, sought_from,
                             sought_until)
         SELECT ?2, identifier || '-found', customer, meter, period_start, stripe_customer, event_name, ?3, timestamp,
                next_record, sealed_at, ?4, 'delivered', ?4, ?5, sought_from, sought_until
         FROM outbox WHERE sequence = ?1",
    )?
    .execute(params![row, next_sequence(db)?, signed(units), now, FOUND_IN_SUM])?;
    Ok(db
        .prepare_cached(
            "UPDATE outbox SET value = value - ?2, compared_units = NULL, compared_at = NULL, first_tried_at = ?3,
                    next_try_at = ?3, reason = ?4, sought_from = NULL, sought_until = NULL
             WHERE sequence = ?1",
        )?
        .execute(params![row, signed(units), now, reason])?)
}

pub(super) fn read_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let compared: (Option<i64>, Option<i64>) = (row.get(11)?, row.get(12)?);
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
        last_tried_at: row.get(9)?,
        rejected_at: row.get(10)?,
        compared: compared.0.zip(compared.1).map(|(units, at)| Reading { units, at }),
        restored: row.get(13)?,
    })
}
