//! The audit trail: what changed a customer's state or bill, and why.

use rusqlite::{Connection, params};

use super::{Result, Store};

impl Store {
    pub async fn audit(
        &self,
        at: i64,
        action: &'static str,
        customer: Option<u32>,
        detail: String,
    ) -> Result<()> {
        self.write(move |db| add(db, at, action, customer, &detail)).await
    }
}

/// Inside another transaction, so that the trail and the change stand or fall together.
pub(super) fn add(db: &Connection, at: i64, action: &str, customer: Option<u32>, detail: &str) -> Result<()> {
    db.prepare_cached("INSERT INTO audit (at, action, customer, detail) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![at, action, customer, detail])?;
    Ok(())
}
