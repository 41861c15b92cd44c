//! What receipts tell beside the ledger's records: configurations, and the meter event that carried a record.

use rusqlite::{OptionalExtension, Row, params};

use super::reading::StoreReader;
use super::{Result, Store, signed};

/// A meter event as a receipt shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterEventReceipt {
    pub identifier: String,
    pub value: i64,
    pub timestamp: i64,
    pub state: String,
    /// Stripe's, or why there is none.
    pub answer: Option<String>,
    pub tries: u32,
    pub settled_at: Option<i64>,
}

/// A total as a receipt needs it: whether and why it is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TotalReceipt {
    pub stripe_customer: Option<String>,
    /// None: the record has not been folded yet.
    pub sealable: Option<bool>,
}

impl Store {
    /// Keeps when a configuration was first in force.
    pub fn note_configuration(&self, fingerprint: u32, now: i64) -> Result<()> {
        self.write_blocking(move |db| {
            db.execute("INSERT OR IGNORE INTO configurations VALUES (?1, ?2)", params![fingerprint, now])?;
            Ok(())
        })
    }
}

impl StoreReader {
    /// When a configuration was first in force.
    pub fn configuration_since(&self, fingerprint: u32) -> Result<Option<i64>> {
        let mut query =
            self.db.prepare_cached("SELECT first_seen FROM configurations WHERE fingerprint = ?1")?;
        Ok(query.query_row([fingerprint], |row| row.get(0)).optional()?)
    }

    /// The meter event that carried a record of an instant: the first of its customer, meter and period that reaches
    /// beyond it. Where a boundary that was learned late has moved the record on, one that was sealed before that and
    /// holds usage from behind the boundary, or the first of the period that begins there.
    pub fn meter_event_of(
        &self,
        total: (u32, u32, i64),
        record: u64,
        at_micros: i64,
    ) -> Result<Option<MeterEventReceipt>> {
        let Some(edge) = self.moved_to(total, at_micros)? else {
            return self.event_of(total, record, i64::MIN);
        };
        match self.event_of(total, record, edge)? {
            None => self.event_of((total.0, total.1, edge), record, i64::MIN),
            found => Ok(found),
        }
    }

    /// The start of the period that usage of an instant was moved to: its own total ends before it.
    fn moved_to(
        &self,
        (customer, meter, period_start): (u32, u32, i64),
        at_micros: i64,
    ) -> Result<Option<i64>> {
        let mut query = self.db.prepare_cached(
            "SELECT max(later.period_start) FROM totals t
             JOIN totals later ON later.customer = t.customer AND later.meter = t.meter
                  AND later.period_start > t.period_start AND later.period_start * 1000000 <= ?4
             WHERE t.customer = ?1 AND t.meter = ?2 AND t.period_start = ?3 AND t.last_at_micros < ?4",
        )?;
        Ok(query.query_row(params![customer, meter, period_start, at_micros], |row| row.get(0))?)
    }

    fn event_of(
        &self,
        (customer, meter, period_start): (u32, u32, i64),
        record: u64,
        not_before: i64,
    ) -> Result<Option<MeterEventReceipt>> {
        let mut query = self.db.prepare_cached(
            "SELECT identifier, value, timestamp, state, coalesce(answer, reason), tries, settled_at FROM outbox
             WHERE customer = ?1 AND meter = ?2 AND period_start = ?3 AND next_record > ?4 AND kind = 'usage'
               AND fence IS NULL
               AND timestamp >= ?5
             ORDER BY next_record, sequence LIMIT 1",
        )?;
        let found = query.query_row(params![customer, meter, period_start, signed(record), not_before], read);
        Ok(found.optional()?)
    }

    /// What is known of a customer's total.
    pub fn total_receipt(&self, customer: u32, meter: u32, period_start: i64) -> Result<TotalReceipt> {
        let stripe_customer = self
            .db
            .prepare_cached("SELECT stripe_customer FROM customers WHERE number = ?1")?
            .query_row([customer], |row| row.get(0))
            .optional()?
            .flatten();
        let sealable = self
            .db
            .prepare_cached(
                "SELECT sealable FROM totals WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
            )?
            .query_row(params![customer, meter, period_start], |row| row.get(0))
            .optional()?;
        Ok(TotalReceipt { stripe_customer, sealable })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<MeterEventReceipt> {
    Ok(MeterEventReceipt {
        identifier: row.get(0)?,
        value: row.get(1)?,
        timestamp: row.get(2)?,
        state: row.get(3)?,
        answer: row.get(4)?,
        tries: row.get(5)?,
        settled_at: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    /// Usage of a period from 0, which was found to end at 50 after one row had been sealed. Then both were sealed.
    const BOOKS: &str = "
        INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage, reportable,
                            first_at_micros, last_at_micros, sealable)
        VALUES (1, 1, 0, 100, 9, 0, 0, 9, 0, 49999999, 1), (1, 1, 50, 150, 9, 0, 0, 9, 50000000, 90000000, 1);
        INSERT INTO outbox (identifier, customer, meter, period_start, stripe_customer, event_name, value, timestamp,
                            sealed_at, next_try_at, next_record, state)
        VALUES ('early', 1, 1, 0, 'c', 'e', 1, 60, 60, 0, 5, 'delivered'),
               ('before', 1, 1, 0, 'c', 'e', 1, 49, 90, 0, 9, 'delivered'),
               ('behind', 1, 1, 50, 'c', 'e', 1, 90, 90, 0, 9, 'delivered');";

    #[test]
    fn a_record_that_was_moved_to_another_period_is_in_that_ones_event() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        store.write_blocking(|db| Ok(db.execute_batch(BOOKS)?)).expect("books");
        let reader = StoreReader::open(folder.path()).expect("opens");
        for (record, at, event) in [(3, 40, "early"), (4, 60, "early"), (5, 45, "before"), (6, 70, "behind")]
        {
            let found = reader.meter_event_of((1, 1, 0), record, at * 1_000_000).expect("reads");
            assert_eq!(found.expect("sealed").identifier, event, "record {record} of {at}");
        }
        assert_eq!(reader.meter_event_of((1, 1, 0), 9, 80_000_000).expect("reads"), None, "a later one");
    }
}
