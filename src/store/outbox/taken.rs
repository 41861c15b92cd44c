//! What this node has taken over of lost ones: their fences, and rows of the outbox that carry their identifiers.
//!
//! They are sent like any other row. They go when the lost node has reckoned with its fence: then they are its own
//! again.

use rusqlite::{Connection, Row, params};

use super::fleet::TakenAnswer;
use super::rows::{ARRIVED_BEFORE, KNOWN_THERE, next_sequence};
use crate::store::{Result, Store, audit, customers, facts, unsigned};

/// No claim can spell a space.
const ERASED_SINCE: &str = "erased since";
/// Rows that one transaction changes at most.
const SLICE: u32 = 1_000;

/// A lost node's fence, with this node as its taker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceRow {
    pub id: i64,
    pub slot: u32,
    pub ledger: String,
    pub at_millis: i64,
    pub inherited: bool,
    /// All of it is in the outbox.
    pub is_whole: bool,
    /// What has been told of its answers.
    pub told: String,
}

/// A fence to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFence {
    pub slot: u32,
    pub ledger: String,
    pub at_millis: i64,
    pub inherited: bool,
}

/// A row of a lost node, with what it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenRow {
    pub field: String,
    pub body: String,
    /// What to send. None: there is nothing to send in it.
    pub event: Option<TakenEvent>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenEvent {
    pub identifier: String,
    /// Our name for the customer.
    pub customer: String,
    pub meter: u32,
    pub stripe_customer: String,
    pub event_name: String,
    pub period_start: i64,
    pub value: i64,
    pub timestamp: i64,
    /// The lost node did not try it before.
    pub at: i64,
}

impl Store {
    /// The fences that this node has put up.
    pub async fn fences(&self) -> Result<Vec<FenceRow>> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT id, slot, ledger, at_millis, inherited, is_whole, told FROM fences ORDER BY id",
            )?;
            Ok(query.query_map([], read_fence)?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Keeps a fence; an older one of the same node has been reckoned with, and goes with its rows.
    pub async fn keep_fence(&self, fence: NewFence, now: i64) -> Result<FenceRow> {
        let ledger = fence.ledger.clone();
        let known = self.fences().await?.into_iter().find(|known| known.ledger == ledger);
        if let Some(known) = known {
            if known.at_millis == fence.at_millis {
                return Ok(known);
            }
            self.drop_fence(known.id).await?;
        }
        self.write(move |db| {
            let detail =
                format!("the unsent usage of the node with the ledger {} is taken over", fence.ledger);
            audit::add(db, now, "node_taken_over", None, &detail)?;
            Ok(db
                .prepare_cached(
                    "INSERT INTO fences (slot, ledger, at_millis, inherited) VALUES (?1, ?2, ?3, ?4)
                     RETURNING id, slot, ledger, at_millis, inherited, is_whole, told",
                )?
                .query_row(params![fence.slot, fence.ledger, fence.at_millis, fence.inherited], read_fence)?)
        })
        .await
    }

    /// Puts what was fenced into the outbox; what is there already stays as it is.
    pub async fn take_rows(&self, fence: i64, rows: Vec<TakenRow>, now: i64) -> Result<()> {
        for slice in rows.chunks(SLICE as usize) {
            let slice = slice.to_vec();
            self.write(move |db| slice.iter().try_for_each(|row| take_row(db, fence, row, now))).await?;
        }
        self.write(move |db| {
            db.execute("UPDATE fences SET is_whole = 1 WHERE id = ?1", [fence])?;
            Ok(())
        })
        .await
    }

    /// What was fenced, as it was written.
    pub async fn fenced_fields(&self, fence: i64) -> Result<Vec<(String, String)>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached("SELECT field, body FROM fenced WHERE fence = ?1")?;
            let fields = query.query_map([fence], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(fields.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Of these, those that name nobody any more: who used them is erased.
    pub async fn nameless_fields(&self, fence: i64) -> Result<Vec<(String, String)>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT field, body FROM fenced
                 WHERE fence = ?1 AND iif(json_valid(body), body ->> '$.c', '') LIKE 'erased %'",
            )?;
            let fields = query.query_map([fence], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(fields.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The answers to a fence's rows so far, and whether all have one.
    pub async fn taken_answers(&self, fence: &FenceRow) -> Result<(Vec<(String, TakenAnswer)>, bool)> {
        let (id, inherited) = (fence.id, fence.inherited);
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT identifier, state, coalesce(tries = 1 AND answer = ?3 AND NOT ?2, 0),
                        coalesce(answer IN (?3, ?4), 0)
                 FROM outbox WHERE fence = ?1 ORDER BY sequence",
            )?;
            let mut answers = Vec::new();
            let mut is_sent = true;
            let mut rows = query.query(params![id, inherited, ARRIVED_BEFORE, KNOWN_THERE])?;
            while let Some(row) = rows.next()? {
                match answer(row)? {
                    Some(answer) => answers.push((row.get(0)?, answer)),
                    None => is_sent = false,
                }
            }
            Ok((answers, is_sent))
        })
        .await
    }

    /// Notes what has been told of a fence's answers.
    pub async fn note_told(&self, fence: i64, told: String) -> Result<()> {
        self.write(move |db| {
            db.execute("UPDATE fences SET told = ?2 WHERE id = ?1", params![fence, told])?;
            Ok(())
        })
        .await
    }

    /// The lost node has its rows again: they go here, the fence last.
    pub async fn drop_fence(&self, fence: i64) -> Result<()> {
        const DROPS: [&str; 2] = [
            "DELETE FROM outbox WHERE sequence IN
                (SELECT sequence FROM outbox WHERE fence IS NOT NULL AND fence = ?1 LIMIT ?2)",
            "DELETE FROM fenced WHERE fence = ?1 AND field IN
                (SELECT field FROM fenced WHERE fence = ?1 LIMIT ?2)",
        ];
        for drop in DROPS {
            let slice = move |db: &Connection| Ok(db.prepare_cached(drop)?.execute(params![fence, SLICE])?);
            while self.write(slice).await? == SLICE as usize {}
        }
        self.write(move |db| {
            db.execute("DELETE FROM fences WHERE id = ?1", [fence])?;
            Ok(())
        })
        .await
    }
}

