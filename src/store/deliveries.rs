//! Deliveries: one for each notice and each target that wants it, settled by itself.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;
use serde_json::Value;

use super::{Result, Store, StoreError};

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    pub name: String,
    /// The types of notices that they want; `None`: all.
    pub types: Option<Vec<String>>,
}

impl Subscriber {
    fn wants(&self, kind: &str) -> bool {
        self.types.as_ref().is_none_or(|types| types.iter().any(|wanted| wanted == kind))
    }
}

/// A notice on its way to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub notice: i64,
    pub kind: String,
    /// The message's `data`, as it was written: the same with every try.
    pub data: String,
    pub at: i64,
    /// Before this one.
    pub tries: u32,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    Delivered {
        answer: String,
    },
    /// Tried again at `at`.
    Again {
        at: i64,
        answer: String,
    },
    /// Not tried again by itself.
    Failed {
        answer: String,
    },
}

/// A notice as the log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    pub id: i64,
    pub kind: String,
    pub customer: Option<String>,
    pub data: Value,
    pub at: i64,
    pub deliveries: Vec<DeliveryRow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub target: String,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    pub tries: u32,
    pub next_try_at: i64,
    /// The target's last answer, or why there was none.
    pub answer: Option<String>,
    pub settled_at: Option<i64>,
}

/// What has become of a delivery so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    Pending,
    Delivered,
    Failed,
}

/// Which notices of the log.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    pub kind: Option<String>,
    /// Those with a delivery in this state.
    pub state: Option<DeliveryState>,
    /// Before this one.
    pub before: Option<i64>,
    pub limit: u32,
}

/// What became of an operator's wish for another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    Due,
    Delivered,
    Unknown,
}

/// A notice of which nobody has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    pub id: i64,
    pub kind: String,
    pub cause: String,
    pub data: String,
    /// Whom it is about.
    pub customer: Option<u32>,
}

/// Notices that one transaction spreads, and rows that one removes.
const SLICE: u32 = 500;

impl Store {
    /// Makes a delivery of each new notice for each that wants it; answers how many notices there were.
    pub async fn spread_notices(&self, subscribers: Arc<[Subscriber]>, now: i64) -> Result<usize> {
        let any = "SELECT EXISTS (SELECT 1 FROM notices WHERE NOT spread)";
        let any: bool =
            self.scan(move |db| Ok(db.prepare_cached(any)?.query_row([], |row| row.get(0))?)).await?;
        if !any {
            return Ok(0);
        }
        self.write(move |db| spread(db, &subscribers, now)).await
    }

