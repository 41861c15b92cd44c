//! The audit trail: what changed a customer's state or bill, who did it, and why.

use rusqlite::{Connection, Row, params};

use super::{Result, Store};

/// One act, as it is noted.
#[derive(Clone, Debug)]
pub struct Act {
    pub action: &'static str,
    pub customer: Option<u32>,
    /// Why, or what of.
    pub detail: String,
    /// `operator`, `customer`, `stripe` or `tollgate`.
    pub actor: &'static str,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Default for Act {
    fn default() -> Self {
        Self {
            action: "",
            customer: None,
            detail: String::new(),
            actor: "tollgate",
            before: None,
            after: None,
        }
    }
}

/// An act, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub id: i64,
    pub at: i64,
    pub action: String,
    pub customer: Option<String>,
    pub detail: String,
    pub actor: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

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

    pub async fn note(&self, act: Act, at: i64) -> Result<()> {
        self.write(move |db| add_act(db, at, &act)).await
    }

    /// The latest first, before a row, of one customer or of all.
    pub async fn audit_rows(
        &self,
        customer: Option<u32>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(&question(customer.is_some()))?;
            let rows = query.query_map(params![before.unwrap_or(i64::MAX), customer, limit], read_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// Each of the two by an index of its own: the rows are many.
fn question(of_one: bool) -> String {
    let whose = if of_one { "a.customer = ?2" } else { "?2 IS NULL" };
    format!(
        "SELECT a.id, a.at, a.action, c.name, a.detail, a.actor, a.before, a.after
         FROM audit a LEFT JOIN customers c ON c.number = a.customer
         WHERE a.id < ?1 AND {whose} ORDER BY a.id DESC LIMIT ?3"
    )
}

/// Inside another transaction, so that the trail and the change stand or fall together.
pub(super) fn add(
    db: &Connection,
    at: i64,
    action: &'static str,
    customer: Option<u32>,
    detail: &str,
) -> Result<()> {
    add_act(db, at, &Act { action, customer, detail: detail.to_owned(), ..Act::default() })
}

pub(super) fn add_act(db: &Connection, at: i64, act: &Act) -> Result<()> {
    let Act { action, customer, detail, actor, before, after } = act;
    db.prepare_cached(
        "INSERT INTO audit (at, action, customer, detail, actor, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![at, action, customer, detail, actor, before, after])?;
    Ok(())
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        at: row.get(1)?,
        action: row.get(2)?,
        customer: row.get(3)?,
        detail: row.get(4)?,
        actor: row.get(5)?,
        before: row.get(6)?,
        after: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_trail_of_one_customer_is_found_without_looking_through_that_of_all() {
        let store = super::super::tests::Temporary::new();
        for (of_one, index) in [(true, "audit_by_customer (customer=? AND id<?)"), (false, "PRIMARY KEY")] {
            let plan = store.read(move |db| {
                let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {}", question(of_one)))?;
                let steps = query.query_map(params![0, 0, 0], |row| row.get::<_, String>(3))?;
                Ok(steps.collect::<rusqlite::Result<Vec<_>>>()?)
            });
            let plan = plan.await.expect("plans");
            assert!(plan[0].contains(index), "{plan:?}");
            assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{plan:?}");
        }
    }
}
