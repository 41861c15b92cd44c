//! Credits: their history, and what is left of each grant.
//!
//! What it promises:
//!
//! - The balance after each row is the sum of all rows up to it, and the sum of what is left of the grants.
//! - A cause is written once: a payment that is told of twice grants once.
//! - What records have spent is taken from the same grants as in memory ([`Purse`]), in the transaction that folds
//!   them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, Store, signed, unsigned};
use crate::domain::credits::{Lot, Purse};
use crate::domain::usage::Now;

const SECONDS_PER_HOUR: i64 = 3_600;
/// Grants that are closed in one transaction.
const SLICE: u32 = 500;

/// Units that a record drew on credits; negative where a charge was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditNews {
    pub customer: u32,
    pub at_micros: i64,
    pub units: i64,
}

/// Prepaid units for a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditGrant {
    pub customer: u32,
    pub units: u64,
    pub expires_at: Option<i64>,
    /// What they are granted for; another grant for the same changes nothing.
    pub cause: String,
    pub reason: String,
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
}

impl Store {
    /// Grants, and answers what is to be spent from now on; `None` when this cause has had its grant.
    pub async fn grant_credits(&self, grant: CreditGrant, now: Now) -> Result<Option<Lot>> {
        self.write(move |db| {
            if is_known(db, &grant.cause)? {
                return Ok(None);
            }
            let units = signed(grant.units);
            let entry =
                Entry { kind: "granted", units, cause: Some(&grant.cause), reason: Some(&grant.reason) };
            let number = add(db, grant.customer, now.seconds(), entry)?;
            let lot = Lot {
                grant: number,
                units: grant.units,
                granted_at: Now::from_micros(now.micros()),
                expires_at: grant.expires_at.map(Now::from_seconds),
            };
            put_lot(db, grant.customer, &lot)?;
            Ok(Some(lot))
        })
        .await
    }

    /// Notes what an operator has taken away; `spent_at` is when it left the purse.
    pub async fn take_credits(
        &self,
        customer: u32,
        units: u64,
        (cause, reason): (String, String),
        spent_at: Now,
    ) -> Result<()> {
        self.write(move |db| {
            let units = change_lots(db, customer, |purse| -signed(purse.spend(units, spent_at)))?;
            let entry = Entry { kind: "taken", units, cause: Some(&cause), reason: Some(&reason) };
            add(db, customer, spent_at.seconds(), entry).map(drop)
        })
        .await
    }

    /// Whether something has been written for this cause.
    pub async fn knows_credit_cause(&self, cause: String) -> Result<bool> {
        self.read(move |db| is_known(db, &cause)).await
    }

