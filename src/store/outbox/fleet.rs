//! What a node of a fleet has not sent, for the copy that others can take over; and what it makes of what they took.
//!
//! # What holds
//!
//! - The n-th row of a total has the same identifier on whichever machine it is sealed, and a unit is in row n or in a
//!   later one on both: Stripe counts it once.
//! - A row whose value another machine has fixed differently takes that value as long as it has not been sent; what is
//!   over is unsealed again. If both were sent, only what is certain is booked.

use hashbrown::HashMap;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{COLUMNS, Due, KNOWN_THERE, mark_tried, next_sequence, read_row};
use crate::store::totals::TotalKey;
use crate::store::{Result, Store, audit, unsigned};

/// A row that Stripe has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsentRow {
    pub sequence: i64,
    pub identifier: String,
    /// Our name for the customer.
    pub customer: String,
    pub stripe_customer: String,
    pub event_name: String,
    pub period_start: i64,
    pub value: i64,
    pub timestamp: i64,
    /// It was not tried before.
    pub sealed_at: i64,
}

/// What of a total is in no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsentTotal {
    pub total: TotalKey,
    pub customer: String,
    pub stripe_customer: String,
    pub value: i64,
    /// Of its last unit, inside the period.
    pub timestamp: i64,
    /// Which of the total's rows it becomes.
    pub number: i64,
}

/// What a node has not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    pub rows: Vec<UnsentRow>,
    /// Those whose periods end first, first.
    pub totals: Vec<UnsentTotal>,
    /// Segment, offset and next record number of the ledger that it reaches.
    pub position: (i64, i64, i64),
    /// Rows and totals that there are beside these.
    pub left_out: u64,
}

/// What became of a row where it was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenAnswer {
    /// Stripe took it from there.
    Accepted,
    /// Stripe had it before the first try there.
    Known,
    /// Stripe has it, from there or from the lost node.
    Unclear,
    /// Stripe refused it.
    Dead,
}

/// A row that another machine has taken over of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FencedRow {
    pub identifier: String,
    pub stripe_customer: String,
    pub event_name: String,
    pub value: i64,
    pub timestamp: i64,
    /// It was not tried before, there or here.
    pub at: i64,
    pub answer: Option<TakenAnswer>,
    /// Of one that was no row yet: its total, and which of the total's rows it became.
    pub sealed_there: Option<(TotalKey, i64)>,
    /// It holds the records below this number.
    pub next_record: i64,
}

impl Store {
    /// What is to be copied: at most `limit` totals, and as many rows.
    pub async fn unsent(&self, limit: u32) -> Result<Unsent> {
        self.scan(move |db| {
            let rows = unsent_rows(db, i64::MAX, limit)?;
            let totals = unsent_totals(db, limit)?;
            let position = db.query_row("SELECT segment, offset, next_record FROM fold", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let is_all = rows.len().max(totals.len()) < limit as usize;
            let left_out = if is_all { 0 } else { left_out(db, limit)? };
            Ok(Unsent { rows, totals, position, left_out })
        })
        .await
    }

    /// The rows that are due, those due longest first; nothing is noted.
    pub async fn due(&self, now: i64, limit: u32) -> Result<Vec<UnsentRow>> {
        self.read(move |db| unsent_rows(db, now, limit)).await
    }

    /// Of these rows those that are due still, marked as tried, durably, before they are sent.
    pub async fn claim_these(&self, sequences: Vec<i64>, now: i64) -> Result<Due> {
        self.write(move |db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox WHERE sequence = ?1 AND state = 'pending' AND next_try_at <= ?2"
            ))?;
            let mut due = Due::new();
            for sequence in sequences {
                due.extend(query.query_row(params![sequence, now], read_row).optional()?);
            }
            mark_tried(db, &due, now)?;
            Ok(due)
        })
        .await
    }

    /// Whether this `data_dir` has ever been copied.
    pub async fn was_copied(&self) -> Result<bool> {
        self.read(|db| Ok(db.prepare_cached("SELECT 1 FROM meta WHERE key = 'copied'")?.exists([])?)).await
    }

    /// Notes that it has been, before the first copy is made.
    pub async fn note_copied(&self) -> Result<()> {
        self.write(|db| {
            db.execute("INSERT OR IGNORE INTO meta VALUES ('copied', x'01')", [])?;
            Ok(())
        })
        .await
    }

    /// Reckons with rows that were taken over of this node. Answers how many wait for the answer that their taker gets;
    /// with `give_up` these are left to a person.
    pub async fn reckon(&self, rows: Vec<FencedRow>, give_up: bool, now: i64) -> Result<usize> {
        self.write(move |db| {
            let mut held = 0;
            for row in &rows {
                held += usize::from(reckon(db, row, give_up, now)? == Reckoned::Held);
            }
            Ok(held)
        })
        .await
    }
}

