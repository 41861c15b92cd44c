//! What a look over all subscriptions leaves: those to be read again.

use rusqlite::params;

use super::{Result, Store};

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
}
