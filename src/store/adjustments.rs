//! What operators set for one customer: an override, a block. Each change and its audit row stand or fall together.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::audit::{self, Act};
use super::{CustomerRow, Result, Store, StoreError, facts};
use crate::domain::tier::Allowance;

/// Whose change it is where another node has told of it, in the audit trail.
const FLEET: &str = "fleet";

/// An override as it was set. Names are kept: another configuration may know them or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverrideRow {
    pub tier: Option<String>,
    /// By meter; what is not mentioned stays the tier's.
    pub included: BTreeMap<String, Allowance>,
    pub until: Option<i64>,
    pub reason: String,
}

/// What is set for a customer now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjustments {
    pub overridden: Option<OverrideRow>,
    /// The reason of a block.
    pub blocked: Option<String>,
}

impl Store {
    pub async fn adjustments(&self, customer: u32) -> Result<Adjustments> {
        self.read(move |db| of(db, customer)).await
    }

    /// Sets a customer's override, or takes it back.
    pub async fn set_override(
        &self,
        customer: u32,
        row: Option<OverrideRow>,
        actor: &'static str,
        now: i64,
    ) -> Result<()> {
        self.write(move |db| {
            let before = of(db, customer)?.overridden;
            match &row {
                Some(row) => put(db, customer, row, now)?,
                None => {
                    db.prepare_cached("DELETE FROM overrides WHERE customer = ?1")?.execute([customer])?;
                }
            }
            facts::note_override(db, customer, row.as_ref(), now)?;
            let action = if row.is_some() { "override_set" } else { "override_removed" };
            let detail = row.as_ref().map(|row| row.reason.clone()).unwrap_or_default();
            let [before, after] = [before, row].map(|row| row.map(|row| row.to_string()));
            let act = Act { action, customer: Some(customer), detail, actor, before, after };
            audit::add_act(db, now, &act)
        })
        .await
    }

