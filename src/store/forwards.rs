//! Raw events on their way to the handler that was there before. They lie here until it has taken them.

use rusqlite::{Connection, params};

use super::{Result, Store, audit};

/// An event as it came, to be handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    pub event_id: String,
    /// `Stripe-Signature`, as it came.
    pub signature: String,
    /// As the caller keeps it; sealed, where there is a key.
    pub body: Vec<u8>,
    pub tries: u32,
    pub received_at: i64,
}

impl Store {
    /// Those that are due, the oldest first.
    pub async fn due_forwards(&self, now: i64, limit: u32) -> Result<Vec<Forward>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT f.event_id, f.signature, f.body, f.tries, coalesce(i.received_at, f.next_try_at)
                 FROM forwards f LEFT JOIN inbox i ON i.event_id = f.event_id
                 WHERE f.next_try_at <= ?1 ORDER BY f.next_try_at, f.event_id LIMIT ?2",
            )?;
            let rows = query.query_map(params![now, limit], |row| {
                Ok(Forward {
                    event_id: row.get(0)?,
                    signature: row.get(1)?,
                    body: row.get(2)?,
                    tries: row.get(3)?,
                    received_at: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// It was taken.
    pub async fn forwarded(&self, event_id: String) -> Result<()> {
        self.write(move |db| forget(db, &event_id)).await
    }

    /// It is tried again at `at`.
    pub async fn put_off_forward(&self, event_id: String, at: i64) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE forwards SET next_try_at = ?2, tries = tries + 1 WHERE event_id = ?1")?
                .execute(params![event_id, at])?;
            Ok(())
        })
        .await
    }

    /// It is given up, with an audit row.
    pub async fn give_up_forward(&self, event_id: String, reason: String, now: i64) -> Result<()> {
        self.write(move |db| {
            audit::add(db, now, "webhook_not_forwarded", None, &format!("{event_id}: {reason}"))?;
            forget(db, &event_id)
        })
        .await
    }
}

pub(super) fn add(
    db: &Connection,
    event_id: &str,
    (signature, body): &(String, Vec<u8>),
    now: i64,
) -> Result<()> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO forwards (event_id, signature, body, next_try_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![event_id, signature, body, now])?;
    Ok(())
}

fn forget(db: &Connection, event_id: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM forwards WHERE event_id = ?1")?.execute([event_id])?;
    Ok(())
}
