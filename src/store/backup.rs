//! Backups of the store: a copy as of one instant, made beside a gateway that writes on.
//!
//! The copy carries a mark, so that nobody runs a gateway on it: what had been sent since would be sent once more.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::reading::{existing, folded, of_any_version};
use super::{Result, StoreError, known_version, version};

/// What a copy of the store tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Before the copy was begun: seconds since the epoch.
    pub made_at: i64,
    /// Of the gateway's program.
    pub version: String,
    /// The ledger's id.
    pub ledger: [u8; 16],
    /// Segment, offset and next record of what has been folded: the ledger's copy must reach it.
    pub folded: (u64, u64, u64),
}

/// Copies the store of a `data_dir` into a new file, as it is at one instant. Whoever writes does not wait for it.
pub fn back_up(data_dir: &Path, to: &Path, made_at: i64) -> Result<Backup> {
    let source = existing(data_dir, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if mark(&source)?.is_some() {
        return Err(StoreError::IsABackup(data_dir.to_owned()));
    }
    source.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    let copy = Connection::open(to)?;
    let ledger =
        copy.query_row("SELECT value FROM meta WHERE key = 'ledger_id'", [], |row| row.get(0)).optional()?;
    let ledger =
        ledger.ok_or_else(|| StoreError::Unreadable("it knows no ledger: start the gateway once".into()))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let backup = Backup { made_at, version, ledger, folded: folded(&copy)? };
    let text = serde_json::to_vec(&backup).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    copy.pragma_update(None, "synchronous", "FULL")?;
    copy.execute("INSERT INTO meta VALUES ('backup', ?1)", [text])?;
    Ok(backup)
}

/// Adds to a copy of the store what has been numbered since it was made: records that are newer than it may name a
/// customer or a name by a number that somebody else would get otherwise. What happened to others stays as it was.
pub fn add_numbered_since(data_dir: &Path, copy: &Path) -> Result<()> {
    let source = existing(data_dir, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    source.execute("ATTACH ?1 AS copy", [copy.to_string_lossy()])?;
    let added = source.unchecked_transaction()?;
    added.execute_batch(
        "INSERT OR IGNORE INTO copy.names SELECT * FROM main.names
         WHERE number > (SELECT coalesce(max(number), 0) FROM copy.names);
         INSERT OR IGNORE INTO copy.customers (number, name, stripe_customer, linked_by, linked_at, first_seen)
         SELECT number, name, stripe_customer, linked_by, linked_at, first_seen FROM main.customers
         WHERE number > (SELECT coalesce(max(number), 0) FROM copy.customers)",
    )?;
    Ok(added.commit()?)
}

impl Backup {
    /// What the copy in a folder tells of itself, whichever version made it.
    pub fn of(folder: &Path) -> Result<Self> {
        let no_backup = || StoreError::IsNoBackup(folder.to_owned());
        let copy = match of_any_version(folder, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(StoreError::Missing(_)) => return Err(no_backup()),
            copy => copy?,
        };
        if version(&copy)? == 0 {
            return Err(no_backup());
        }
        mark(&copy)?.ok_or_else(no_backup)
    }
}

pub(super) fn mark(db: &Connection) -> Result<Option<Backup>> {
    let text: Option<Vec<u8>> =
        db.query_row("SELECT value FROM meta WHERE key = 'backup'", [], |row| row.get(0)).optional()?;
    let read = |text: Vec<u8>| serde_json::from_slice(&text);
    text.map(read).transpose().map_err(|error| StoreError::Unreadable(format!("the backup's mark: {error}")))
}

/// Makes a store for another ledger of a copy that lies in a folder by itself. One of an older version is migrated when
/// it is opened.
pub fn adopt(folder: &Path, ledger: [u8; 16]) -> Result<()> {
    let copy = of_any_version(folder, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    known_version(&copy)?;
    let adopted = copy.unchecked_transaction()?;
    adopted.execute("DELETE FROM meta WHERE key = 'backup'", [])?;
    adopted.execute("UPDATE meta SET value = ?1 WHERE key = 'ledger_id'", params![ledger])?;
    Ok(adopted.commit()?)
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
