//! Notices: what others are to be told, written in the transaction of what they tell of, once for each cause.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::{Result, Store};
use crate::domain::notice::NoticeKind;

/// A notice that is to be sent.
#[derive(Clone, Debug)]
pub struct NewNotice {
    pub kind: NoticeKind,
    pub customer: Option<u32>,
    /// What it tells of; nothing is told twice.
    pub cause: String,
    /// The `data` of the message.
    pub data: Value,
}

impl Store {
    /// Answers whether it is new.
    pub async fn notify(&self, notice: NewNotice, now: i64) -> Result<bool> {
        self.write(move |db| add(db, &notice, now)).await
    }

    /// Those that are not known yet; answers how many. What is known already costs a look, and holds up no writer.
    pub async fn notify_unknown(&self, notices: Vec<NewNotice>, now: i64) -> Result<usize> {
        let unknown = self.scan(move |db| {
            let mut unknown = Vec::new();
            for notice in notices {
                if !is_known(db, &notice.cause)? {
                    unknown.push(notice);
                }
            }
            Ok(unknown)
        });
        let unknown = unknown.await?;
        if unknown.is_empty() {
            return Ok(0);
        }
        self.write(move |db| {
            unknown.iter().try_fold(0, |count, notice| Ok(count + usize::from(add(db, notice, now)?)))
        })
        .await
    }
}

/// Inside another transaction.
pub(super) fn add(db: &Connection, notice: &NewNotice, now: i64) -> Result<bool> {
    let new = db
        .prepare_cached(
            "INSERT OR IGNORE INTO notices (kind, customer, cause, data, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            notice.kind.as_str(),
            notice.customer,
            notice.cause,
            notice.data.to_string(),
            now
        ])?;
    Ok(new == 1)
}

fn is_known(db: &Connection, cause: &str) -> Result<bool> {
    let found: Option<i64> = db
        .prepare_cached("SELECT 1 FROM notices WHERE cause = ?1")?
        .query_row([cause], |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
}

impl Store {
    /// Below so many credits a customer is told, once for each grant; never with 0. The tables do it, and name the
    /// default tier where no other is in force.
    pub fn set_credits_low(&self, units: u64, default_tier: Option<&str>) -> Result<()> {
        let facts =
            [("credits_low", Some(units.to_string())), ("default_tier", default_tier.map(str::to_owned))];
        self.write_blocking(move |db| {
            for (key, value) in facts {
                match value {
                    Some(value) => {
                        db.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", (key, value.into_bytes()))?
                    }
                    None => db.execute("DELETE FROM meta WHERE key = ?1", [key])?,
                };
            }
            Ok(())
        })
    }
}

#[cfg(test)]
#[path = "notices_tests.rs"]
mod tests;
