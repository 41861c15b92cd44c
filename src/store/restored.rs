//! What a restored store must not take for granted: that what it has not sent was not sent.
//!
//! The gateway that ran on after the backup may have sent all that was on its way then:
//!
//! - Rows that were sealed it has sent under their names: they count as tried, since the backup was made.
//! - What was not sealed it has sealed under names that are not known here, with what came later. Such units are set
//!   apart, and looked for in Stripe's sum of their period before they are sent.
//! - Of what was under way the truth is not known here, and the estimate not to be billed: Stripe has heard the truth.

use rusqlite::{Connection, params};

use super::{Result, Store, audit, unsigned};

/// What may have been sent before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Rows without an answer.
    pub rows: usize,
    /// Units that were not sealed.
    pub units: u64,
    /// Units of estimates that were open.
    pub estimates: u64,
}

impl Store {
    /// Notes that everything is as it was at `made_at`, when a backup was made. The gateway before may have sent things
    /// until `now`.
    pub fn note_restored(&self, made_at: i64, now: i64) -> Result<Restored> {
        self.write_blocking(move |db| {
            let estimates = sum(db, "SELECT coalesce(sum(max(open, 0)), 0) FROM totals WHERE open <> 0")?;
            db.execute("UPDATE totals SET sealed = sealed + open, open = 0 WHERE open <> 0", [])?;
            db.execute("DELETE FROM estimates", [])?;
            db.execute("UPDATE totals SET restored = reportable - sealed WHERE reportable > sealed", [])?;
            let units = sum(db, "SELECT coalesce(sum(restored), 0) FROM totals")?;
            let rows = db.execute(
                "UPDATE outbox SET first_tried_at = coalesce(first_tried_at, ?1), last_tried_at = ?2,
                        next_try_at = ?2
                 WHERE state = 'pending'",
                params![made_at, now],
            )?;
            // Whether a later try was refused as well is not known.
            db.execute("UPDATE outbox SET answer = NULL WHERE state = 'dead'", [])?;
            let at = now.to_string().into_bytes();
            db.execute("INSERT OR REPLACE INTO meta VALUES ('restored_at', ?1)", [at])?;
            let restored = Restored { rows, units: unsigned(units), estimates: unsigned(estimates) };
            let made = crate::domain::period::rfc3339(made_at);
            let detail = format!(
                "from the backup of {made}: {rows} meter events and {units} units may have been sent"
            );
            audit::add(db, now, "restored", None, &detail)?;
            Ok(restored)
        })
    }
}

fn sum(db: &Connection, query: &str) -> Result<i64> {
    Ok(db.query_row(query, [], |row| row.get(0))?)
}

#[cfg(test)]
#[path = "restored_tests.rs"]
mod tests;
