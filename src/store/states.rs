//! The tier and status of each customer as last seen, and every change of them: what lists and statistics read.

use rusqlite::{Connection, OptionalExtension, params};

use super::audit::{self, Act};
use super::notices::{self, NewNotice};
use super::{Result, Store};

/// What a customer has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The tier in force.
    pub tier: Option<String>,
    /// Stripe's word, or `no_subscription`.
    pub status: &'static str,
}

/// A change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The number of the change.
    pub id: i64,
    pub customer: u32,
    pub from_tier: Option<String>,
    pub from_status: String,
    pub to: State,
}

impl Store {
    /// Notes the state of a customer, who was on the default tier if nothing was noted before. What has changed is kept,
    /// with its audit row and the notices that tell of it, in one transaction; `None` when nothing has.
    pub async fn note_state(
        &self,
        customer: u32,
        state: State,
        default_tier: Option<String>,
        tell: impl FnOnce(&StateChange) -> Vec<NewNotice> + Send + 'static,
        now: i64,
    ) -> Result<Option<StateChange>> {
        self.write(move |db| {
            let Some(change) = change(db, customer, state, default_tier.as_deref(), now)? else {
                return Ok(None);
            };
            for notice in tell(&change) {
                notices::add(db, &notice, now)?;
            }
            Ok(Some(change))
        })
        .await
    }
}

fn change(
    db: &Connection,
    customer: u32,
    to: State,
    default_tier: Option<&str>,
    now: i64,
) -> Result<Option<StateChange>> {
    let before: Option<(Option<String>, String)> = db
        .prepare_cached("SELECT iif(state_since IS NULL, ?2, tier), status FROM customers WHERE number = ?1")?
        .query_row(params![customer, default_tier], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((from_tier, from_status)) = before else { return Ok(None) };
    if from_tier == to.tier && from_status == to.status {
        return Ok(None);
    }
    db.prepare_cached("UPDATE customers SET tier = ?2, status = ?3, state_since = ?4 WHERE number = ?1")?
        .execute(params![customer, to.tier, to.status, now])?;
    let id = db
        .prepare_cached(
            "INSERT INTO state_changes (at, customer, from_tier, to_tier, from_status, to_status)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
        )?
        .query_row(params![now, customer, from_tier, to.tier, from_status, to.status], |row| row.get(0))?;
    let shown = |tier: Option<&str>, status: &str| format!("{} ({status})", tier.unwrap_or("no tier"));
    let act = Act {
        action: "state_changed",
        customer: Some(customer),
        before: Some(shown(from_tier.as_deref(), &from_status)),
        after: Some(shown(to.tier.as_deref(), to.status)),
        ..Act::default()
    };
    audit::add_act(db, now, &act)?;
    Ok(Some(StateChange { id, customer, from_tier, from_status, to }))
}
