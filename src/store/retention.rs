//! Retention: what is settled goes after its time, what still waits for somebody never.

use rusqlite::params;

use super::{Result, Store};

/// Rows of a table that one transaction removes at most.
const SLICE: u32 = 1_000;

const DELIVERED: &str = "DELETE FROM outbox WHERE sequence IN
    (SELECT sequence FROM outbox WHERE state = 'delivered' AND settled_at < ?1 LIMIT ?2)";
const APPLIED: &str = "DELETE FROM inbox WHERE event_id IN
    (SELECT event_id FROM inbox WHERE state IN ('done', 'ignored') AND settled_at < ?1 LIMIT ?2)";

const FORGOTTEN: &str = "DELETE FROM idempotency WHERE (customer, key) IN
    (SELECT customer, key FROM idempotency WHERE at < ?1 LIMIT ?2)";

impl Store {
    /// Removes idempotency keys that were charged before an instant, a slice at a time. Answers whether more may be
    /// left.
    pub async fn prune_keys(&self, before: i64) -> Result<bool> {
        self.write(move |db| {
            Ok(db.prepare_cached(FORGOTTEN)?.execute(params![before, SLICE])? == SLICE as usize)
        })
        .await
    }

    /// Removes meter events and webhook events that were settled before an instant, a slice at a time. Answers
    /// whether more may be left.
    pub async fn prune_settled(&self, before: i64) -> Result<bool> {
        self.write(move |db| {
            let mut more = false;
            for delete in [DELIVERED, APPLIED] {
                more |= db.prepare_cached(delete)?.execute(params![before, SLICE])? == SLICE as usize;
            }
            Ok(more)
        })
        .await
    }
}
