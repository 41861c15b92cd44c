//! What reading everything again from Stripe has to know: how far it is, what it did not see, and of what nothing is
//! heard.

use rusqlite::{Connection, params};

use super::{Reread, Result, Store, unsigned};

/// A subscription whose paid period has ended, and of which nothing was heard since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unheard {
    pub id: String,
    pub stripe_customer: String,
    pub paid_until: i64,
    pub read_at: i64,
}

impl Store {
    /// How many subscriptions are known, ended ones too.
    pub async fn count_subscriptions(&self) -> Result<u64> {
        self.scan(|db| {
            let count = db.query_row("SELECT count(*) FROM subscriptions", [], |row| row.get(0))?;
            Ok(unsigned(count))
        })
        .await
    }

    /// Subscriptions that have not ended, as far as is known, and that no read from `version` on has brought.
    pub async fn subscriptions_not_read(&self, version: u64, limit: u32) -> Result<Vec<Reread>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT id, stripe_customer FROM subscriptions
                 WHERE version < ?1 AND coalesce(status, 'active') NOT IN ('canceled', 'incomplete_expired')
                 ORDER BY version LIMIT ?2",
            )?;
            let rows = query.query_map(params![super::signed(version), limit], |row| {
                Ok(Reread { id: row.get(0)?, stripe_customer: row.get(1)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Subscriptions behind one of them, by the end of what was paid for: those that were paid for until an instant no
    /// later than `until`, and of which nothing was heard since.
    pub async fn unheard(&self, after: Unheard, until: i64, limit: u32) -> Result<Vec<Unheard>> {
        self.scan(move |db| unheard(db, &after, until, limit)).await
    }
}

fn unheard(db: &Connection, after: &Unheard, until: i64, limit: u32) -> Result<Vec<Unheard>> {
    let mut query = db.prepare_cached(
        "SELECT id, stripe_customer, paid_until, read_at FROM subscriptions
         WHERE status IN ('active', 'trialing') AND paid_until <= ?1 AND (paid_until, id) > (?2, ?3)
               AND read_at < paid_until
         ORDER BY paid_until, id LIMIT ?4",
    )?;
    let rows = query.query_map(params![until, after.paid_until, after.id, limit], |row| {
        Ok(Unheard {
            id: row.get(0)?,
            stripe_customer: row.get(1)?,
            paid_until: row.get(2)?,
            read_at: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, Temporary, facts};
    use super::super::{Store, Upsert};
    use super::*;
    use crate::domain::subscription::{Facts, Status};

    async fn put(store: &Store, id: &str, status: Status, version: u64, paid_until: i64, read_at: i64) {
        let read = Upsert {
            facts: Facts { id: id.into(), ..facts(status) },
            version,
            reread_at: None,
            window: None,
            rank: 0,
            tier: None,
            amount: None,
            paid_until: Some(paid_until),
        };
        assert!(store.upsert_subscription(read, read_at).await.expect("stores"));
    }

    #[tokio::test]
    async fn a_mark_is_kept_over_a_restart_until_the_work_has_ended() {
        let store = Temporary::new();
        assert_eq!(store.mark::<Vec<u64>>("work").await.expect("reads"), None);
        store.set_mark("work", Some(&vec![1_u64, 2])).await.expect("writes");
        let store = store.reopened();
        assert_eq!(store.mark("work").await.expect("reads"), Some(vec![1_u64, 2]));
        assert_eq!(store.mark::<String>("work").await.expect("reads"), None, "of an older version");
        store.set_mark::<u64>("work", None).await.expect("writes");
        assert_eq!(store.mark::<Vec<u64>>("work").await.expect("reads"), None);
    }

    #[tokio::test]
    async fn what_a_run_has_not_seen_is_what_may_still_be_alive_and_was_read_before() {
        let store = Temporary::new();
        put(&store, "sub_old", Status::Active, 3, NOW, NOW).await;
        put(&store, "sub_new", Status::Active, 5, NOW, NOW).await;
        put(&store, "sub_over", Status::Canceled, 2, NOW, NOW).await;
        let missed = store.subscriptions_not_read(5, 10).await.expect("reads");
        assert_eq!(missed.iter().map(|reread| &*reread.id).collect::<Vec<_>>(), ["sub_old"]);
        assert_eq!(store.count_subscriptions().await.expect("reads"), 3);
        assert_eq!(store.subscriptions_of("cus_1".into()).await.expect("reads").len(), 3);
    }

    #[tokio::test]
    async fn the_silent_ones_come_up_in_the_order_of_their_ends_and_each_once() {
        let store = Temporary::new();
        put(&store, "sub_c", Status::Active, 1, NOW - 5, NOW - 9).await;
        put(&store, "sub_b", Status::Trialing, 2, NOW - 7, NOW - 9).await;
        put(&store, "sub_a", Status::Active, 3, NOW - 5, NOW - 9).await;
        put(&store, "sub_heard", Status::Active, 4, NOW - 7, NOW - 7).await;
        put(&store, "sub_unpaid", Status::Unpaid, 5, NOW - 7, NOW - 9).await;
        put(&store, "sub_later", Status::Active, 6, NOW + 1, NOW - 9).await;
        let mut found = Vec::new();
        let mut last = Unheard::default();
        while let Some(next) = store.unheard(last, NOW, 1).await.expect("reads").pop() {
            found.push(next.id.clone());
            last = next;
        }
        assert_eq!(found, ["sub_b", "sub_a", "sub_c"]);
    }
}
