//! What a customer has used, by route, day or hour. Hours are the finest there are.

use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{Result, Store};

/// What the rows are sums of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsageBy {
    Route,
    Day,
    Hour,
}

/// Units of one meter. Taken back charges have been taken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    pub of: UsageOf,
    pub meter: String,
    pub units: i64,
    pub requests: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UsageOf {
    /// The route's pattern.
    Route(String),
    /// Where a day or an hour begins, UTC, in seconds.
    Instant(i64),
}

impl Store {
    /// Of the hours that begin from `from` on and before `to`, in order; at most `limit` rows.
    pub async fn usage(
        &self,
        customer: u32,
        (from, to): (i64, i64),
        by: UsageBy,
        limit: u32,
    ) -> Result<Vec<UsageRow>> {
        self.scan(move |db| {
            let (key, tables) = match by {
                UsageBy::Route => ("r.name", "JOIN names r ON r.number = h.route AND r.kind = 'route'"),
                UsageBy::Day => ("h.hour - h.hour % 86400", ""),
                UsageBy::Hour => ("h.hour", ""),
            };
            let mut query = db.prepare_cached(&format!(
                "SELECT {key} AS key, m.name, sum(h.units), sum(h.requests) FROM hourly h
                 JOIN names m ON m.number = h.meter AND m.kind = 'meter' {tables}
                 WHERE h.customer = ?1 AND h.hour >= ?2 AND h.hour < ?3
                 GROUP BY key, m.name ORDER BY key, m.name LIMIT ?4"
            ))?;
            let rows = query.query_map(params![customer, from, to, limit], |row| read(row, by))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn read(row: &Row<'_>, by: UsageBy) -> rusqlite::Result<UsageRow> {
    let of = match by {
        UsageBy::Route => UsageOf::Route(row.get(0)?),
        UsageBy::Day | UsageBy::Hour => UsageOf::Instant(row.get(0)?),
    };
    Ok(UsageRow { of, meter: row.get(1)?, units: row.get(2)?, requests: row.get(3)? })
}
