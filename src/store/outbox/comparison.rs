//! What the outbox holds, in the terms of Stripe's sums: by Stripe customer, event name and whole minutes.
//!
//! Usage that Stripe has accepted or refused for good is what the ledger says Stripe should hold. Repairs stand in
//! for usage that Stripe lost: they are no usage themselves.

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use crate::domain::period::Period;
use crate::store::{Result, Store};

/// A Stripe customer and the name of a meter's events. Several of our customers may share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Account {
    pub stripe_customer: String,
    pub event_name: String,
}

/// The sums of an account's rows within a span of time. Two that are equal come from the same rows in the same
/// states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Units of usage that are settled: delivered or dead.
    pub ledger: i64,
    /// Units that Stripe holds as far as we know: accepted usage, less what repairs say it lost and have not made good.
    pub held: i64,
    /// Units that Stripe has not accepted and that are not sent again by themselves, repairs too.
    pub dead: i64,
    /// Units that are on their way, repairs too.
    pub pending: i64,
    /// Units of rows that were taken over of a lost node: they may be in its own outbox too.
    pub taken: i64,
    pub rows: i64,
    pub last_sequence: i64,
    /// When Stripe last accepted one of the rows.
    pub accepted_at: Option<i64>,
}

/// The holdings of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteHoldings {
    pub start: i64,
    pub holdings: Holdings,
    /// The billing periods that its rows belong to: the first and the last.
    pub periods: (i64, i64),
}

/// Rows of one minute that wait for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// Units first tried before an instant.
    pub old: i64,
    /// Rows that are on their way and not as old.
    pub young_rows: i64,
}

impl std::ops::AddAssign for Holdings {
    /// With those of another outbox.
    fn add_assign(&mut self, other: Self) {
        self.ledger += other.ledger;
        self.held += other.held;
        self.dead += other.dead;
        self.pending += other.pending;
        self.taken += other.taken;
        self.rows += other.rows;
        self.last_sequence += other.last_sequence;
        self.accepted_at = self.accepted_at.max(other.accepted_at);
    }
}

const SUMS: &str = "
    coalesce(sum(iif(kind = 'usage' AND state <> 'pending', value, 0)), 0),
    coalesce(sum(iif(kind = 'usage', iif(state = 'delivered', value, 0), iif(state = 'delivered', 0, -value))), 0),
    coalesce(sum(iif(state = 'dead', value, 0)), 0),
    coalesce(sum(iif(state = 'pending', value, 0)), 0),
    coalesce(sum(iif(fence IS NULL, 0, value)), 0),
    count(*),
    coalesce(max(sequence), 0),
    max(iif(state = 'delivered', settled_at, NULL))";

const WITHIN: &str = "stripe_customer = ?1 AND event_name = ?2 AND timestamp >= ?3 AND timestamp < ?4";

