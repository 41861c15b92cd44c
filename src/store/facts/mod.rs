//! What several nodes tell each other of customers: the union of it, and which of it Redis has.
//!
//! # What it promises
//!
//! - What changes here is noted in the transaction that changes it, so nothing is told that is not so, and all is told.
//! - What others tell is merged and put into force in one transaction. Coming twice, late or in another order, it
//!   changes nothing more: a grant's cause is booked once.
//! - Only what has been told since is taken as told. On a node that has never been one of several nothing is noted.

mod merging;
mod notes;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, Store, StoreError};
use crate::domain::facts::{Entries, Holder};

pub use merging::Merged;
pub(super) use notes::{
    note_api_key, note_block, note_erasure, note_grant, note_link, note_override, note_subscription,
};

/// Customers whose facts are gathered in one transaction.
const SLICE: u32 = 500;

/// The version of facts that the fleet gave out: eight digits that compare as numbers do.
pub type FactsVersion = [u8; 8];

/// Before the fleet has given out any.
pub(super) const NOTHING_TOLD: FactsVersion = *b"00000000";

/// Facts that Redis has not been told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsToPut {
    pub holder: Holder,
    /// Of those that they were made from.
    pub version: FactsVersion,
    /// To be answered when they are put.
    pub changes: i64,
    pub entries: Entries,
}

impl Store {
    /// From now on what changes is noted for others. Answers whether all that was known before has been gathered.
    pub async fn share_facts(&self) -> Result<bool> {
        self.write(|db| {
            db.execute("INSERT OR IGNORE INTO meta VALUES ('shared', x'30')", [])?;
            Ok(gathered(db)?.is_none())
        })
        .await
    }

    /// Gathers some of what was known before anybody shared it. Answers whether that was all.
    pub async fn gather_facts(&self) -> Result<bool> {
        self.write(|db| {
            let Some(after) = gathered(db)? else { return Ok(true) };
            let next = notes::gather(db, after, SLICE)?;
            let done = next.map_or_else(|| "all".to_owned(), |next| next.to_string());
            db.execute("UPDATE meta SET value = CAST(?1 AS BLOB) WHERE key = 'shared'", [done])?;
            Ok(next.is_none())
        })
        .await
    }

    /// Facts to be put, behind a holder, in the order of these; what cannot be read is left out.
    pub async fn facts_to_put(&self, after: Option<Holder>, limit: u32) -> Result<Vec<FactsToPut>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT holder, version, changes, entries FROM facts WHERE changes > 0 AND holder > ?1
                 ORDER BY holder LIMIT ?2",
            )?;
            let after = after.map(|after| after.key()).unwrap_or_default();
            let rows = query.query_map(params![after, limit], read_row)?;
            rows.filter_map(|row| row.map_err(StoreError::from).transpose()).collect()
        })
        .await
    }

    /// One holder's, whether they are to be put or not.
    pub async fn facts_of(&self, holder: Holder) -> Result<Option<FactsToPut>> {
        self.read(move |db| row_of(db, &holder)).await
    }

    /// Redis has what was to be put. What has changed since is still to be.
    pub async fn facts_are_put(&self, holder: Holder, changes: i64, version: FactsVersion) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE facts SET version = max(version, ?3), changes = iif(changes = ?2, 0, changes)
                 WHERE holder = ?1",
            )?
            .execute(params![holder.key(), changes, text(version)])?;
            Ok(())
        })
        .await
    }

    /// Redis does not have these any more, or older ones.
    pub async fn put_facts_again(&self, holders: Vec<Holder>) -> Result<()> {
        self.write(move |db| {
            let mut mark = db.prepare_cached("UPDATE facts SET changes = changes + 1 WHERE holder = ?1")?;
            for holder in &holders {
                mark.execute([holder.key()])?;
            }
            Ok(())
        })
        .await
    }

    /// Of facts in Redis: those of which this node knows less, and those of which it knows more.
    pub async fn compare_facts(
        &self,
        known: Vec<(Holder, FactsVersion)>,
    ) -> Result<(Vec<Holder>, Vec<Holder>)> {
        self.read(move |db| {
            let (mut older, mut newer) = (Vec::new(), Vec::new());
            for (holder, version) in known {
                match version_of(db, &holder)? {
                    Some(here) if here == version => {}
                    Some(here) if here > version => newer.push(holder),
                    _ => older.push(holder),
                }
            }
            Ok((older, newer))
        })
        .await
    }

    /// All holders behind one, in their order.
    pub async fn facts_holders(&self, after: Option<Holder>, limit: u32) -> Result<Vec<Holder>> {
        self.scan(move |db| {
            let mut query =
                db.prepare_cached("SELECT holder FROM facts WHERE holder > ?1 ORDER BY holder LIMIT ?2")?;
            let after = after.map(|after| after.key()).unwrap_or_default();
            let rows = query.query_map(params![after, limit], |row| row.get::<_, String>(0))?;
            let keys: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
            Ok(keys.iter().filter_map(|key| Holder::of_key(key)).collect())
        })
        .await
    }
}

/// The last customer whose facts have been gathered; `None`: all have, or nothing is shared.
fn gathered(db: &Connection) -> Result<Option<u32>> {
    let mark: Option<String> = db
        .prepare_cached("SELECT CAST(value AS TEXT) FROM meta WHERE key = 'shared'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(mark.and_then(|mark| mark.parse().ok()))
}

/// When the customer of that name was erased, in microseconds, if the fleet knows of it.
pub(super) fn erased_at(db: &Connection, name: &str) -> Result<Option<u64>> {
    let row = row_of(db, &Holder::Customer(name.to_owned()))?;
    Ok(row.and_then(|row| row.entries.erased_at()))
}

/// Of the facts that are known here.
pub(super) fn version_of(db: &Connection, holder: &Holder) -> Result<Option<FactsVersion>> {
    let version: Option<String> = db
        .prepare_cached("SELECT version FROM facts WHERE holder = ?1")?
        .query_row([holder.key()], |row| row.get(0))
        .optional()?;
    Ok(version.map(|version| digits(&version)))
}

fn row_of(db: &Connection, holder: &Holder) -> Result<Option<FactsToPut>> {
    let row = db
        .prepare_cached("SELECT holder, version, changes, entries FROM facts WHERE holder = ?1")?
        .query_row([holder.key()], read_row)
        .optional()?;
    Ok(row.flatten())
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Option<FactsToPut>> {
    let (key, version, entries): (String, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(3)?);
    let (Some(holder), Some(entries)) = (Holder::of_key(&key), Entries::read(&entries)) else {
        return Ok(None);
    };
    Ok(Some(FactsToPut { holder, version: digits(&version), changes: row.get(2)?, entries }))
}

fn write_row(db: &Connection, row: &FactsToPut) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO facts VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        row.holder.key(),
        text(row.version),
        row.changes,
        row.entries.write()
    ])?;
    Ok(())
}

fn digits(version: &str) -> FactsVersion {
    version.as_bytes().try_into().unwrap_or(NOTHING_TOLD)
}

fn text(version: FactsVersion) -> String {
    version.iter().copied().map(char::from).collect()
}
