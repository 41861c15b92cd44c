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

    /// The meter event that carried a record: the first of its customer, meter and period that reaches beyond it.
    pub fn meter_event_of(
        &self,
        (customer, meter, period_start): (u32, u32, i64),
        record: u64,
    ) -> Result<Option<MeterEventReceipt>> {
        let mut query = self.db.prepare_cached(
            "SELECT identifier, value, timestamp, state, coalesce(answer, reason), tries, settled_at FROM outbox
             WHERE customer = ?1 AND meter = ?2 AND period_start = ?3 AND next_record > ?4 AND kind = 'usage'
             ORDER BY next_record, sequence LIMIT 1",
        )?;
        let found = query.query_row(params![customer, meter, period_start, signed(record)], read);
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
