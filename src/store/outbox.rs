//! The outbox: sealed usage that Stripe has not accepted yet.
//!
//! Sealing moves a total's `sealed` sum and makes the row in one transaction, so that every unit is in exactly one
//! row. Identifier, value and timestamp never change afterwards.

use rusqlite::{Connection, Row, params};

use super::{Result, Store, unsigned};

/// Stripe remembers identifiers for at least 24 hours. A row whose first try is older than this and has no answer
/// may have arrived: sending it again could bill it twice.
pub const RESEND_WITHIN_SECONDS: i64 = 23 * 3600;

/// What sealing needs to know.
#[derive(Clone, Debug)]
pub struct SealPlan {
    /// Begins every identifier: the ledger's id.
    pub identifier_prefix: String,
    /// Meter number and the name of its events at Stripe.
    pub event_names: Vec<(u32, String)>,
    pub now: i64,
    /// At most so many rows in one go.
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    pub rows: usize,
    pub units: u64,
    /// The limit was reached: there may be more.
    pub more: bool,
}

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
}

impl OutboxRow {
    /// Without an answer for so long that it must not be sent again unseen.
    pub fn is_unanswered(&self, now: i64) -> bool {
        self.first_tried_at.is_some_and(|first| first < now - RESEND_WITHIN_SECONDS)
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
    /// Kept and shown, not sent again by itself.
    Dead { reason: String },
    /// Sent again at `at`. `answered`: under another `Idempotency-Key`. With `never_arrived` the 23 hours in which an
    /// event may be sent again have not begun with this try.
    Retry { at: i64, answered: bool, never_arrived: Option<NeverArrived>, reason: String },
    /// Compared with Stripe's sum, and to be compared again at `at`.
    Compared { reading: Reading, at: i64, reason: String },
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

impl Store {
    /// Seals unreported usage of customers with a Stripe customer: one row for each customer, meter and period that
    /// has no unanswered row. Answers how much; ask again while there is more.
    pub async fn seal(&self, plan: SealPlan) -> Result<Sealed> {
        self.write(move |db| seal(db, &plan)).await
    }

    /// The next rows to try, those due longest first, marked as tried, durably, before they are sent.
    pub async fn claim_due(&self, now: i64, limit: u32) -> Result<Due> {
        self.write(move |db| {
            let mut query = db.prepare_cached(
                "SELECT sequence, identifier, stripe_customer, event_name, value, timestamp, tries, answers,
                        first_tried_at, last_tried_at, rejected_at, compared_units, compared_at
                 FROM outbox WHERE state = 'pending' AND next_try_at <= ?1
                 ORDER BY next_try_at LIMIT ?2",
            )?;
            let due: Due =
                query.query_map(params![now, limit], read_row)?.collect::<rusqlite::Result<_>>()?;
            mark_tried(db, &due, now)?;
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

/// A total that has something to seal.
struct Unsealed {
    customer: u32,
    meter: u32,
    period_start: i64,
    stripe_customer: String,
    value: i64,
    last_at_micros: i64,
    period_end: i64,
}

fn seal(db: &Connection, plan: &SealPlan) -> Result<Sealed> {
    let slice = unsealed(db, plan)?;
    let mut sealed = Sealed { more: slice.len() >= plan.limit as usize, ..Sealed::default() };
    for mut unsealed in slice {
        let name = plan.event_names.iter().find(|(meter, _)| *meter == unsealed.meter);
        let Some((_, event_name)) = name else { continue };
        move_sealed(db, &unsealed, unsealed.period_start, unsealed.value)?;
        unsealed.value -= use_credit(db, &unsealed)?;
        if unsealed.value > 0 {
            insert(db, plan, &unsealed, event_name)?;
            sealed.rows += 1;
            sealed.units += unsigned(unsealed.value);
        }
    }
    Ok(sealed)
}

/// What was taken back after it had been sealed, in whatever period, comes off the next batch. Answers how much.
fn use_credit(db: &Connection, unsealed: &Unsealed) -> Result<i64> {
    let mut in_credit = db.prepare_cached(
        "SELECT period_start, sealed - reportable FROM totals
         WHERE customer = ?1 AND meter = ?2 AND sealed > reportable",
    )?;
    let credits: Vec<(i64, i64)> = in_credit
        .query_map(params![unsealed.customer, unsealed.meter], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut used = 0;
    for (period_start, credit) in credits {
        let part = credit.min(unsealed.value - used);
        move_sealed(db, unsealed, period_start, -part)?;
        used += part;
    }
    Ok(used)
}

fn move_sealed(db: &Connection, unsealed: &Unsealed, period_start: i64, units: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE totals SET sealed = sealed + ?4 WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
    )?
    .execute(params![unsealed.customer, unsealed.meter, period_start, units])?;
    Ok(())
}

fn unsealed(db: &Connection, plan: &SealPlan) -> Result<Vec<Unsealed>> {
    let meters: Vec<String> = plan.event_names.iter().map(|(meter, _)| meter.to_string()).collect();
    let mut query = db.prepare_cached(&format!(
        "SELECT t.customer, t.meter, t.period_start, c.stripe_customer, t.reportable - t.sealed, t.last_at_micros,
                t.period_end
         FROM totals t JOIN customers c ON c.number = t.customer
         WHERE t.sealable AND t.reportable > t.sealed AND t.meter IN ({})
           AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.state = 'pending' AND o.customer = t.customer
                           AND o.meter = t.meter AND o.period_start = t.period_start)
         LIMIT ?1",
        meters.join(", ")
    ))?;
    let rows = query.query_map([plan.limit], |row| {
        Ok(Unsealed {
            customer: row.get(0)?,
            meter: row.get(1)?,
            period_start: row.get(2)?,
            stripe_customer: row.get(3)?,
            value: row.get(4)?,
            last_at_micros: row.get(5)?,
            period_end: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn insert(db: &Connection, plan: &SealPlan, unsealed: &Unsealed, event_name: &str) -> Result<()> {
    let sequence = next_sequence(db)?;
    db.prepare_cached(
        "INSERT INTO outbox (sequence, identifier, customer, meter, period_start, stripe_customer, event_name,
                             value, timestamp, sealed_at, next_try_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
    )?
    .execute(params![
        sequence,
        format!("{}-{sequence}", plan.identifier_prefix),
        unsealed.customer,
        unsealed.meter,
        unsealed.period_start,
        unsealed.stripe_customer,
        event_name,
        unsealed.value,
        // Of its last unit, so that a batch sealed just after the edge still lies in the old period.
        unsealed.last_at_micros.div_euclid(1_000_000).min(unsealed.period_end - 1),
        plan.now,
    ])?;
    Ok(())
}

/// The number that the next row gets.
pub(super) fn next_sequence(db: &Connection) -> Result<i64> {
    let next = db
        .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'outbox'")?
        .query_row([], |row| row.get(0))?;
    Ok(next)
}

/// Notes a try before it is made. What has been unanswered for too long is compared, not sent.
pub(super) fn mark_tried(db: &Connection, due: &[OutboxRow], now: i64) -> Result<()> {
    let mut mark = db.prepare_cached(
        "UPDATE outbox SET tries = tries + 1, first_tried_at = coalesce(first_tried_at, ?2),
                last_tried_at = iif(?3, last_tried_at, ?2)
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
        // Stripe's no would be replayed under its key. What Stripe has rejected did not arrive by the tries so far.
        Outcome::Dead { reason } => db
            .prepare_cached(
                "UPDATE outbox SET state = 'dead', settled_at = ?2, reason = ?3, answers = answers + 1,
                        compared_units = NULL, compared_at = NULL,
                        first_tried_at = iif(rejected_at IS NULL, first_tried_at, NULL)
                 WHERE sequence = ?1",
            )?
            .execute(params![row, now, reason])?,
        Outcome::Compared { reading, at, reason } => db
            .prepare_cached(
                "UPDATE outbox SET compared_units = ?2, compared_at = ?3, next_try_at = ?4, reason = ?5
                 WHERE sequence = ?1",
            )?
            .execute(params![row, reading.units, reading.at, at, reason])?,
        Outcome::Resend { reason } => db
            .prepare_cached(
                "UPDATE outbox SET compared_units = NULL, compared_at = NULL, first_tried_at = ?2,
                        answers = answers + 1, next_try_at = ?2, reason = ?3
                 WHERE sequence = ?1",
            )?
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
    })
}
