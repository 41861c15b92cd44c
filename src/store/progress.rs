//! How far work has come that goes on over restarts: a text under the work's name.

use rusqlite::{OptionalExtension, params};

use super::{Result, Store};

impl Store {
    pub async fn progress(&self, work: &'static str) -> Result<Option<String>> {
        self.scan(move |db| {
            let written: Option<Vec<u8>> = db
                .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
                .query_row([work], |row| row.get(0))
                .optional()?;
            Ok(written.and_then(|text| String::from_utf8(text).ok()))
        })
        .await
    }

    pub async fn set_progress(&self, work: &'static str, reached: String) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                .execute(params![work, reached.into_bytes()])?;
            Ok(())
        })
        .await
    }
}