impl Store {
    /// The next Stripe customers, by name, whom we know or have sent something for.
    pub async fn stripe_customers(&self, after: String, limit: u32) -> Result<Vec<String>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT * FROM (SELECT DISTINCT stripe_customer FROM customers WHERE stripe_customer > ?1
                                ORDER BY 1 LIMIT ?2)
                 UNION SELECT * FROM (SELECT DISTINCT stripe_customer FROM outbox WHERE stripe_customer > ?1
                                      ORDER BY 1 LIMIT ?2)
                 ORDER BY 1 LIMIT ?2",
            )?;
            let rows = query.query_map(params![after, limit], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// How many there are in all.
    pub async fn count_stripe_customers(&self) -> Result<u64> {
        self.scan(|db| {
            let count = db
                .prepare_cached(
                    "SELECT count(*) FROM (SELECT stripe_customer FROM customers WHERE stripe_customer > ''
                                           UNION SELECT stripe_customer FROM outbox)",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(crate::store::unsigned(count))
        })
        .await
    }

    /// The holdings of the Stripe customers from the first to the last, by account; those without rows are left out.
    pub async fn holdings_between(
        &self,
        (first, last): (String, String),
        span: Period,
    ) -> Result<Vec<(Account, Holdings)>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT {SUMS}, stripe_customer, event_name FROM outbox
                 WHERE stripe_customer >= ?1 AND stripe_customer <= ?2 AND timestamp >= ?3 AND timestamp < ?4
                 GROUP BY stripe_customer, event_name"
            ))?;
            let rows = query.query_map(params![first, last, span.start, span.end], |row| {
                let account = Account { stripe_customer: row.get(8)?, event_name: row.get(9)? };
                Ok((account, read_holdings(row)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The holdings of one account.
    pub async fn holdings(&self, account: Account, span: Period) -> Result<Holdings> {
        self.read(move |db| holdings(db, &account, span)).await
    }

    /// The same minute by minute; those without rows are left out.
    pub async fn minutes(&self, account: Account, span: Period) -> Result<Vec<MinuteHoldings>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT {SUMS}, timestamp / 60 * 60 AS minute, min(period_start), max(period_start)
                 FROM outbox WHERE {WITHIN} GROUP BY minute ORDER BY minute"
            ))?;
            let Account { stripe_customer, event_name } = &account;
            let rows =
                query.query_map(params![stripe_customer, event_name, span.start, span.end], |row| {
                    Ok(MinuteHoldings {
                        start: row.get(8)?,
                        holdings: read_holdings(row)?,
                        periods: (row.get(9)?, row.get(10)?),
                    })
                })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// What waits for an answer in a minute; old is what was first tried before `tried_before`.
    pub async fn unanswered(
        &self,
        account: Account,
        minute: Period,
        tried_before: i64,
    ) -> Result<(Holdings, Unanswered)> {
        self.read(move |db| {
            let Account { stripe_customer, event_name } = &account;
            let unanswered = db
                .prepare_cached(&format!(
                    "SELECT coalesce(sum(iif(first_tried_at < ?5, value, 0)), 0),
                            coalesce(sum(iif(first_tried_at < ?5, 0, 1)), 0)
                     FROM outbox WHERE {WITHIN} AND state = 'pending'"
                ))?
                .query_row(
                    params![stripe_customer, event_name, minute.start, minute.end, tried_before],
                    |row| Ok(Unanswered { old: row.get(0)?, young_rows: row.get(1)? }),
                )?;
            Ok((holdings(db, &account, minute)?, unanswered))
        })
        .await
    }

    /// Whether a row of an account waits for an answer within a span, or is a restored one before `sequence`.
    pub async fn waits_before(&self, account: Account, span: Period, sequence: i64) -> Result<bool> {
        self.read(move |db| {
            let Account { stripe_customer, event_name } = &account;
            let mut query = db.prepare_cached(&format!(
                "SELECT 1 FROM outbox WHERE {WITHIN} AND state = 'pending' AND sought_from IS NULL
                 UNION ALL
                 SELECT 1 FROM outbox WHERE stripe_customer = ?1 AND event_name = ?2 AND state = 'pending'
                                        AND sought_from IS NOT NULL AND sequence < ?5"
            ))?;
            Ok(query.exists(params![stripe_customer, event_name, span.start, span.end, sequence])?)
        })
        .await
    }

    /// The names of our customers whom a Stripe customer stands for, or whose usage was sent for it.
    pub async fn names_of(&self, stripe_customer: String) -> Result<Vec<String>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT name FROM customers WHERE stripe_customer = ?1
                    OR number IN (SELECT customer FROM outbox WHERE stripe_customer = ?1)
                 ORDER BY name",
            )?;
            let names = query.query_map([stripe_customer], |row| row.get(0))?;
            Ok(names.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Keeps by how many units a comparison has found a meter to differ.
    pub async fn set_reconciled(&self, differences: Vec<(String, i64)>, now: i64) -> Result<()> {
        self.write(move |db| {
            let mut keep = db.prepare_cached(
                "INSERT OR REPLACE INTO reconciled
                 SELECT number, ?2, ?3 FROM names WHERE kind = 'meter' AND name = ?1",
            )?;
            for (meter, difference) in &differences {
                keep.execute(params![meter, difference, now])?;
            }
            Ok(())
        })
        .await
    }

    /// What the last comparison has found, by meter number. Earlier versions have kept what is too much as less than 0.
    pub async fn reconciled(&self) -> Result<Vec<(u32, i64)>> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT meter, abs(difference) FROM reconciled")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

pub(super) fn holdings(db: &Connection, account: &Account, span: Period) -> Result<Holdings> {
    let Account { stripe_customer, event_name } = account;
    let holdings = db
        .prepare_cached(&format!("SELECT {SUMS} FROM outbox WHERE {WITHIN}"))?
        .query_row(params![stripe_customer, event_name, span.start, span.end], read_holdings)?;
    Ok(holdings)
}

fn read_holdings(row: &Row<'_>) -> rusqlite::Result<Holdings> {
    Ok(Holdings {
        ledger: row.get(0)?,
        held: row.get(1)?,
        dead: row.get(2)?,
        pending: row.get(3)?,
        taken: row.get(4)?,
        rows: row.get(5)?,
        last_sequence: row.get(6)?,
        accepted_at: row.get(7)?,
    })
}
