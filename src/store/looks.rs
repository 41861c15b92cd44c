//! What a look over all subscriptions asks beside their facts.

use rusqlite::params;

use super::{Result, Store};

/// Stripe customers that are named together.
const MOST: u32 = 1_000;

impl Store {
    /// Subscriptions that should be read again without waiting for their next time.
    pub async fn read_again_soon(&self, ids: Vec<String>, now: i64) -> Result<()> {
        self.write(move |db| {
            let mut due = db.prepare_cached(
                "UPDATE subscriptions SET reread_at = min(coalesce(reread_at, ?2), ?2) WHERE id = ?1",
            )?;
            for id in &ids {
                due.execute(params![id, now])?;
            }
            Ok(())
        })
        .await
    }

    /// Stripe customers with more than one subscription that entitles to a tier, each with all of those.
    pub async fn doubly_subscribed(&self) -> Result<Vec<(String, Vec<String>)>> {
        self.scan(|db| {
            let mut query = db.prepare_cached(
                "SELECT stripe_customer, group_concat(id, ' ' ORDER BY id) FROM subscriptions
                 WHERE tier IS NOT NULL AND status IN ('trialing', 'active', 'past_due')
                 GROUP BY stripe_customer HAVING count(*) > 1 LIMIT ?1",
            )?;
            let rows = query.query_map([MOST], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
            let split = |ids: String| ids.split(' ').map(str::to_owned).collect();
            rows.map(|row| Ok(row.map(|(customer, ids)| (customer, split(ids)))?)).collect()
        })
        .await
    }
}