fn read_fence(row: &Row<'_>) -> rusqlite::Result<FenceRow> {
    Ok(FenceRow {
        id: row.get(0)?,
        slot: row.get(1)?,
        ledger: row.get(2)?,
        at_millis: row.get(3)?,
        inherited: row.get(4)?,
        is_whole: row.get(5)?,
        told: row.get(6)?,
    })
}

fn answer(row: &Row<'_>) -> rusqlite::Result<Option<TakenAnswer>> {
    let (state, is_first, was_known): (String, bool, bool) = (row.get(1)?, row.get(2)?, row.get(3)?);
    Ok(match state.as_str() {
        "delivered" if !was_known => Some(TakenAnswer::Accepted),
        "delivered" if is_first => Some(TakenAnswer::Known),
        "delivered" => Some(TakenAnswer::Unclear),
        "dead" => Some(TakenAnswer::Dead),
        _ => None,
    })
}

/// What stands for a customer who has been erased since they used it.
fn name_left(db: &Connection, event: &TakenEvent) -> Result<Option<&'static str>> {
    let used_at = unsigned(event.timestamp).saturating_mul(1_000_000);
    let is_erased = facts::erased_at(db, &event.customer)?.is_some_and(|at| at >= used_at);
    Ok(is_erased.then_some(ERASED_SINCE))
}

/// Whether a row is here already. It may have come with the copy of a lost taker: it goes with the fence of the node
/// that it is of, which may stay away for longer.
fn is_known(db: &Connection, fence: i64, identifier: &str) -> Result<bool> {
    db.prepare_cached(
        "UPDATE outbox SET fence = ?1 WHERE identifier = ?2 AND fence <> ?1
           AND instr(identifier, (SELECT 'tg-' || ledger || '-' FROM fences WHERE id = ?1)) = 1",
    )?
    .execute(params![fence, identifier])?;
    Ok(db.prepare_cached("SELECT 1 FROM outbox WHERE identifier = ?1")?.exists([identifier])?)
}

fn take_row(db: &Connection, fence: i64, row: &TakenRow, now: i64) -> Result<()> {
    let left = row.event.as_ref().map(|event| name_left(db, event)).transpose()?.flatten();
    db.prepare_cached(
        "INSERT OR IGNORE INTO fenced VALUES (?1, ?2, iif(?4 IS NULL, ?3, json_replace(?3, '$.c', ?4)))",
    )?
    .execute(params![fence, row.field, row.body, left])?;
    let Some(event) = &row.event else { return Ok(()) };
    if is_known(db, fence, &event.identifier)? {
        return Ok(());
    }
    let customer = customers::register(db, left.unwrap_or(&event.customer), None, now)?.number;
    let sequence = next_sequence(db)?;
    db.prepare_cached(
        "INSERT INTO outbox (sequence, identifier, customer, meter, period_start, stripe_customer, event_name,
                             value, timestamp, sealed_at, next_try_at, first_tried_at, fence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12)",
    )?
    .execute(params![
        sequence,
        event.identifier,
        customer,
        event.meter,
        event.period_start,
        event.stripe_customer,
        event.event_name,
        event.value,
        event.timestamp,
        now,
        event.at,
        fence,
    ])?;
    Ok(())
}
