//! What a week brought: sums for the report of subscriptions.

use rusqlite::{Connection, Row, ToSql, params};

use super::{Result, Store};
use crate::domain::period::Period;

/// Every list is ordered by its first columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Week {
    /// Subscriptions by tier (none where no tier names their prices) and status, as they are now.
    pub subscriptions: Vec<(Option<String>, String, i64)>,
    /// Changes of tier in the week: from, to, how many.
    pub tier_changes: Vec<(Option<String>, Option<String>, i64)>,
    /// Changes to each status in the week.
    pub status_changes: Vec<(String, i64)>,
    /// Payments in the week: outcome, currency, how many, in minor units.
    pub payments: Vec<(String, String, i64, i64)>,
    /// Customers first seen in the week.
    pub new_customers: i64,
}

impl Store {
    pub async fn week(&self, week: Period) -> Result<Week> {
        self.scan(move |db| {
            let span = params![week.start, week.end];
            Ok(Week {
                subscriptions: rows(
                    db,
                    "SELECT tier, status, count(*) FROM subscriptions WHERE status IS NOT NULL
                     GROUP BY tier, status ORDER BY tier, status",
                    params![],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )?,
                tier_changes: rows(
                    db,
                    "SELECT from_tier, to_tier, count(*) FROM state_changes
                     WHERE at >= ?1 AND at < ?2 AND from_tier IS NOT to_tier
                     GROUP BY from_tier, to_tier ORDER BY from_tier, to_tier",
                    span,
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )?,
                status_changes: rows(
                    db,
                    "SELECT to_status, count(*) FROM state_changes
                     WHERE at >= ?1 AND at < ?2 AND from_status <> to_status
                     GROUP BY to_status ORDER BY to_status",
                    span,
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?,
                payments: rows(
                    db,
                    "SELECT outcome, currency, count(*), sum(amount_minor) FROM payments
                     WHERE at >= ?1 AND at < ?2 GROUP BY outcome, currency ORDER BY outcome, currency",
                    span,
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
                )?,
                new_customers: db.query_row(
                    "SELECT count(*) FROM customers WHERE first_seen >= ?1 AND first_seen < ?2 AND NOT is_anonymous",
                    span,
                    |row| row.get(0),
                )?,
            })
        })
        .await
    }
}

fn rows<T>(
    db: &Connection,
    sql: &str,
    span: &[&dyn ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    Ok(db.prepare(sql)?.query_map(span, read)?.collect::<rusqlite::Result<_>>()?)
}
