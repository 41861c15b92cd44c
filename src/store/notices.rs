//! Notices: what others are to be told, written in the transaction of what they tell of, once for each cause.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

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

/// Below so many credits a customer is told; the name of a row of `meta`.
const CREDITS_LOW: &str = "credits_low";

impl Store {
    /// Below so many units a customer is told that their credits are low; never with 0.
    pub fn set_credits_low(&self, units: u64) -> Result<()> {
        self.write_blocking(move |db| {
            db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
                params![CREDITS_LOW, units.to_string().into_bytes()],
            )?;
            Ok(())
        })
    }
}

/// After credits have been spent, taken or have expired: tells if few are left, once for each grant.
pub(super) fn tell_low_credits(db: &Connection, customer: u32, now: i64) -> Result<()> {
    let low = credits_low(db)?;
    let last: Option<i64> = db
        .prepare_cached("SELECT balance FROM credits WHERE customer = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row([customer], |row| row.get(0))
        .optional()?;
    let Some(left) = last.filter(|left| *left < low) else { return Ok(()) };
    let grant: Option<i64> = db
        .prepare_cached(
            "SELECT id FROM credits WHERE customer = ?1 AND kind = 'granted' ORDER BY id DESC LIMIT 1",
        )?
        .query_row([customer], |row| row.get(0))
        .optional()?;
    let cause = format!("credits_low:{customer}:{}", grant.unwrap_or(0));
    if is_known(db, &cause)? {
        return Ok(());
    }
    let data = db
        .prepare_cached("SELECT name, tier, status FROM customers WHERE number = ?1")?
        .query_row([customer], |row| {
            let (name, tier, status): (String, Option<String>, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(json!({ "customer": name, "tier": tier, "status": status, "credits": left, "below": low }))
        })
        .optional()?;
    let Some(data) = data else { return Ok(()) };
    add(db, &NewNotice { kind: NoticeKind::CreditsLow, customer: Some(customer), cause, data }, now).map(drop)
}

fn credits_low(db: &Connection) -> Result<i64> {
    let written: Option<Vec<u8>> = db
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([CREDITS_LOW], |row| row.get(0))
        .optional()?;
    let units = written.and_then(|digits| String::from_utf8(digits).ok()?.parse().ok());
    Ok(units.unwrap_or(0))
}

#[cfg(test)]
#[path = "notices_tests.rs"]
mod tests;
