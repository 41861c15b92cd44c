//! Statistics: sums over what is known of customers, subscriptions, payments and usage.
//!
//! A span is half-open: from an instant, and not to another. A state *at* an instant is what the last change before it
//! led to. Nothing here rounds: money is in minor units of one currency, and what has another one is counted apart.

use rusqlite::{Connection, Params, Row, params};
use serde::{Deserialize, Serialize};

use super::{Result, Store, unsigned};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub from: i64,
    pub to: i64,
    /// Three letters, in lower case.
    pub currency: String,
    /// In force where no other is.
    pub default_tier: Option<String>,
    /// The tiers that are sold, as a JSON array.
    pub paid_tiers: String,
    /// So many customers are named.
    pub top: u32,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// What subscriptions that are paid for cost for each interval.
    pub paid: Vec<Paid>,
    /// Subscriptions in another currency, or of an unknown price; they are in no sum.
    pub uncounted_subscriptions: u64,
    pub customers: Vec<CustomerCount>,
    pub erased: u64,
    pub paying_at_start: u64,
    /// Of those, who did not pay at the end.
    pub lost: u64,
    pub paying_at_end: u64,
    pub takings: Takings,
    pub conversions: Vec<Conversion>,
    pub top: Vec<TopCustomer>,
}

/// Subscriptions to one tier with one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    pub tier: String,
    /// day, week, month or year.
    pub interval: String,
    pub interval_count: u32,
    pub subscriptions: u64,
    pub minor: i64,
}

/// How many customers have a tier in force with a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerCount {
    pub tier: Option<String>,
    pub status: String,
    pub customers: u64,
}

/// What became of invoices and payments in the span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takings {
    pub succeeded: u64,
    pub succeeded_minor: i64,
    pub failed: u64,
    pub failed_minor: i64,
    /// Of what succeeded.
    pub overage_minor: i64,
    /// In another currency; they are in no sum.
    pub uncounted: u64,
}

impl Takings {
    /// Those of another node.
    pub fn add(&mut self, other: Self) {
        let Self { succeeded, succeeded_minor, failed, failed_minor, overage_minor, uncounted } = other;
        self.succeeded += succeeded;
        self.succeeded_minor = self.succeeded_minor.saturating_add(succeeded_minor);
        self.failed += failed;
        self.failed_minor = self.failed_minor.saturating_add(failed_minor);
        self.overage_minor = self.overage_minor.saturating_add(overage_minor);
        self.uncounted += uncounted;
    }
}

/// How often customers went from one tier to another in the span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    pub from: Option<String>,
    pub to: Option<String>,
    pub times: u64,
}

/// What a customer used of all meters in the span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopCustomer {
    pub customer: String,
    pub units: i64,
    pub requests: i64,
}

const PAID: &str = "
    SELECT tier, interval, interval_count, count(*), sum(amount_minor) FROM subscriptions
    WHERE status IN ('active', 'past_due') AND tier IS NOT NULL AND amount_minor IS NOT NULL
      AND coalesce(currency, ?1) = ?1
    GROUP BY tier, interval, interval_count ORDER BY tier, interval, interval_count";

const UNCOUNTED_SUBSCRIPTIONS: &str = "
    SELECT count(*) FROM subscriptions
    WHERE status IN ('active', 'past_due') AND tier IS NOT NULL
      AND (amount_minor IS NULL OR coalesce(currency, ?1) <> ?1)";

const CUSTOMERS: &str = "
    SELECT coalesce(tier, ?1), status, count(*) FROM customers
    WHERE erased_at IS NULL AND NOT is_anonymous GROUP BY 1, 2 ORDER BY 1, 2";

/// Of each customer the last change before an instant counts.
const PAYING: &str = "
    WITH paying_at_start AS (
        SELECT customer FROM state_changes
        WHERE id IN (SELECT max(id) FROM state_changes WHERE at < ?1 GROUP BY customer)
          AND to_status IN ('active', 'past_due') AND to_tier IN (SELECT value FROM json_each(?3))),
    paying_at_end AS (
        SELECT customer FROM state_changes
        WHERE id IN (SELECT max(id) FROM state_changes WHERE at < ?2 GROUP BY customer)
          AND to_status IN ('active', 'past_due') AND to_tier IN (SELECT value FROM json_each(?3)))
    SELECT (SELECT count(*) FROM paying_at_start),
           (SELECT count(*) FROM paying_at_start WHERE customer NOT IN paying_at_end),
           (SELECT count(*) FROM paying_at_end)";

