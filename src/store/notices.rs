//! Notices: what others are to be told, written in the transaction of what they tell of.

use rusqlite::{Connection, params};
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
