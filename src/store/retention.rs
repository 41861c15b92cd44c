//! Retention: what is settled goes after its time, what still waits for somebody never.

use rusqlite::{Connection, params};

use super::{Result, Store, signed};

/// Rows of a table that one transaction removes at most.
const SLICE: u32 = 1_000;

const DELIVERED: &str = "DELETE FROM outbox WHERE sequence IN
    (SELECT sequence FROM outbox WHERE state = 'delivered' AND settled_at < ?1 LIMIT ?2)";
const APPLIED: &str = "DELETE FROM inbox WHERE event_id IN
    (SELECT event_id FROM inbox WHERE state IN ('done', 'ignored') AND settled_at < ?1 LIMIT ?2)";
const FAILED: &str = "DELETE FROM inbox WHERE event_id IN
    (SELECT event_id FROM inbox WHERE state = 'failed' AND received_at < ?1 LIMIT ?2)";

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

    /// Removes meter events that were settled before an instant, a slice at a time. Answers whether more may be left.
    pub async fn prune_settled(&self, before: i64) -> Result<bool> {
        self.write(move |db| {
            Ok(db.prepare_cached(DELIVERED)?.execute(params![before, SLICE])? == SLICE as usize)
        })
        .await
    }

    /// The same for webhook events that were applied, ignored or given up. What still waits stays.
    pub async fn prune_webhooks(&self, before: i64) -> Result<bool> {
        self.write(move |db| {
            let mut more = false;
            for delete in [APPLIED, FAILED] {
                more |= db.prepare_cached(delete)?.execute(params![before, SLICE])? == SLICE as usize;
            }
            Ok(more)
        })
        .await
    }
}
