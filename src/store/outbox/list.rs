//! The outbox as operators see it: what Stripe has not accepted, and why.

use rusqlite::{Connection, Row, params};

use crate::store::reading::StoreReader;
use crate::store::{Result, Store};

/// Which rows to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxFilter {
    Pending,
    Dead,
    /// Both.
    Unaccepted,
}

/// A row that Stripe has not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    pub sequence: i64,
    pub identifier: String,
    pub customer: String,
    pub meter: String,
    pub stripe_customer: String,
    pub event_name: String,
    pub value: i64,
    pub timestamp: i64,
    pub state: String,
    /// Dead, and to be tried once the unanswered row of its total is answered.
    pub queued: bool,
    pub tries: u32,
    pub sealed_at: i64,
    pub first_tried_at: Option<i64>,
    /// None for dead ones: nothing sends them by itself.
    pub next_try_at: Option<i64>,
    pub reason: Option<String>,
}

/// Rows behind `after`, in the order in which they were sealed.
const SELECT: &str = "
    SELECT o.sequence, o.identifier, coalesce(c.name, ''), coalesce(m.name, ''), o.stripe_customer, o.event_name,
           o.value, o.timestamp, o.state, o.retry_at IS NOT NULL, o.tries, o.sealed_at, o.first_tried_at,
           iif(o.state = 'pending', o.next_try_at, NULL), o.reason
    FROM outbox o INDEXED BY outbox_open
    LEFT JOIN customers c ON c.number = o.customer LEFT JOIN names m ON m.number = o.meter
    WHERE o.state <> 'delivered' AND o.sequence > ?1 AND (?2 IS NULL OR o.state = ?2)
    ORDER BY o.sequence LIMIT ?3";

impl OutboxFilter {
    fn state(self) -> Option<&'static str> {
        match self {
            Self::Pending => Some("pending"),
            Self::Dead => Some("dead"),
            Self::Unaccepted => None,
        }
    }
}

impl StoreReader {
    /// Shows every row, newest last, until `visit` answers false.
    pub fn waiting_events(
        &self,
        filter: OutboxFilter,
        mut visit: impl FnMut(WaitingEvent) -> bool,
    ) -> Result<()> {
        let mut query = self.db.prepare(SELECT)?;
        for row in query.query_map(params![0, filter.state(), -1], read)? {
            if !visit(row?) {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Store {
    /// A page of at most `limit` rows behind `after`.
    pub async fn waiting_events(
        &self,
        filter: OutboxFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<WaitingEvent>> {
        self.scan(move |db| page(db, filter, after, limit)).await
    }
}

fn page(db: &Connection, filter: OutboxFilter, after: i64, limit: u32) -> Result<Vec<WaitingEvent>> {
    let mut query = db.prepare_cached(SELECT)?;
    let rows = query.query_map(params![after, filter.state(), limit], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<WaitingEvent> {
    Ok(WaitingEvent {
        sequence: row.get(0)?,
        identifier: row.get(1)?,
        customer: row.get(2)?,
        meter: row.get(3)?,
        stripe_customer: row.get(4)?,
        event_name: row.get(5)?,
        value: row.get(6)?,
        timestamp: row.get(7)?,
        state: row.get(8)?,
        queued: row.get(9)?,
        tries: row.get(10)?,
        sealed_at: row.get(11)?,
        first_tried_at: row.get(12)?,
        next_try_at: row.get(13)?,
        reason: row.get(14)?,
    })
}
