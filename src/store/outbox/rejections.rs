//! Rejections: rows that Stripe accepted, and found wrong later.

use rusqlite::{Connection, params};

use crate::store::{Result, Store, audit};

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
/// stands in for must not be sent again, not even where the repair is dead: another try is the repair's. One without an
/// answer is left pending, but Stripe's knowledge of its identifier is no longer a sign of success.
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
                     AND r.kind = 'repair' AND r.sequence <> outbox.sequence)",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Account, OutboxRow, Repair};

    const NOW: i64 = 1_800_000_000;

    /// A store with one row, `tg-1` of 5 units, that Stripe accepted a minute ago.
    async fn accepted() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        store
            .write(|db| {
                db.execute(
                    "INSERT INTO outbox (identifier, customer, meter, period_start, stripe_customer, event_name,
                                         value, timestamp, state, sealed_at, first_tried_at, next_try_at, settled_at)
                     VALUES ('tg-1', 1, 1, 0, 'cus_1', 'api_calls', 5, ?1 - 90, 'delivered', 0, ?1 - 80, 0, ?1 - 60)",
                    [NOW],
                )?;
                Ok(())
            })
            .await
            .expect("a row");
        (folder, store)
    }

    async fn change(store: &Store, set: &'static str) {
        let changed = store.write(move |db| Ok(db.execute(&format!("UPDATE outbox SET {set}"), [])?));
        changed.await.expect("a row");
    }

    async fn report(store: &Store, reported_at: i64) -> u64 {
        let rows = vec![("tg-1".to_owned(), "no_meter".to_owned()), ("not-ours".to_owned(), "x".to_owned())];
        store.reject(Rejection { reported_at, rows, detail: "evt_1".into() }, NOW).await.expect("applies")
    }

    /// The row as it is sent next.
    async fn retried(store: &Store) -> OutboxRow {
        change(store, "state = 'pending', next_try_at = 0").await;
        store.claim_due(NOW, 1).await.expect("claims").remove(0)
    }

    #[tokio::test]
    async fn a_rejected_row_is_sent_again_under_another_key_as_if_it_had_not_been_tried() {
        let (_folder, store) = accepted().await;
        assert_eq!(report(&store, NOW).await, 1);
        let row = retried(&store).await;
        assert_eq!((row.answers, row.first_tried_at, row.rejected_at), (1, None, Some(NOW)));
    }

    #[tokio::test]
    async fn a_report_from_before_the_row_was_accepted_again_changes_nothing() {
        let (_folder, store) = accepted().await;
        assert_eq!(report(&store, NOW - 50).await, 1);
        change(&store, "state = 'delivered', settled_at = 1800000000 + 90000").await;
        assert_eq!(report(&store, NOW - 50).await, 0, "that was about the first time");
        assert_eq!(report(&store, NOW + 90_010).await, 1, "and this about the second");
    }

    #[tokio::test]
    async fn what_a_repair_stands_in_for_is_not_brought_back() {
        let (_folder, store) = accepted().await;
        let account = Account { stripe_customer: "cus_1".into(), event_name: "api_calls".into() };
        let start = (NOW - 90).div_euclid(60) * 60;
        let minute = crate::domain::period::Period { start, end: start + 60 };
        let seen = store.holdings(account.clone(), minute).await.expect("reads");
        let repair = Repair { account, minute, seen, units: 5, identifier_prefix: "tg-x".into() };
        assert!(store.repair(repair, NOW).await.expect("repairs").is_some());
        assert_eq!(report(&store, NOW).await, 0);
        change(&store, "state = 'dead' WHERE kind = 'repair'").await;
        assert_eq!(report(&store, NOW).await, 0, "a retry of all dead rows would send both");
    }

    #[tokio::test]
    async fn a_row_without_an_answer_waits_on_but_stripes_memory_no_longer_counts() {
        let (_folder, store) = accepted().await;
        change(&store, "state = 'pending'").await;
        assert_eq!(report(&store, NOW).await, 1);
        assert_eq!(report(&store, NOW).await, 0, "once");
        let row = store.claim_due(NOW, 1).await.expect("claims").remove(0);
        assert_eq!((row.first_tried_at, row.rejected_at), (None, Some(NOW)));
    }
}
