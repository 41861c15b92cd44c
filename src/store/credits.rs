//! Credits: their history, and what is left of each grant.
//!
//! What it promises:
//!
//! - The balance after each row is the sum of all rows up to it, and the sum of what was left of the grants then.
//! - A cause is written once: a payment that is told of twice grants once.
//! - What records have spent is taken off the grants that they name, in the transaction that folds them.
//! - No balance is negative. A spend may be folded before the correction whose units it spent: then the row of the
//!   spend is short of what the row of the correction makes up for.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Act};
use super::reading::folded;
use super::{Result, Store, facts, signed, unsigned};
use crate::domain::credits::{HELD_SECONDS, Lot, Purse};
use crate::domain::facts::Grant as ToldGrant;
use crate::domain::usage::Now;

const SECONDS_PER_HOUR: i64 = 3_600;
/// Grants that are closed in one transaction.
const SLICE: u32 = 500;

/// A grant of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreditKey {
    pub customer: u32,
    /// 0: of no grant that is known.
    pub grant: i64,
}

/// What records drew on a grant, and what came back to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditUse {
    pub spent: i64,
    pub returned: i64,
    pub last_at_micros: i64,
}

/// Why credits change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditAct {
    /// What it happens for; what has happened for the same already is not done again.
    pub cause: String,
    pub reason: String,
    /// As in the audit trail.
    pub actor: &'static str,
}

/// Prepaid units for a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditGrant {
    pub customer: u32,
    pub units: u64,
    pub expires_at: Option<i64>,
    pub act: CreditAct,
}

/// A grant as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub number: i64,
    pub units: u64,
    pub expires_at: Option<i64>,
    pub cause: String,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditRow {
    pub id: i64,
    pub at: i64,
    /// granted, taken, spent, returned or expired.
    pub kind: String,
    pub units: i64,
    pub balance: u64,
    pub cause: Option<String>,
    pub reason: Option<String>,
    /// Of what was granted.
    pub expires_at: Option<i64>,
}

impl Store {
    /// Grants, and answers what is to be spent from now on; `None` when this cause is known.
    pub async fn grant_credits(&self, grant: CreditGrant, now: i64) -> Result<Option<Lot>> {
        self.write(move |db| {
            let CreditGrant { customer, units, expires_at, act } = grant;
            if find(db, &act.cause)?.is_some() {
                return Ok(None);
            }
            let row = Entry { kind: "granted", expires_at, ..Entry::of(&act) };
            let number = book(db, customer, now, signed(units), &row)?;
            add_to_lot(db, CreditKey { customer, grant: number }, signed(units))?;
            note(db, customer, number, "credits_granted", &act)?;
            let told = ToldGrant { units, expires_at, reason: act.reason };
            facts::note_grant(db, customer, &act.cause, &told, now)?;
            Ok(Some(Lot { grant: number, units, expires_at }))
        })
        .await
    }

    /// Notes what has been taken away of which grants.
    pub async fn take_credits(&self, customer: u32, lots: Vec<Lot>, act: CreditAct, now: i64) -> Result<()> {
        self.write(move |db| {
            for lot in &lots {
                add_to_lot(db, CreditKey { customer, grant: lot.grant }, -signed(lot.units))?;
            }
            let number = book(db, customer, now, 0, &Entry { kind: "taken", ..Entry::of(&act) })?;
            note(db, customer, number, "credits_taken", &act)
        })
        .await
    }

    /// What has been written for a cause.
    pub async fn credits_of_cause(&self, cause: String) -> Result<Option<CreditRow>> {
        self.read(move |db| find(db, &cause)).await
    }

