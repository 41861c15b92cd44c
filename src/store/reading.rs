//! Reading beside a running gateway: for commands, which make and migrate nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{MIGRATIONS, Result, StoreError, known_version, unsigned, version};

/// A connection that can only read.
pub struct StoreReader {
    pub(super) db: Connection,
}

impl StoreReader {
    /// Opens the store of a `data_dir`; an error when there is none, or not one of this version.
    pub fn open(data_dir: &Path) -> Result<Self> {
        Ok(Self { db: existing(data_dir, OpenFlags::SQLITE_OPEN_READ_ONLY)? })
    }

    /// None: no gateway has run here yet.
    pub fn ledger_id(&self) -> Result<Option<[u8; 16]>> {
        let found = self
            .db
            .query_row("SELECT value FROM meta WHERE key = 'ledger_id'", [], |row| row.get(0))
            .optional()?;
        Ok(found)
    }

    /// Segment, offset and next record number of what has been folded.
    pub fn folded(&self) -> Result<(u64, u64, u64)> {
        folded(&self.db)
    }

    /// The name behind a number: of a route, tier, meter or member.
    pub fn name(&self, number: u32) -> Result<Option<String>> {
        let mut query = self.db.prepare_cached("SELECT name FROM names WHERE number = ?1")?;
        Ok(query.query_row([number], |row| row.get(0)).optional()?)
    }

    pub fn customer_name(&self, number: u32) -> Result<Option<String>> {
        let mut query = self.db.prepare_cached("SELECT name FROM customers WHERE number = ?1")?;
        Ok(query.query_row([number], |row| row.get(0)).optional()?)
    }

    pub fn customer_number(&self, name: &str) -> Result<Option<u32>> {
        let mut query = self.db.prepare_cached("SELECT number FROM customers WHERE name = ?1")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }
}

pub(super) fn folded(db: &Connection) -> Result<(u64, u64, u64)> {
    let row = db.query_row("SELECT segment, offset, next_record FROM fold", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    })?;
    Ok((unsigned(row.0), unsigned(row.1), unsigned(row.2)))
}

/// Escapes what ends a path in a URI (<https://www.sqlite.org/uri.html>).
fn as_uri_path(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// A connection to a store that is there already, with the tables of this version.
pub(super) fn existing(data_dir: &Path, access: OpenFlags) -> Result<Connection> {
    let db = of_any_version(data_dir, access)?;
    if known_version(&db)? < MIGRATIONS.len() {
        return Err(StoreError::Older(version(&db)?));
    }
    Ok(db)
}

/// The same whatever its tables are.
pub(super) fn of_any_version(data_dir: &Path, access: OpenFlags) -> Result<Connection> {
    let path = data_dir.join("tollgate.db");
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(StoreError::Missing(path)),
        Err(error) => return Err(StoreError::Forbidden { path, error }),
    }
    // A store that nobody has open, and that was closed well, is read as it lies: SQLite would make files beside it.
    let lies_still = access == OpenFlags::SQLITE_OPEN_READ_ONLY && !data_dir.join("tollgate.db-wal").exists();
    let query = if lies_still { "?immutable=1" } else { "" };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(format!("file:{}{query}", as_uri_path(&path)), flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    Ok(db)
}
