//! Backups of the store: a copy as of one instant, made beside a gateway that writes on.
//!
//! The copy carries a mark, so that nobody runs a gateway on it: what had been sent since would be sent once more.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::reading::{existing, folded};
use super::{Result, StoreError};

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

impl Backup {
    /// What the copy in a folder tells of itself.
    pub fn of(folder: &Path) -> Result<Self> {
        let no_backup = || StoreError::IsNoBackup(folder.to_owned());
        let copy = match existing(folder, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(StoreError::Missing(_)) => return Err(no_backup()),
            copy => copy?,
        };
        mark(&copy)?.ok_or_else(no_backup)
    }
}

pub(super) fn mark(db: &Connection) -> Result<Option<Backup>> {
    let text: Option<Vec<u8>> =
        db.query_row("SELECT value FROM meta WHERE key = 'backup'", [], |row| row.get(0)).optional()?;
    let read = |text: Vec<u8>| serde_json::from_slice(&text);
    text.map(read).transpose().map_err(|error| StoreError::Unreadable(format!("the backup's mark: {error}")))
}

/// Makes a store for another ledger of a copy that lies in a folder by itself.
pub fn adopt(folder: &Path, ledger: [u8; 16]) -> Result<()> {
    let copy = existing(folder, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let adopted = copy.unchecked_transaction()?;
    adopted.execute("DELETE FROM meta WHERE key = 'backup'", [])?;
    adopted.execute("UPDATE meta SET value = ?1 WHERE key = 'ledger_id'", params![ledger])?;
    Ok(adopted.commit()?)
}