    /// Some of the notices that have not been spread, the oldest first.
    pub async fn new_notices(&self) -> Result<Vec<Untold>> {
        self.scan(|db| {
            let mut query = db.prepare_cached(
                "SELECT id, kind, cause, data, customer FROM notices WHERE NOT spread ORDER BY id LIMIT ?1",
            )?;
            let rows = query.query_map([SLICE], |row| {
                let (id, kind, cause, data) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                Ok(Untold { id, kind, cause, data, customer: row.get(4)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Makes the deliveries of some; of others nobody is told from here. Answers how many there were.
    pub async fn spread_only(
        &self,
        subscribers: Arc<[Subscriber]>,
        told: Vec<(i64, String)>,
        left: Vec<(i64, String)>,
        now: i64,
    ) -> Result<usize> {
        if told.is_empty() && left.is_empty() {
            return Ok(0);
        }
        self.write(move |db| {
            deliver(db, &subscribers, &told, now)?;
            deliver(db, &[], &left, now)?;
            Ok(told.len() + left.len())
        })
        .await
    }

    /// What is due for one target, the longest due first.
    pub async fn due_deliveries(&self, target: String, now: i64, limit: u32) -> Result<Vec<Delivery>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT n.id, n.kind, n.data, n.at, d.tries FROM deliveries d JOIN notices n ON n.id = d.notice
                 WHERE d.state = 'pending' AND d.target = ?1 AND d.next_try_at <= ?2
                 ORDER BY d.next_try_at, d.notice LIMIT ?3",
            )?;
            let rows = query.query_map(params![target, now, limit], |row| {
                Ok(Delivery {
                    notice: row.get(0)?,
                    kind: row.get(1)?,
                    data: row.get(2)?,
                    at: row.get(3)?,
                    tries: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub async fn settle_delivery(&self, notice: i64, target: String, tried: Tried, now: i64) -> Result<()> {
        let (state, answer, next, settled) = match tried {
            Tried::Delivered { answer } => ("delivered", answer, now, Some(now)),
            Tried::Again { at, answer } => ("pending", answer, at, None),
            Tried::Failed { answer } => ("failed", answer, now, Some(now)),
        };
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE deliveries SET state = ?3, tries = tries + 1, answer = ?4, next_try_at = ?5, settled_at = ?6
                 WHERE notice = ?1 AND target = ?2",
            )?
            .execute(params![notice, target, state, answer, next, settled])?;
            Ok(())
        })
        .await
    }

    /// Deliveries that are still to be made.
    pub async fn pending_deliveries(&self) -> Result<i64> {
        self.scan(|db| {
            let count = "SELECT count(*) FROM deliveries WHERE state = 'pending'";
            Ok(db.prepare_cached(count)?.query_row([], |row| row.get(0))?)
        })
        .await
    }

    /// Gives up what waits for targets that are none any more.
    pub async fn give_up_other_targets(&self, known: &[String], now: i64) -> Result<usize> {
        let known = Value::from(known).to_string();
        self.write(move |db| {
            Ok(db.execute(
                "UPDATE deliveries SET state = 'failed', settled_at = ?2, answer = 'no such target is configured'
                 WHERE state = 'pending' AND target NOT IN (SELECT value FROM json_each(?1))",
                params![known, now],
            )?)
        })
        .await
    }

    /// The log, the latest first.
    pub async fn notices(&self, filter: NoticeFilter) -> Result<Vec<NoticeRow>> {
        self.scan(move |db| list(db, &filter)).await
    }

    /// Another row of tries for what has failed, or the next one at once.
    pub async fn retry_delivery(&self, notice: i64, target: String, now: i64) -> Result<Retry> {
        self.write(move |db| {
            let state: Option<String> = db
                .prepare_cached("SELECT state FROM deliveries WHERE notice = ?1 AND target = ?2")?
                .query_row(params![notice, target], |row| row.get(0))
                .optional()?;
            Ok(match state.as_deref() {
                None => Retry::Unknown,
                Some("delivered") => Retry::Delivered,
                Some(_) => {
                    db.prepare_cached(&format!("{AGAIN} WHERE notice = ?2 AND target = ?3"))?
                        .execute(params![now, notice, target])?;
                    Retry::Due
                }
            })
        })
        .await
    }

    /// Another row of tries for all that has failed at a target, a slice at a time; answers how many they are.
    pub async fn retry_deliveries(&self, target: String, now: i64) -> Result<usize> {
        let target: Arc<str> = target.into();
        let mut retried = 0;
        loop {
            let target = target.clone();
            let slice = move |db: &Connection| {
                let failed =
                    "(SELECT notice, target FROM deliveries WHERE target = ?2 AND state = 'failed' LIMIT ?3)";
                let again = format!("{AGAIN} WHERE (notice, target) IN {failed}");
                Ok(db.prepare_cached(&again)?.execute(params![now, target, SLICE])?)
            };
            let some = self.write(slice).await?;
            retried += some;
            if some < SLICE as usize {
                return Ok(retried);
            }
        }
    }

    /// Removes deliveries that were settled before an instant, and what such notices said; that they were told is known
    /// until another instant. A slice at a time; answers whether more may be left.
    pub async fn prune_notices(&self, settled_before: i64, told_before: i64) -> Result<bool> {
        self.write(move |db| {
            let is_full = |prune: &str, before: i64| -> Result<bool> {
                Ok(db.prepare_cached(prune)?.execute(params![before, SLICE])? == SLICE as usize)
            };
            let deliveries = is_full(OLD_DELIVERIES, settled_before)?;
            let words = is_full(OLD_WORDS, settled_before)?;
            Ok(is_full(OLD_CAUSES, told_before)? || deliveries || words)
        })
        .await
    }
}

const OLD_DELIVERIES: &str = "DELETE FROM deliveries WHERE (notice, target) IN
    (SELECT notice, target FROM deliveries WHERE state <> 'pending' AND settled_at < ?1 LIMIT ?2)";
const OLD_WORDS: &str = "UPDATE notices SET data = '' WHERE id IN
    (SELECT id FROM notices n WHERE at < ?1 AND data <> '' AND spread
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE notice = n.id) LIMIT ?2)";
const OLD_CAUSES: &str = "DELETE FROM notices WHERE id IN
    (SELECT id FROM notices n WHERE at < ?1 AND spread
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE notice = n.id) LIMIT ?2)";

const AGAIN: &str = "UPDATE deliveries SET state = 'pending', tries = 0, next_try_at = ?1, settled_at = NULL";

fn spread(db: &Connection, subscribers: &[Subscriber], now: i64) -> Result<usize> {
    let notices: Vec<(i64, String)> = db
        .prepare_cached("SELECT id, kind FROM notices WHERE NOT spread ORDER BY id LIMIT ?1")?
        .query_map([SLICE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    deliver(db, subscribers, &notices, now)?;
    Ok(notices.len())
}

fn deliver(db: &Connection, subscribers: &[Subscriber], notices: &[(i64, String)], now: i64) -> Result<()> {
    let mut deliver = db.prepare_cached(
        "INSERT OR IGNORE INTO deliveries (notice, target, next_try_at) VALUES (?1, ?2, ?3)",
    )?;
    let mut done = db.prepare_cached("UPDATE notices SET spread = 1 WHERE id = ?1")?;
    for (id, kind) in notices {
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.wants(kind)) {
            deliver.execute(params![id, subscriber.name, now])?;
        }
        done.execute([id])?;
    }
    Ok(())
}

fn list(db: &Connection, filter: &NoticeFilter) -> Result<Vec<NoticeRow>> {
    let mut query = db.prepare_cached(&listing(filter))?;
    let NoticeFilter { kind, before, limit, .. } = filter;
    let mut rows = query.query(params![before.unwrap_or(i64::MAX), kind, limit])?;
    let mut deliveries = db.prepare_cached(
        "SELECT target, state, tries, next_try_at, answer, settled_at FROM deliveries WHERE notice = ?1
         ORDER BY target",
    )?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, data): (i64, String) = (row.get(0)?, row.get(3)?);
        found.push(NoticeRow {
            id,
            kind: row.get(1)?,
            customer: row.get(2)?,
            data: serde_json::from_str(&data).map_err(|error| StoreError::Unreadable(error.to_string()))?,
            at: row.get(4)?,
            deliveries: deliveries.query_map([id], read_delivery)?.collect::<rusqlite::Result<_>>()?,
        });
    }
    Ok(found)
}

/// Most notices were delivered, long ago: what waits or has failed is found by its own index.
pub(super) fn listing(filter: &NoticeFilter) -> String {
    let kind = if filter.kind.is_some() { "n.kind = ?2" } else { "?2 IS NULL" };
    let state = match filter.state {
        None => "",
        Some(DeliveryState::Pending) => "AND n.id IN (SELECT notice FROM deliveries WHERE state = 'pending')",
        Some(DeliveryState::Failed) => "AND n.id IN (SELECT notice FROM deliveries WHERE state = 'failed')",
        Some(DeliveryState::Delivered) => {
            "AND EXISTS (SELECT 1 FROM deliveries d WHERE d.notice = n.id AND d.state = 'delivered')"
        }
    };
    format!(
        "SELECT n.id, n.kind, c.name, n.data, n.at FROM notices n LEFT JOIN customers c ON c.number = n.customer
         WHERE n.id < ?1 AND n.data <> '' AND {kind} {state} ORDER BY n.id DESC LIMIT ?3"
    )
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        target: row.get(0)?,
        state: row.get(1)?,
        tries: row.get(2)?,
        next_try_at: row.get(3)?,
        answer: row.get(4)?,
        settled_at: row.get(5)?,
    })
}