    /// The history, the latest first, before a row; one more than `limit` tells that there is more.
    pub async fn credit_history(
        &self,
        customer: u32,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CreditRow>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(&format!(
                "{ROWS} WHERE customer = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
            ))?;
            let rows = query.query_map(params![customer, before.unwrap_or(i64::MAX), limit], read_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Closes grants that expired before an instant, if all records below `reached` have been folded: what spent them
    /// must be among those. Answers how many units expired, and whether more may be left.
    pub async fn expire_credits(&self, before: i64, reached: u64, now: i64) -> Result<(u64, bool)> {
        self.write(move |db| {
            if folded(db)?.2 < reached {
                return Ok((0, false));
            }
            let ended: Vec<(CreditKey, i64)> = db
                .prepare_cached(
                    "SELECT customer, grant_id, units FROM credit_lots
                     WHERE expires_at < ?1 AND units > 0 ORDER BY expires_at LIMIT ?2",
                )?
                .query_map(params![before, SLICE], |row| {
                    Ok((CreditKey { customer: row.get(0)?, grant: row.get(1)? }, row.get(2)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let mut expired = 0;
            for (key, units) in &ended {
                add_to_lot(db, *key, -units)?;
                let reason = format!("what was left of grant {}", key.grant);
                let row = Entry { kind: "expired", reason: Some(&reason), ..Entry::default() };
                book(db, key.customer, now, 0, &row)?;
                expired += unsigned(*units);
            }
            Ok((expired, ended.len() == SLICE as usize))
        })
        .await
    }
}

/// What is left of a customer's grants, once all records have been folded.
pub(super) fn lots(db: &Connection, customer: u32) -> Result<Vec<Lot>> {
    let mut query =
        db.prepare_cached("SELECT grant_id, units, expires_at FROM credit_lots WHERE customer = ?1")?;
    let rows = query.query_map([customer], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?)))?;
    let (mut lots, mut missing) = (Vec::new(), 0);
    for row in rows {
        let (grant, units, expires_at) = row?;
        missing += units.min(0).unsigned_abs();
        lots.push(Lot { grant, units: unsigned(units), expires_at });
    }
    if missing == 0 {
        return Ok(lots);
    }
    // A correction was lost with the power, and what came back by it had been spent.
    let mut purse = Purse::new(lots);
    purse.spend(missing, Now(0));
    Ok(purse.lots().to_vec())
}

/// What a customer was granted and has not expired, whatever is left of it.
pub(super) fn grants(db: &Connection, customer: u32, now: i64) -> Result<Vec<Grant>> {
    let mut query = db.prepare_cached(
        "SELECT id, units, expires_at, cause FROM credits
         WHERE customer = ?1 AND kind = 'granted' AND (expires_at IS NULL OR expires_at > ?2)",
    )?;
    let rows = query.query_map(params![customer, now.saturating_sub(HELD_SECONDS)], |row| {
        let cause: Option<String> = row.get(3)?;
        Ok(Grant {
            number: row.get(0)?,
            units: unsigned(row.get(1)?),
            expires_at: row.get(2)?,
            cause: cause.unwrap_or_default(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Takes what records have drawn off the grants; they come in the order of the customers.
pub(super) fn apply(db: &Connection, used: &[(&CreditKey, &CreditUse)]) -> Result<()> {
    for of_one in used.chunk_by(|(one, _), (next, _)| one.customer == next.customer) {
        let customer = of_one[0].0.customer;
        let (mut returned, mut last) = (0, 0);
        for (key, part) in of_one {
            add_to_lot(db, **key, part.returned - part.spent)?;
            returned += part.returned;
            last = last.max(part.last_at_micros.div_euclid(1_000_000));
        }
        if returned > 0 {
            insert(db, customer, last, returned, &Entry { kind: "returned", ..Entry::default() })?;
        }
        let spent = left(db, customer, 0)? - balance(db, customer)?;
        if spent != 0 && !grow_last(db, customer, last, spent)? {
            insert(db, customer, last, spent, &Entry { kind: "spent", ..Entry::default() })?;
        }
    }
    Ok(())
}

/// The sum of what is left of the grants, with what is still to come.
fn left(db: &Connection, customer: u32, to_come: i64) -> Result<i64> {
    let mut query = db
        .prepare_cached("SELECT max(coalesce(sum(units), 0) + ?2, 0) FROM credit_lots WHERE customer = ?1")?;
    Ok(query.query_row(params![customer, to_come], |row| row.get(0))?)
}

/// After the last row.
fn balance(db: &Connection, customer: u32) -> Result<i64> {
    let mut query =
        db.prepare_cached("SELECT balance FROM credits WHERE customer = ?1 ORDER BY id DESC LIMIT 1")?;
    Ok(query.query_row([customer], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Books out what is left of the grants of somebody who is erased.
pub(super) fn forfeit(db: &Connection, customer: u32, now: i64) -> Result<()> {
    db.prepare_cached("DELETE FROM credit_lots WHERE customer = ?1")?.execute([customer])?;
    if balance(db, customer)? > 0 {
        book(db, customer, now, 0, &Entry { kind: "taken", ..Entry::default() })?;
    }
    Ok(())
}

/// Another node has granted: the same cause is booked once. Answers whether that changed anything.
pub(super) fn take_grant(
    db: &Connection,
    customer: u32,
    cause: &str,
    told: &ToldGrant,
    at: i64,
) -> Result<bool> {
    let ToldGrant { units, expires_at, reason } = told;
    if let Some(known) = find(db, cause)? {
        return ends_otherwise(db, customer, &known, *expires_at);
    }
    let act = CreditAct { cause: cause.to_owned(), reason: reason.clone(), actor: "fleet" };
    let row = Entry { kind: "granted", expires_at: *expires_at, ..Entry::of(&act) };
    let number = book(db, customer, at, signed(*units), &row)?;
    add_to_lot(db, CreditKey { customer, grant: number }, signed(*units))?;
    note(db, customer, number, "credits_granted", &act)?;
    Ok(true)
}

/// Two nodes have granted for the same while they did not hear of each other: one of their ends holds for both. The
/// history says what was said then.
fn ends_otherwise(
    db: &Connection,
    customer: u32,
    known: &CreditRow,
    expires_at: Option<i64>,
) -> Result<bool> {
    if known.kind != "granted" {
        return Ok(false);
    }
    let changed = db
        .prepare_cached(
            "UPDATE credit_lots SET expires_at = ?3
             WHERE customer = ?1 AND grant_id = ?2 AND expires_at IS NOT ?3",
        )?
        .execute(params![customer, known.id, expires_at])?;
    Ok(changed > 0)
}

fn add_to_lot(db: &Connection, key: CreditKey, units: i64) -> Result<()> {
    let CreditKey { customer, grant } = key;
    db.prepare_cached(
        "INSERT INTO credit_lots VALUES (?1, ?2, ?3, (SELECT expires_at FROM credits WHERE id = ?2))
         ON CONFLICT DO UPDATE SET units = units + excluded.units",
    )?
    .execute(params![customer, grant, units])?;
    db.prepare_cached("DELETE FROM credit_lots WHERE customer = ?1 AND grant_id = ?2 AND units = 0")?
        .execute(params![customer, grant])?;
    Ok(())
}

#[derive(Default)]
struct Entry<'a> {
    kind: &'static str,
    cause: Option<&'a str>,
    reason: Option<&'a str>,
    expires_at: Option<i64>,
}

impl<'a> Entry<'a> {
    fn of(act: &'a CreditAct) -> Self {
        Self { cause: Some(&act.cause), reason: Some(&act.reason), ..Self::default() }
    }
}

/// Writes what the balance has to change by, when `to_come` units are still to be added to the grants.
fn book(db: &Connection, customer: u32, at: i64, to_come: i64, entry: &Entry<'_>) -> Result<i64> {
    let units = left(db, customer, to_come)? - balance(db, customer)?;
    insert(db, customer, at, units, entry)
}

fn insert(db: &Connection, customer: u32, at: i64, units: i64, entry: &Entry<'_>) -> Result<i64> {
    let Entry { kind, cause, reason, expires_at } = entry;
    let after = balance(db, customer)? + units;
    let number = db
        .prepare_cached(
            "INSERT INTO credits (customer, at, kind, units, balance, cause, reason, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
        )?
        .query_row(params![customer, at, kind, units, after, cause, reason, expires_at], |row| row.get(0))?;
    Ok(number)
}

/// What an hour spends is one row, as long as nothing else happens.
fn grow_last(db: &Connection, customer: u32, at: i64, units: i64) -> Result<bool> {
    let hour = at.div_euclid(SECONDS_PER_HOUR) * SECONDS_PER_HOUR;
    let grown = db
        .prepare_cached(
            "UPDATE credits SET units = units + ?3, balance = balance + ?3, at = max(at, ?4)
             WHERE id = (SELECT max(id) FROM credits WHERE customer = ?1) AND kind = 'spent' AND at >= ?2
               AND at < ?2 + 3600",
        )?
        .execute(params![customer, hour, units, at])?;
    Ok(grown == 1)
}

/// The audit row of what a row of the history says.
fn note(db: &Connection, customer: u32, number: i64, action: &'static str, act: &CreditAct) -> Result<()> {
    let row = db.prepare_cached(&format!("{ROWS} WHERE id = ?1"))?.query_row([number], read_row)?;
    let after = row.balance;
    let before = after.saturating_add_signed(-row.units);
    let act = Act {
        action,
        customer: Some(customer),
        detail: act.reason.clone(),
        actor: act.actor,
        before: Some(before.to_string()),
        after: Some(after.to_string()),
    };
    audit::add_act(db, row.at, &act)
}

const ROWS: &str = "SELECT id, at, kind, units, balance, cause, reason, expires_at FROM credits";

fn find(db: &Connection, cause: &str) -> Result<Option<CreditRow>> {
    let mut query = db.prepare_cached(&format!("{ROWS} WHERE cause = ?1"))?;
    Ok(query.query_row([cause], read_row).optional()?)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<CreditRow> {
    Ok(CreditRow {
        id: row.get(0)?,
        at: row.get(1)?,
        kind: row.get(2)?,
        units: row.get(3)?,
        balance: unsigned(row.get(4)?),
        cause: row.get(5)?,
        reason: row.get(6)?,
        expires_at: row.get(7)?,
    })
}
