//! Retention: what is settled goes after its time, what still waits for somebody never.

use rusqlite::{Connection, params};

use super::{Result, Store, signed};

/// Rows of a table that one transaction removes at most.
const SLICE: u32 = 1_000;

/// What is settled, and when it goes. What was taken over of a lost node stays until that is back and has been told.
const SETTLED: [(&str, Kind); 9] = [
    (
        "DELETE FROM outbox WHERE sequence IN
            (SELECT sequence FROM outbox WHERE state = 'delivered' AND settled_at < ?1 AND fence IS NULL LIMIT ?2)",
        Kind::Receipts,
    ),
    (
        "DELETE FROM inbox WHERE event_id IN
            (SELECT event_id FROM inbox WHERE state IN ('done', 'ignored') AND settled_at < ?1 LIMIT ?2)",
        Kind::Webhooks,
    ),
    (
        "DELETE FROM inbox WHERE event_id IN
            (SELECT event_id FROM inbox WHERE state = 'failed' AND received_at < ?1 LIMIT ?2)",
        Kind::Webhooks,
    ),
    ("DELETE FROM payments WHERE id IN (SELECT id FROM payments WHERE at < ?1 LIMIT ?2)", Kind::Financial),
    // The last row of each customer stays, here and below: it says what they have.
    (
        "DELETE FROM credits WHERE id IN
            (SELECT id FROM credits c WHERE at < ?1
             AND EXISTS (SELECT 1 FROM credits WHERE customer = c.customer AND id > c.id) LIMIT ?2)",
        Kind::Financial,
    ),
    (
        "DELETE FROM state_changes WHERE id IN
            (SELECT id FROM state_changes c WHERE at < ?1
             AND EXISTS (SELECT 1 FROM state_changes WHERE customer = c.customer AND (at, id) > (c.at, c.id))
             LIMIT ?2)",
        Kind::Financial,
    ),
    ("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 LIMIT ?2)", Kind::Financial),
    (
        "DELETE FROM checkouts WHERE session IN
            (SELECT session FROM checkouts WHERE at < ?1 AND state <> 'open' LIMIT ?2)",
        Kind::Logs,
    ),
    // A period's end may move, as when a trial is extended: what has ended is not gone at once.
    (
        "DELETE FROM member_totals WHERE (customer, period_start, member, meter) IN
            (SELECT customer, period_start, member, meter FROM member_totals WHERE period_end < ?1 LIMIT ?2)",
        Kind::Logs,
    ),
];

/// What is kept for as long.
#[derive(Clone, Copy)]
enum Kind {
    Receipts,
    Webhooks,
    Financial,
    Logs,
}

/// Instants in seconds before which what is settled goes, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoffs {
    /// Meter events that Stripe has accepted.
    pub receipts: i64,
    /// Stripe's events.
    pub webhooks: i64,
    /// Payments, credits, changes of tier and status, the audit trail.
    pub financial: i64,
    /// Closed checkouts, and what members used of periods that have ended.
    pub logs: i64,
}

impl Cutoffs {
    fn of(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Receipts => self.receipts,
            Kind::Webhooks => self.webhooks,
            Kind::Financial => self.financial,
            Kind::Logs => self.logs,
        }
    }
}

const OLD_KEYS: &str = "DELETE FROM idempotency WHERE (customer, key) IN
    (SELECT customer, key FROM idempotency WHERE at < ?1 LIMIT ?2)";
const CROWDED: &str = "SELECT customer FROM idempotency GROUP BY customer HAVING count(*) > ?1";
const KEYS_BEYOND: &str = "DELETE FROM idempotency WHERE (customer, key) IN
    (SELECT customer, key FROM idempotency WHERE customer = ?1 ORDER BY at DESC LIMIT ?2 OFFSET ?3)";

impl Store {
    /// Removes idempotency keys that were charged before an instant, a slice at a time. Answers whether more may be
    /// left.
    pub async fn prune_keys(&self, before: i64) -> Result<bool> {
        self.write(move |db| {
            let removed = db.prepare_cached(OLD_KEYS)?.execute(params![before, SLICE])?;
            Ok(removed == SLICE as usize)
        })
        .await
    }

    /// Removes of each customer all idempotency keys but the latest `most`. It reads all keys there are.
    pub async fn prune_crowded_keys(&self, most: usize) -> Result<()> {
        let most = signed(most as u64);
        let crowded: Vec<u32> = self
            .scan(move |db| {
                let mut query = db.prepare_cached(CROWDED)?;
                let customers = query.query_map([most], |row| row.get(0))?;
                Ok(customers.collect::<rusqlite::Result<_>>()?)
            })
            .await?;
        for customer in crowded {
            let slice = move |db: &Connection| {
                Ok(db.prepare_cached(KEYS_BEYOND)?.execute(params![customer, SLICE, most])?)
            };
            while self.write(slice).await? == SLICE as usize {}
        }
        Ok(())
    }

    /// Removes what was settled before its instant, a slice at a time.
    pub async fn prune_settled(&self, before: Cutoffs) -> Result<()> {
        for (delete, kind) in SETTLED {
            let before = before.of(kind);
            let slice =
                move |db: &Connection| Ok(db.prepare_cached(delete)?.execute(params![before, SLICE])?);
            while self.write(slice).await? == SLICE as usize {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
