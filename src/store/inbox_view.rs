//! The inbox for operators: what came, what it changed, and another go.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Act};
use super::{Result, Store};

/// An event as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub event_id: String,
    pub kind: String,
    pub created: i64,
    pub received_at: i64,
    /// pending, done, ignored or failed.
    pub state: String,
    pub tries: u32,
    pub next_try_at: i64,
    pub settled_at: Option<i64>,
    pub replayed_at: Option<i64>,
    pub reason: Option<String>,
    /// What it changed, in words; none before it was applied.
    pub effects: Option<Vec<String>>,
    pub is_sealed: bool,
}

/// Which events are asked for.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// pending, done, ignored or failed.
    pub state: Option<&'static str>,
    pub kind: Option<String>,
    /// Behind this one: when it came, and its id.
    pub after: Option<(i64, String)>,
}

/// What became of a wish to apply an event again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    Yes,
    /// It waits anyway.
    Waits,
    /// It has no effect here, however often.
    MeansNothing,
    Unknown,
}

const COLUMNS: &str =
    "event_id, type, created, received_at, state, tries, next_try_at, settled_at, replayed_at,
    reason, effects, payload IS NOT NULL";

impl Store {
    /// The latest first.
    pub async fn events(&self, filter: EventFilter, limit: u32) -> Result<Vec<EventRow>> {
        self.scan(move |db| {
            // As a word: only so is the index of those that have failed used, or that of those that wait.
            let state = filter.state.map(|state| format!("AND state = '{state}'")).unwrap_or_default();
            let by = if filter.state == Some("pending") { "INDEXED BY inbox_pending" } else { "" };
            let mut query = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM inbox {by}
                 WHERE (received_at, event_id) < (?1, ?2) {state} AND (?3 IS NULL OR type = ?3)
                 ORDER BY received_at DESC, event_id DESC LIMIT ?4"
            ))?;
            let (at, id) = filter.after.unwrap_or((i64::MAX, String::new()));
            let rows = query.query_map(params![at, id, filter.kind, limit], read_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// One event, with its payload as it lies here.
    pub async fn event(&self, event_id: String) -> Result<Option<(EventRow, Option<Vec<u8>>)>> {
        self.read(move |db| {
            let mut query =
                db.prepare_cached(&format!("SELECT {COLUMNS}, payload FROM inbox WHERE event_id = ?1"))?;
            Ok(query.query_row([event_id], |row| Ok((read_row(row)?, row.get(12)?))).optional()?)
        })
        .await
    }

    /// Lets an event be applied again, with all of its tries.
    pub async fn replay_event(&self, event_id: String, now: i64) -> Result<Replayed> {
        self.write(move |db| replay(db, &event_id, now)).await
    }
}

fn replay(db: &Connection, event_id: &str, now: i64) -> Result<Replayed> {
    let known: Option<(String, u32)> = db
        .prepare_cached("SELECT state, tries FROM inbox WHERE event_id = ?1")?
        .query_row([event_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((state, tries)) = known else { return Ok(Replayed::Unknown) };
    match state.as_str() {
        "pending" => return Ok(Replayed::Waits),
        "ignored" => return Ok(Replayed::MeansNothing),
        _ => {}
    }
    db.prepare_cached(
        "UPDATE inbox SET state = 'pending', tries = 0, next_try_at = 0, settled_at = NULL, replayed_at = ?2
         WHERE event_id = ?1",
    )?
    .execute(params![event_id, now])?;
    let act = Act {
        action: "webhook_replayed",
        detail: event_id.to_owned(),
        actor: "operator",
        before: Some(format!("{state} after {tries} failed tries")),
        after: Some("pending".to_owned()),
        ..Act::default()
    };
    audit::add_act(db, now, &act)?;
    Ok(Replayed::Yes)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let effects: Option<String> = row.get(10)?;
    Ok(EventRow {
        event_id: row.get(0)?,
        kind: row.get(1)?,
        created: row.get(2)?,
        received_at: row.get(3)?,
        state: row.get(4)?,
        tries: row.get(5)?,
        next_try_at: row.get(6)?,
        settled_at: row.get(7)?,
        replayed_at: row.get(8)?,
        reason: row.get(9)?,
        effects: effects.and_then(|effects| serde_json::from_str(&effects).ok()),
        is_sealed: row.get(11)?,
    })
}
