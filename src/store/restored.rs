//! What a restored store must not take for granted: that what it has not sent was not sent.
//!
//! The gateway that ran on after the backup may have sent all that was on its way then:
//!
//! - Rows that were sealed it has sent under their names: they count as tried, since the backup was made.
//! - What was not sealed it has sealed under names that are not known here, with what came later. Such units are set
//!   apart, and looked for in Stripe's sum of the time since then before they are sent: a row's timestamp is that of
//!   its last unit.
//! - Of what was under way the truth is not known here, and the estimate not to be billed: Stripe has heard the truth.
//!
//! Whoever it counted for keeps their number, though they may be known to the ledger alone.

use rusqlite::{Connection, params};

use super::splitting::edge;
use super::{Result, Store, audit, unsigned};
use crate::domain::period::Period;

/// What may have been sent before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Rows without an answer.
    pub rows: u64,
    /// Units that were not sealed.
    pub units: u64,
    /// Units of estimates that were open.
    pub estimates: u64,
}

impl Store {
    /// Notes how far each total reaches in a backup, before what its ledger holds beyond that is folded: whatever the
    /// gateway before has sealed since ends there or later.
    pub fn note_reached(&self) -> Result<()> {
        self.write_blocking(|db| {
            // What a restore before this one has found unsealed may have been sent since that one's backup.
            let reached = "UPDATE totals SET restored_from = last_at_micros / 1000000 WHERE restored = 0";
            db.execute(reached, [])?;
            Ok(())
        })
    }

    /// Notes that everything is as it was at `made_at`, when a backup was made. The gateway before may have sent things
    /// until `now`.
    pub fn note_restored(&self, made_at: i64, now: i64) -> Result<Restored> {
        self.write_blocking(move |db| {
            let estimates = sum(db, "SELECT coalesce(sum(max(open, 0)), 0) FROM totals WHERE open <> 0")?;
            db.execute("UPDATE totals SET sealed = sealed + open, open = 0 WHERE open <> 0", [])?;
            db.execute("DELETE FROM estimates", [])?;
            db.execute(
                "UPDATE totals SET restored = reportable - sealed,
                        restored_from = coalesce(restored_from, first_at_micros / 1000000)
                 WHERE reportable > sealed",
                [],
            )?;
            let units = sum(db, "SELECT coalesce(sum(restored), 0) FROM totals")?;
            // What was dead may have been tried again.
            db.execute(
                "UPDATE outbox SET first_tried_at = coalesce(first_tried_at, ?1), last_tried_at = ?2,
                        next_try_at = ?2
                 WHERE state <> 'delivered'",
                params![made_at, now],
            )?;
            let rows = sum(db, "SELECT count(*) FROM outbox WHERE state = 'pending'")?;
            // Whether a later try was refused as well is not known.
            db.execute("UPDATE outbox SET answer = NULL WHERE state = 'dead'", [])?;
            let at = now.to_string().into_bytes();
            db.execute("INSERT OR REPLACE INTO meta VALUES ('restored_at', ?1)", [at])?;
            keep_unknown_numbers(db, now)?;
            let restored =
                Restored { rows: unsigned(rows), units: unsigned(units), estimates: unsigned(estimates) };
            let made = crate::domain::period::rfc3339(made_at);
            let detail = format!(
                "from the backup of {made}: {rows} meter events and {units} units may have been sent"
            );
            audit::add(db, now, "restored", None, &detail)?;
            Ok(restored)
        })
    }

    /// From when until when the gateway before can have sent the units of a row: in all of its period, and behind it,
    /// where another one began inside of it. Of other rows of the account that were looked for it is only known that
    /// they are somewhere in their time, if at all: that is looked at with this one's.
    pub async fn sought_in(&self, sequence: i64) -> Result<Period> {
        self.read(move |db| {
            let mut query = db.prepare_cached(&format!(
                "WITH sought AS (
                     SELECT o.*, t.period_end,
                            EXISTS (SELECT 1 FROM subscriptions s WHERE {}) AS spans
                     FROM outbox o JOIN customers c ON c.number = o.customer
                     JOIN totals t ON t.customer = o.customer AND t.meter = o.meter AND t.period_start = o.period_start
                     WHERE o.sequence = ?1)
                 SELECT min(iif(spans, period_start, sought_from),
                            coalesce((SELECT min(other.sought_from) FROM outbox other
                                      WHERE other.stripe_customer = sought.stripe_customer
                                        AND other.event_name = sought.event_name AND other.state <> 'pending'
                                        AND other.sought_until = sought.sought_until),
                                     sought_from)),
                        iif(spans, sought_until, min(sought_until, period_end - 1)) + 1
                 FROM sought",
                edge("o.timestamp * 1000000 + 999999")
            ))?;
            Ok(query.query_row([sequence], |row| Ok(Period { start: row.get(0)?, end: row.get(1)? }))?)
        })
        .await
    }
}

/// A number that the ledger knows alone comes to stand for nobody else. No claim can spell a space.
fn keep_unknown_numbers(db: &Connection, now: i64) -> Result<()> {
    db.execute(
        "INSERT INTO customers (number, name, first_seen)
         SELECT customer, 'unknown ' || customer, ?1
         FROM (SELECT customer FROM totals UNION SELECT customer FROM hourly)
         WHERE customer NOT IN (SELECT number FROM customers)",
        [now],
    )?;
    db.execute(
        "INSERT INTO names (number, kind, name)
         SELECT number, 'unknown', 'unknown ' || number
         FROM (SELECT route AS number FROM hourly UNION SELECT meter FROM hourly UNION SELECT member FROM member_totals)
         WHERE number > 0 AND number NOT IN (SELECT number FROM names)",
        [],
    )?;
    Ok(())
}

fn sum(db: &Connection, query: &str) -> Result<i64> {
    Ok(db.query_row(query, [], |row| row.get(0))?)
}

#[cfg(test)]
#[path = "restored_tests.rs"]
mod tests;
