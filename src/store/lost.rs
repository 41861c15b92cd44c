//! What a loss of power took from the ledger, as starts of the gateway found it.

use rusqlite::{Connection, params};

use super::reading::StoreReader;
use super::{Result, Store, signed, unsigned};

/// Usage records that are missing, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRecords {
    /// The first and the last of them.
    pub from: u64,
    pub to: u64,
    pub segment: u64,
    pub offset: u64,
}

impl Store {
    /// Keeps what was found; durable when this returns.
    pub fn note_lost(&self, found: Vec<LostRecords>, now: i64) -> Result<()> {
        self.write_blocking(move |db| {
            let mut note = db.prepare_cached("INSERT OR REPLACE INTO lost VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for lost in &found {
                let LostRecords { from, to, segment, offset } = *lost;
                note.execute(params![signed(from), signed(to), signed(segment), signed(offset), now])?;
            }
            Ok(())
        })
    }

    pub fn lost(&self) -> Result<Vec<LostRecords>> {
        self.read_blocking(lost)
    }
}

impl StoreReader {
    pub fn lost(&self) -> Result<Vec<LostRecords>> {
        lost(&self.db)
    }
}

fn lost(db: &Connection) -> Result<Vec<LostRecords>> {
    let mut query = db.prepare("SELECT first_record, last_record, segment, offset FROM lost")?;
    let rows = query.query_map([], |row| {
        Ok(LostRecords {
            from: unsigned(row.get(0)?),
            to: unsigned(row.get(1)?),
            segment: unsigned(row.get(2)?),
            offset: unsigned(row.get(3)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
