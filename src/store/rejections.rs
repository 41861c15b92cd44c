//! Rejections: rows that Stripe accepted, and found wrong later.

use rusqlite::{Connection, params};

use super::{Result, Store, audit};

/// What Stripe reports.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// When it was reported, by Stripe's clock.
    pub reported_at: i64,
    /// Identifiers and why they do not count.
    pub rows: Vec<(String, String)>,
    /// For the trail; the same for the same report.
    pub detail: String,
}

impl Store {
    /// Makes dead what Stripe has rejected, once for each report. Identifiers that are not ours change nothing.
    /// Answers how many rows it befell.
    pub async fn reject(&self, rejection: Rejection, now: i64) -> Result<u64> {
        self.write(move |db| {
            let mut rejected = 0;
            for (identifier, code) in &rejection.rows {
                rejected += reject(db, identifier, code, rejection.reported_at, now)?;
            }
            let known = db
                .prepare_cached("SELECT 1 FROM audit WHERE action = ?1 AND detail = ?2")?
                .exists([REJECTED, &rejection.detail])?;
            if !known {
                audit::add(db, now, REJECTED, None, &rejection.detail)?;
            }
            Ok(rejected)
        })
        .await
    }
}

const REJECTED: &str = "meter_events_rejected";

/// Sent again, it goes under another `Idempotency-Key`: Stripe would only replay its acceptance.
///
/// A row that has been rejected before and accepted since then is not meant by an older report; one that a repair
/// stands in for must not be sent again. One without an answer is left pending, but Stripe's knowledge of its
/// identifier is no longer a sign of success.
fn reject(db: &Connection, identifier: &str, code: &str, reported_at: i64, now: i64) -> Result<u64> {
    let dead = db
        .prepare_cached(
            "UPDATE outbox SET state = 'dead', reason = ?2, rejected_at = ?3, settled_at = ?3, answer = NULL,
                    first_tried_at = NULL, answers = answers + 1
             WHERE identifier = ?1 AND state = 'delivered' AND (rejected_at IS NULL OR settled_at < ?4)
               AND NOT EXISTS (
                   SELECT 1 FROM outbox r
                   WHERE r.stripe_customer = outbox.stripe_customer AND r.event_name = outbox.event_name
                     AND r.timestamp >= outbox.timestamp / 60 * 60
                     AND r.timestamp < outbox.timestamp / 60 * 60 + 60
                     AND r.kind = 'repair' AND r.state <> 'dead' AND r.sequence <> outbox.sequence)",
        )?
        .execute(params![identifier, format!("rejected by Stripe: {code}"), now, reported_at])?;
    let unanswered = db
        .prepare_cached(
            "UPDATE outbox SET rejected_at = ?2, first_tried_at = NULL, answers = answers + 1
             WHERE identifier = ?1 AND state = 'pending' AND rejected_at IS NULL AND first_tried_at IS NOT NULL",
        )?
        .execute(params![identifier, now])?;
    Ok(u64::try_from(dead + unanswered).unwrap_or(0))
}
