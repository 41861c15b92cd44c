//! Idempotency keys of charged requests, as the ledger's records tell of them.

use rusqlite::{Connection, params};

use super::{Result, signed};

/// What one record says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyNews {
    pub customer: u32,
    pub key: [u8; 16],
    pub what: KeyChange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A request has been charged, at an instant, with this record.
    Charged { at: i64, record: u64 },
    /// It has been repeated, for nothing.
    Repeated,
    /// The charge of this record has been taken back.
    Undone { record: u64 },
}

/// A charged key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub key: [u8; 16],
    pub at: i64,
    pub repeats: u32,
}

/// A customer's keys that were charged after an instant, the latest first, `most` of them.
pub(super) fn latest(db: &Connection, customer: u32, after: i64, most: usize) -> Result<Vec<KeyRow>> {
    let mut query = db.prepare_cached(
        "SELECT key, at, repeats FROM idempotency WHERE customer = ?1 AND at > ?2 ORDER BY at DESC LIMIT ?3",
    )?;
    let rows = query.query_map(params![customer, after, signed(most as u64)], |row| {
        Ok(KeyRow { key: row.get(0)?, at: row.get(1)?, repeats: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// In the order of the records. A later charge may be recorded before the correction of an earlier one.
pub(super) fn apply(db: &Connection, news: &KeyNews) -> Result<()> {
    let KeyNews { customer, key, what } = news;
    match what {
        KeyChange::Charged { at, record } => db
            .prepare_cached(
                "INSERT INTO idempotency (customer, key, at, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET at = excluded.at, record = excluded.record, repeats = 0",
            )?
            .execute(params![customer, key, at, signed(*record)])?,
        KeyChange::Repeated => db
            .prepare_cached("UPDATE idempotency SET repeats = repeats + 1 WHERE customer = ?1 AND key = ?2")?
            .execute(params![customer, key])?,
        KeyChange::Undone { record } => db
            .prepare_cached("DELETE FROM idempotency WHERE customer = ?1 AND key = ?2 AND record = ?3")?
            .execute(params![customer, key, signed(*record)])?,
    };
    Ok(())
}
