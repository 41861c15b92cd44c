//! Names that usage records refer to by number. Those of members are numbered for each customer apart, so that they
//! can be erased with theirs; a number never comes to stand for another name.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::{Result, Store, StoreError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    Route,
    Tier,
    Meter,
}

impl NameKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Tier => "tier",
            Self::Meter => "meter",
        }
    }
}

impl Store {
    /// The durable numbers of names, in their order; new names get new numbers.
    pub fn number_names(&self, kind: NameKind, names: Vec<String>) -> Result<Vec<u32>> {
        self.write_blocking(move |db| names.iter().map(|name| number(db, kind.as_str(), name)).collect())
    }

    /// The durable number of a customer's member.
    pub async fn number_member(&self, customer: u32, name: String) -> Result<u32> {
        let asked = name.clone();
        match self.read(move |db| find(db, &member_of(customer), &asked)).await? {
            Some(number) => Ok(number),
            None => self.write(move |db| number(db, &member_of(customer), &name)).await,
        }
    }

    /// The names behind numbers of routes, tiers, meters and members.
    pub async fn numbered_names(&self, numbers: Vec<u32>) -> Result<HashMap<u32, String>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached("SELECT name FROM names WHERE number = ?1")?;
            let mut names = HashMap::with_capacity(numbers.len());
            for number in numbers {
                let name = query.query_row([number], |row| row.get(0)).optional()?;
                names.extend(name.map(|name| (number, name)));
            }
            Ok(names)
        })
        .await
    }

    /// The ledger's id; made on first use, with the bytes given.
    pub fn ledger_id(&self, fresh: [u8; 16]) -> Result<[u8; 16]> {
        self.write_blocking(move |db| {
            db.execute("INSERT OR IGNORE INTO meta VALUES ('ledger_id', ?1)", [fresh])?;
            let found =
                db.query_row("SELECT value FROM meta WHERE key = 'ledger_id'", [], |row| row.get(0))?;
            Ok(found)
        })
    }
}

/// The kind of the names of a customer's members.
pub(super) fn member_of(customer: u32) -> String {
    format!("member of {customer}")
}

/// Forgets how a customer's members are called. No claim can spell a space.
pub(super) fn forget_members(db: &Connection, customer: u32) -> Result<()> {
    db.execute("UPDATE names SET name = 'erased ' || number WHERE kind = ?1", [member_of(customer)])?;
    Ok(())
}

fn find(db: &Connection, kind: &str, name: &str) -> Result<Option<u32>> {
    let found = db
        .prepare_cached("SELECT number FROM names WHERE kind = ?1 AND name = ?2")?
        .query_row([kind, name], |row| row.get(0))
        .optional()?;
    Ok(found)
}

fn number(db: &Connection, kind: &str, name: &str) -> Result<u32> {
    if let Some(number) = find(db, kind, name)? {
        return Ok(number);
    }
    db.execute("INSERT INTO names (kind, name) VALUES (?1, ?2)", [kind, name])?;
    u32::try_from(db.last_insert_rowid()).map_err(|_| StoreError::Unreadable("more than 2^32 names".into()))
}