const TAKINGS: &str = "
    SELECT count(*) FILTER (WHERE currency = ?3 AND outcome = 'succeeded'),
           coalesce(sum(amount_minor) FILTER (WHERE currency = ?3 AND outcome = 'succeeded'), 0),
           count(*) FILTER (WHERE currency = ?3 AND outcome = 'failed'),
           coalesce(sum(amount_minor) FILTER (WHERE currency = ?3 AND outcome = 'failed'), 0),
           coalesce(sum(overage_minor) FILTER (WHERE currency = ?3 AND outcome = 'succeeded'), 0),
           count(*) FILTER (WHERE currency <> ?3)
    FROM payments WHERE at >= ?1 AND at < ?2";

const CONVERSIONS: &str = "
    SELECT coalesce(from_tier, ?3), coalesce(to_tier, ?3), count(*) FROM state_changes
    WHERE at >= ?1 AND at < ?2 AND coalesce(from_tier, ?3) IS NOT coalesce(to_tier, ?3)
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2";

/// Usage is kept by the hour: an hour counts where it begins. Hours are found customer by customer, so that those
/// before the span, which may be years, are not read.
const TOP: &str = "
    SELECT c.name, sum(h.units) AS units, sum(h.requests)
    FROM customers c CROSS JOIN hourly h ON h.customer = c.number AND h.hour >= ?1 AND h.hour < ?2
    WHERE NOT c.is_anonymous
    GROUP BY c.number ORDER BY units DESC, c.number LIMIT ?3";

impl Store {
    /// Looks at all customers, subscriptions, changes, payments and hours: it may take its time.
    pub async fn stats(&self, question: Question) -> Result<Stats> {
        self.scan(move |db| stats(db, &question)).await
    }
}

fn stats(db: &Connection, question: &Question) -> Result<Stats> {
    let Question { from, to, currency, default_tier, paid_tiers, top } = question;
    let count = |query: &str, values: &[&dyn rusqlite::ToSql]| -> Result<u64> {
        Ok(db.query_row(query, values, |row| Ok(unsigned(row.get(0)?)))?)
    };
    let (paying_at_start, lost, paying_at_end) =
        db.query_row(PAYING, params![from, to, paid_tiers], |row| {
            Ok((unsigned(row.get(0)?), unsigned(row.get(1)?), unsigned(row.get(2)?)))
        })?;
    Ok(Stats {
        paid: list(db, PAID, [currency], read_paid)?,
        uncounted_subscriptions: count(UNCOUNTED_SUBSCRIPTIONS, &[currency])?,
        customers: list(db, CUSTOMERS, [default_tier], |row| {
            Ok(CustomerCount { tier: row.get(0)?, status: row.get(1)?, customers: unsigned(row.get(2)?) })
        })?,
        erased: count("SELECT count(*) FROM customers WHERE erased_at IS NOT NULL", &[])?,
        paying_at_start,
        lost,
        paying_at_end,
        takings: db.query_row(TAKINGS, params![from, to, currency], read_takings)?,
        conversions: list(db, CONVERSIONS, params![from, to, default_tier], |row| {
            Ok(Conversion { from: row.get(0)?, to: row.get(1)?, times: unsigned(row.get(2)?) })
        })?,
        top: list(db, TOP, params![from, to, top], |row| {
            Ok(TopCustomer { customer: row.get(0)?, units: row.get(1)?, requests: row.get(2)? })
        })?,
    })
}

fn list<T>(
    db: &Connection,
    query: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut query = db.prepare(query)?;
    let rows = query.query_map(values, read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read_paid(row: &Row<'_>) -> rusqlite::Result<Paid> {
    Ok(Paid {
        tier: row.get(0)?,
        interval: row.get(1)?,
        interval_count: row.get(2)?,
        subscriptions: unsigned(row.get(3)?),
        minor: row.get(4)?,
    })
}

fn read_takings(row: &Row<'_>) -> rusqlite::Result<Takings> {
    Ok(Takings {
        succeeded: unsigned(row.get(0)?),
        succeeded_minor: row.get(1)?,
        failed: unsigned(row.get(2)?),
        failed_minor: row.get(3)?,
        overage_minor: row.get(4)?,
        uncounted: unsigned(row.get(5)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_lies_before_the_span_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        for (query, found_by) in [
            (TOP, "SEARCH h USING PRIMARY KEY (customer=? AND hour>? AND hour<?)"),
            (TAKINGS, "SEARCH payments USING INDEX payments_by_time (at>? AND at<?)"),
            (CONVERSIONS, "SEARCH state_changes USING INDEX state_changes_by_time (at>? AND at<?)"),
        ] {
            let plan = store.scan(move |db| {
                let plan = format!("EXPLAIN QUERY PLAN {query}");
                list(db, &plan, params![1, 2, 3], |row| row.get::<_, String>(3))
            });
            let plan = plan.await.expect("explains");
            assert!(plan.iter().any(|step| step == found_by), "{plan:?}");
        }
    }
}