fn unsent_rows(db: &Connection, due_at: i64, limit: u32) -> Result<Vec<UnsentRow>> {
    let mut query = db.prepare_cached(
        "SELECT o.sequence, o.identifier, coalesce(c.name, ''), o.stripe_customer, o.event_name, o.period_start,
                o.value, o.timestamp, o.sealed_at
         FROM outbox o LEFT JOIN customers c ON c.number = o.customer
         WHERE o.state = 'pending' AND o.next_try_at <= ?1 AND o.kind = 'usage'
         ORDER BY o.next_try_at LIMIT ?2",
    )?;
    let rows = query.query_map(params![due_at, limit], |row| {
        Ok(UnsentRow {
            sequence: row.get(0)?,
            identifier: row.get(1)?,
            customer: row.get(2)?,
            stripe_customer: row.get(3)?,
            event_name: row.get(4)?,
            period_start: row.get(5)?,
            value: row.get(6)?,
            timestamp: row.get(7)?,
            sealed_at: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn unsent_totals(db: &Connection, limit: u32) -> Result<Vec<UnsentTotal>> {
    let mut query = db.prepare_cached(
        "SELECT t.customer, t.meter, t.period_start, c.name, c.stripe_customer,
                t.reportable - t.sealed - t.open, t.last_at_micros / 1000000, t.period_end, t.sealed_rows + 1
         FROM totals t JOIN customers c ON c.number = t.customer
         WHERE t.sealable AND t.reportable > t.sealed AND c.stripe_customer IS NOT NULL
         ORDER BY t.period_end LIMIT ?1",
    )?;
    let mut in_credit = credits(db)?;
    let mut totals = Vec::new();
    for total in query.query_map([limit], read_total)? {
        let mut total = total?;
        // As sealing does: what was taken back after it had been sealed comes off.
        if let Some(credit) = in_credit.get_mut(&(total.total.customer, total.total.meter)) {
            let part = (*credit).min(total.value).max(0);
            *credit -= part;
            total.value -= part;
        }
        if total.value > 0 {
            totals.push(total);
        }
    }
    Ok(totals)
}

fn left_out(db: &Connection, limit: u32) -> Result<u64> {
    const COUNTS: [&str; 2] = [
        "SELECT count(*) FROM outbox WHERE state = 'pending' AND kind = 'usage'",
        "SELECT count(*) FROM totals t JOIN customers c ON c.number = t.customer
         WHERE t.sealable AND t.reportable > t.sealed AND c.stripe_customer IS NOT NULL",
    ];
    COUNTS.iter().try_fold(0, |sum, count| {
        let counted: i64 = db.prepare_cached(count)?.query_row([], |row| row.get(0))?;
        Ok(sum + unsigned(counted).saturating_sub(limit.into()))
    })
}

/// Units that were taken back after they had been sealed, by customer and meter.
fn credits(db: &Connection) -> Result<HashMap<(u32, u32), i64>> {
    let mut query = db.prepare_cached(
        "SELECT customer, meter, sum(sealed - reportable) FROM totals WHERE sealed > reportable GROUP BY 1, 2",
    )?;
    let credits = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    Ok(credits.collect::<rusqlite::Result<_>>()?)
}

fn read_total(row: &Row<'_>) -> rusqlite::Result<UnsentTotal> {
    let total = TotalKey { customer: row.get(0)?, meter: row.get(1)?, period_start: row.get(2)? };
    let (last_at, end): (i64, i64) = (row.get(6)?, row.get(7)?);
    Ok(UnsentTotal {
        total,
        customer: row.get(3)?,
        stripe_customer: row.get(4)?,
        value: row.get(5)?,
        timestamp: last_at.min(end - 1).max(total.period_start),
        number: row.get(8)?,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reckoned {
    Settled,
    Held,
}

/// A row as this node has it.
struct Own {
    sequence: i64,
    value: i64,
    state: String,
    first_tried_at: Option<i64>,
    /// Stripe has told this node that it took the row from here.
    is_accepted: bool,
    total: TotalKey,
}

fn reckon(db: &Connection, fenced: &FencedRow, give_up: bool, now: i64) -> Result<Reckoned> {
    let own = db
        .prepare_cached(
            "SELECT sequence, value, state, first_tried_at, coalesce(answer LIKE '2%', 0), customer, meter,
                    period_start
             FROM outbox WHERE identifier = ?1",
        )?
        .query_row([&fenced.identifier], |row| {
            Ok(Own {
                sequence: row.get(0)?,
                value: row.get(1)?,
                state: row.get(2)?,
                first_tried_at: row.get(3)?,
                is_accepted: row.get(4)?,
                total: TotalKey { customer: row.get(5)?, meter: row.get(6)?, period_start: row.get(7)? },
            })
        })
        .optional()?;
    match own {
        Some(own) if own.state == "delivered" && (own.is_accepted || own.value == fenced.value) => {
            Ok(Reckoned::Settled)
        }
        Some(own) if own.value == fenced.value => {
            note_taken(db, own.sequence, fenced, now)?;
            Ok(Reckoned::Settled)
        }
        Some(own) => reckon_other_value(db, &own, fenced, give_up, now),
        None => {
            adopt(db, fenced, now)?;
            Ok(Reckoned::Settled)
        }
    }
}

/// The row of one name has one value here and another one there.
fn reckon_other_value(
    db: &Connection,
    own: &Own,
    fenced: &FencedRow,
    give_up: bool,
    now: i64,
) -> Result<Reckoned> {
    let was_sent = own.first_tried_at.is_some() || own.state != "pending";
    match fenced.answer {
        _ if !was_sent => {}
        Some(TakenAnswer::Accepted) => {}
        // What Stripe had before the taker came is what was sent from here.
        Some(TakenAnswer::Known) => {
            settle(db, own.sequence, "delivered", KNOWN_THERE, now)?;
            return Ok(Reckoned::Settled);
        }
        _ if !give_up => return Ok(Reckoned::Held),
        _ if own.state == "delivered" => return Ok(Reckoned::Settled),
        _ => {
            let reason = format!(
                "sent from here with {} units and by another node with {}: which of them Stripe holds is not known",
                own.value, fenced.value
            );
            tracing::error!(identifier = fenced.identifier, reason, "a meter event is left to a person");
            settle(db, own.sequence, "dead", &reason, now)?;
            return Ok(Reckoned::Settled);
        }
    }
    db.prepare_cached("UPDATE outbox SET value = ?2, timestamp = ?3 WHERE sequence = ?1")?
        .execute(params![own.sequence, fenced.value, fenced.timestamp])?;
    move_sealed(db, own.total, fenced.value - own.value, 0)?;
    note_taken(db, own.sequence, fenced, now)?;
    Ok(Reckoned::Settled)
}

/// Both sides have the same row; the taker may have sent it since `at`.
fn note_taken(db: &Connection, sequence: i64, fenced: &FencedRow, now: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE outbox SET first_tried_at = min(coalesce(first_tried_at, ?2), ?2) WHERE sequence = ?1",
    )?
    .execute(params![sequence, fenced.at])?;
    match fenced.answer {
        Some(TakenAnswer::Dead) | None => Ok(()),
        Some(TakenAnswer::Accepted) => settle(db, sequence, "delivered", "accepted from another node", now),
        Some(_) => settle(db, sequence, "delivered", KNOWN_THERE, now),
    }
}

/// What Stripe has rejected since is known to it, and does not count: that one stays with whoever retries it.
fn settle(db: &Connection, sequence: i64, state: &str, answer: &str, now: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE outbox SET state = ?2, settled_at = ?4, retry_at = NULL,
                answer = iif(?2 = 'delivered', ?3, NULL), reason = iif(?2 = 'delivered', NULL, ?3)
         WHERE sequence = ?1 AND (?2 <> 'delivered' OR rejected_at IS NULL)",
    )?
    .execute(params![sequence, state, answer, now])?;
    Ok(())
}

/// A row that was sealed by the taker becomes one of ours, unless it has been one, which has gone since.
fn adopt(db: &Connection, fenced: &FencedRow, now: i64) -> Result<()> {
    let Some((total, number)) = fenced.sealed_there else { return Ok(()) };
    let rows: Option<i64> = db
        .prepare_cached(
            "SELECT sealed_rows FROM totals WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
        )?
        .query_row(params![total.customer, total.meter, total.period_start], |row| row.get(0))
        .optional()?;
    if rows.is_none_or(|rows| number > rows + 1) {
        let detail = format!("{} was taken over by another node, and is of no total here", fenced.identifier);
        tracing::error!(detail, "a meter event is left to a person");
        return audit::add(db, now, "outbox_taken_over", None, &detail);
    }
    if rows.is_some_and(|rows| number <= rows) {
        return Ok(());
    }
    let sequence = next_sequence(db)?;
    // Behind the unanswered row of its total, if there is one.
    db.prepare_cached(
        "INSERT INTO outbox (sequence, identifier, customer, meter, period_start, stripe_customer, event_name,
                             value, timestamp, next_record, sealed_at, next_try_at, state, retry_at, reason)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, iif(waits, 'dead', 'pending'),
                iif(waits, ?11, NULL), iif(waits, 'follows the row before it', NULL)
         FROM (SELECT EXISTS (SELECT 1 FROM outbox WHERE state = 'pending' AND kind = 'usage' AND fence IS NULL
                              AND customer = ?3 AND meter = ?4 AND period_start = ?5) AS waits)",
    )?
    .execute(params![
        sequence,
        fenced.identifier,
        total.customer,
        total.meter,
        total.period_start,
        fenced.stripe_customer,
        fenced.event_name,
        fenced.value,
        fenced.timestamp,
        fenced.next_record,
        now,
    ])?;
    move_sealed(db, total, fenced.value, 1)?;
    note_taken(db, sequence, fenced, now)
}

fn move_sealed(db: &Connection, total: TotalKey, units: i64, rows: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE totals SET sealed = sealed + ?4, sealed_rows = sealed_rows + ?5
         WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
    )?
    .execute(params![total.customer, total.meter, total.period_start, units, rows])?;
    Ok(())
}