    /// The history, the latest first, before a row; one more than `limit` tells that there is more.
    pub async fn credit_history(
        &self,
        customer: u32,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CreditRow>> {
        self.scan(move |db| {
            let mut query = db.prepare_cached(
                "SELECT id, at, kind, units, balance, cause, reason FROM credits
                 WHERE customer = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            )?;
            let rows = query.query_map(params![customer, before.unwrap_or(i64::MAX), limit], read_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Closes grants that expired before an instant; all records from before it must have been folded. Answers whether
    /// more may be left.
    pub async fn expire_credits(&self, before: i64, now: i64) -> Result<bool> {
        self.write(move |db| {
            let ended: Vec<(u32, i64, i64)> = db
                .prepare_cached(
                    "SELECT customer, grant_id, units FROM credit_lots WHERE expires_at < ?1 LIMIT ?2",
                )?
                .query_map(params![before, SLICE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (customer, grant, units) in &ended {
                db.prepare_cached("DELETE FROM credit_lots WHERE customer = ?1 AND grant_id = ?2")?
                    .execute(params![customer, grant])?;
                let reason = format!("of grant {grant}");
                let entry = Entry { kind: "expired", units: -units, cause: None, reason: Some(&reason) };
                add(db, *customer, now, entry)?;
            }
            Ok(ended.len() == SLICE as usize)
        })
        .await
    }
}

/// What is left of a customer's grants.
pub(super) fn lots(db: &Connection, customer: u32) -> Result<Vec<Lot>> {
    let mut query = db.prepare_cached(
        "SELECT grant_id, units, granted_at_micros, expires_at FROM credit_lots WHERE customer = ?1",
    )?;
    let rows = query.query_map([customer], |row| {
        Ok(Lot {
            grant: row.get(0)?,
            units: unsigned(row.get(1)?),
            granted_at: Now::from_micros(row.get(2)?),
            expires_at: row.get::<_, Option<i64>>(3)?.map(Now::from_seconds),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Takes what records have drawn from the grants, in the order of the records.
pub(super) fn apply(db: &Connection, news: &[CreditNews]) -> Result<()> {
    let mut by_customer: BTreeMap<u32, Vec<&CreditNews>> = BTreeMap::new();
    for one in news {
        by_customer.entry(one.customer).or_default().push(one);
    }
    for (customer, news) in by_customer {
        let units = change_lots(db, customer, |purse| news.iter().map(|one| spend(purse, one)).sum())?;
        let last = news.last().map_or(0, |one| one.at_micros.div_euclid(1_000_000));
        let kind = if units > 0 { "returned" } else { "spent" };
        if units > 0 || (units < 0 && !grow_last(db, customer, last, units)?) {
            add(db, customer, last, Entry { kind, units, cause: None, reason: None })?;
        }
    }
    Ok(())
}

/// Answers what it adds to the balance.
fn spend(purse: &mut Purse, news: &CreditNews) -> i64 {
    let (units, at) = (news.units.unsigned_abs(), Now::from_micros(news.at_micros));
    if news.units < 0 {
        purse.give_back(units, at);
        return signed(units);
    }
    let spent = purse.spend(units, at);
    if spent < units {
        tracing::error!(
            customer = news.customer,
            units,
            spent,
            "records drew on credits that were not there"
        );
    }
    -signed(spent)
}

/// Answers what the change answers.
fn change_lots(db: &Connection, customer: u32, change: impl FnOnce(&mut Purse) -> i64) -> Result<i64> {
    let before = lots(db, customer)?;
    let mut purse = Purse::new(before.iter().copied());
    let units = change(&mut purse);
    for lot in &before {
        if !purse.lots().iter().any(|left| left.grant == lot.grant) {
            db.prepare_cached("DELETE FROM credit_lots WHERE customer = ?1 AND grant_id = ?2")?
                .execute(params![customer, lot.grant])?;
        }
    }
    purse.lots().iter().filter(|lot| !before.contains(lot)).try_for_each(|lot| put_lot(db, customer, lot))?;
    Ok(units)
}

fn put_lot(db: &Connection, customer: u32, lot: &Lot) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO credit_lots VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        customer,
        lot.grant,
        signed(lot.units),
        lot.granted_at.micros(),
        lot.expires_at.map(Now::seconds),
    ])?;
    Ok(())
}

struct Entry<'a> {
    kind: &'static str,
    units: i64,
    cause: Option<&'a str>,
    reason: Option<&'a str>,
}

fn add(db: &Connection, customer: u32, at: i64, entry: Entry<'_>) -> Result<i64> {
    let Entry { kind, units, cause, reason } = entry;
    let number = db
        .prepare_cached(
            "INSERT INTO credits (customer, at, kind, units, balance, cause, reason)
             VALUES (?1, ?2, ?3, ?4,
                     coalesce((SELECT balance FROM credits WHERE customer = ?1 ORDER BY id DESC LIMIT 1), 0) + ?4,
                     ?5, ?6)
             RETURNING id",
        )?
        .query_row(params![customer, at, kind, units, cause, reason], |row| row.get(0))?;
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

fn is_known(db: &Connection, cause: &str) -> Result<bool> {
    let found: Option<i64> = db
        .prepare_cached("SELECT 1 FROM credits WHERE cause = ?1")?
        .query_row([cause], |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
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
    })
}