    /// Customers whose override has come to its end and is still kept.
    pub async fn ended_overrides(&self, now: i64, limit: u32) -> Result<Vec<CustomerRow>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT c.number, c.name, c.stripe_customer FROM overrides o JOIN customers c ON c.number = o.customer
                 WHERE o.until <= ?1 LIMIT ?2",
            )?;
            let rows = query.query_map(params![now, limit], |row| {
                Ok(CustomerRow { number: row.get(0)?, name: row.get(1)?, stripe_customer: row.get(2)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Takes back an override that has come to its end; not one that was set anew meanwhile.
    pub async fn end_override(&self, customer: u32, now: i64) -> Result<()> {
        self.write(move |db| {
            let before = of(db, customer)?.overridden;
            let ended = db
                .prepare_cached("DELETE FROM overrides WHERE customer = ?1 AND until <= ?2")?
                .execute(params![customer, now])?;
            if ended == 1 {
                let before = before.map(|row| row.to_string());
                let act =
                    Act { action: "override_ended", customer: Some(customer), before, ..Act::default() };
                audit::add_act(db, now, &act)?;
            }
            Ok(())
        })
        .await
    }

    /// Blocks a customer for a reason, or ends it. Answers whether that changed anything.
    pub async fn set_block(
        &self,
        customer: u32,
        blocked: bool,
        reason: String,
        actor: &'static str,
        now: i64,
    ) -> Result<bool> {
        self.write(move |db| {
            let changed = if blocked {
                db.prepare_cached("INSERT OR IGNORE INTO blocks VALUES (?1, ?2, ?3)")?
                    .execute(params![customer, reason, now])?
            } else {
                db.prepare_cached("DELETE FROM blocks WHERE customer = ?1")?.execute([customer])?
            };
            if changed == 1 {
                facts::note_block(db, customer, blocked.then_some(&*reason), now)?;
                let action = if blocked { "customer_blocked" } else { "customer_unblocked" };
                let act = Act { action, customer: Some(customer), detail: reason, actor, ..Act::default() };
                audit::add_act(db, now, &act)?;
            }
            Ok(changed == 1)
        })
        .await
    }
}

/// Another node has blocked a customer, or ended it. Answers whether that changed anything.
pub(super) fn take_block(
    db: &Connection,
    customer: u32,
    reason: Option<String>,
    at: i64,
    now: i64,
) -> Result<bool> {
    let changed = match &reason {
        Some(reason) => db
            .prepare_cached("INSERT OR REPLACE INTO blocks VALUES (?1, ?2, ?3)")?
            .execute(params![customer, reason, at])?,
        None => db.prepare_cached("DELETE FROM blocks WHERE customer = ?1")?.execute([customer])?,
    };
    if changed == 1 {
        let action = if reason.is_some() { "customer_blocked" } else { "customer_unblocked" };
        let detail = reason.unwrap_or_default();
        audit::add_act(
            db,
            now,
            &Act { action, customer: Some(customer), detail, actor: FLEET, ..Act::default() },
        )?;
    }
    Ok(changed == 1)
}

/// The same for an override.
pub(super) fn take_override(
    db: &Connection,
    customer: u32,
    row: Option<OverrideRow>,
    at: i64,
    now: i64,
) -> Result<bool> {
    let before = of(db, customer)?.overridden;
    if before == row {
        return Ok(false);
    }
    match &row {
        Some(row) => put(db, customer, row, at)?,
        None => {
            db.prepare_cached("DELETE FROM overrides WHERE customer = ?1")?.execute([customer])?;
        }
    }
    let action = if row.is_some() { "override_set" } else { "override_removed" };
    let detail = row.as_ref().map(|row| row.reason.clone()).unwrap_or_default();
    let [before, after] = [before, row].map(|row| row.map(|row| row.to_string()));
    let act = Act { action, customer: Some(customer), detail, actor: FLEET, before, after };
    audit::add_act(db, now, &act)?;
    Ok(true)
}

pub(super) fn of(db: &Connection, customer: u32) -> Result<Adjustments> {
    let overridden = db
        .prepare_cached("SELECT tier, included, until, reason FROM overrides WHERE customer = ?1")?
        .query_row([customer], |row| {
            let included: Option<String> = row.get(1)?;
            let overridden = OverrideRow {
                tier: row.get(0)?,
                included: BTreeMap::new(),
                until: row.get(2)?,
                reason: row.get(3)?,
            };
            Ok((overridden, included))
        })
        .optional()?;
    let overridden = match overridden {
        Some((row, included)) => Some(OverrideRow {
            included: included.map(|text| read(&text)).transpose()?.unwrap_or_default(),
            ..row
        }),
        None => None,
    };
    let blocked = db
        .prepare_cached("SELECT reason FROM blocks WHERE customer = ?1")?
        .query_row([customer], |row| row.get(0))
        .optional()?;
    Ok(Adjustments { overridden, blocked })
}

fn put(db: &Connection, customer: u32, row: &OverrideRow, now: i64) -> Result<()> {
    let included = row.included_as_text();
    db.prepare_cached("INSERT OR REPLACE INTO overrides VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![customer, row.tier, included, row.until, row.reason, now])?;
    Ok(())
}

/// Units by meter; `null` is without bound.
fn written(included: &BTreeMap<String, Allowance>) -> String {
    let units = |allowance: &Allowance| match allowance {
        Allowance::Units(units) => serde_json::json!(units),
        Allowance::Unlimited => serde_json::Value::Null,
    };
    let object: serde_json::Map<_, _> =
        included.iter().map(|(meter, allowance)| (meter.clone(), units(allowance))).collect();
    serde_json::Value::Object(object).to_string()
}

pub(super) fn read(text: &str) -> Result<BTreeMap<String, Allowance>> {
    let read: BTreeMap<String, Option<u64>> =
        serde_json::from_str(text).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    let allowance = |units: Option<u64>| units.map_or(Allowance::Unlimited, Allowance::Units);
    Ok(read.into_iter().map(|(meter, units)| (meter, allowance(units))).collect())
}

impl OverrideRow {
    /// `None`: it sets none.
    pub(super) fn included_as_text(&self) -> Option<String> {
        (!self.included.is_empty()).then(|| written(&self.included))
    }
}

impl std::fmt::Display for OverrideRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tier = self.tier.as_deref().unwrap_or("own tier");
        let until = self.until.map_or_else(|| "taken back".to_owned(), crate::domain::period::rfc3339);
        write!(f, "{tier}, included {}, until {until}", written(&self.included))
    }
}
