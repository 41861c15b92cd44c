//! Marks: where long work goes on after a restart.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Result, Store, StoreError};

impl Store {
    /// Where long work goes on, if it has begun; what cannot be read is none.
    pub async fn mark<T: DeserializeOwned + Send + 'static>(&self, work: &'static str) -> Result<Option<T>> {
        self.read(move |db| {
            let found: Option<Vec<u8>> = db
                .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
                .query_row([work], |row| row.get(0))
                .optional()?;
            Ok(found.and_then(|mark| serde_json::from_slice(&mark).ok()))
        })
        .await
    }

    /// Keeps where long work goes on; none when it has ended.
    pub async fn set_mark<T: Serialize>(&self, work: &'static str, mark: Option<&T>) -> Result<()> {
        let mark = mark.map(serde_json::to_vec).transpose();
        let mark = mark.map_err(|error| StoreError::Unreadable(error.to_string()))?;
        self.write(move |db| {
            match mark {
                Some(mark) => db
                    .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                    .execute(params![work, mark])?,
                None => db.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([work])?,
            };
            Ok(())
        })
        .await
    }
}
