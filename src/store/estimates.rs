//! Estimates: charges whose true units a correction tells later. Until then they are not sealed, so that Stripe hears
//! of the truth alone.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::totals::TotalKey;
use super::{Result, Store, signed, unsigned};

/// One meter's units of a record whose truth is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub record: u64,
    pub total: TotalKey,
    pub reportable: i64,
}

impl Store {
    /// After a crash nobody will correct what was open: it stands as the charge. Answers how many did.
    pub fn let_estimates_stand(&self) -> Result<usize> {
        self.write_blocking(|db| {
            db.execute("UPDATE totals SET open = 0 WHERE open <> 0", [])?;
            Ok(db.execute("DELETE FROM estimates", [])?)
        })
    }
}

impl Store {
    /// The same for those of a process whose place this one has taken: its own before `first`, and those made for it.
    pub async fn let_estimates_of_others_stand(&self, first: u64, made: BTreeSet<u64>) -> Result<usize> {
        self.write(move |db| {
            let mut open = db.prepare_cached("SELECT record FROM estimates")?;
            let open: Vec<u64> =
                open.query_map([], |row| row.get(0).map(unsigned))?.collect::<rusqlite::Result<_>>()?;
            let theirs = open.into_iter().filter(|record| *record < first || made.contains(record));
            let mut standing = 0;
            for record in theirs {
                close(db, record)?;
                standing += 1;
            }
            Ok(standing)
        })
        .await
    }
}

pub(super) fn open(db: &Connection, estimate: &Estimate) -> Result<()> {
    let Estimate { record, total, reportable } = estimate;
    db.prepare_cached("INSERT INTO estimates VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        signed(*record),
        total.meter,
        total.customer,
        total.period_start,
        reportable
    ])?;
    add_open(db, total, *reportable)
}

/// Settles the estimate of a record, if it was one.
pub(super) fn close(db: &Connection, record: u64) -> Result<()> {
    let mut closed = db.prepare_cached(
        "DELETE FROM estimates WHERE record = ?1 RETURNING meter, customer, period_start, reportable",
    )?;
    let closed: Vec<(TotalKey, i64)> = closed
        .query_map([signed(record)], |row| {
            let total = TotalKey { meter: row.get(0)?, customer: row.get(1)?, period_start: row.get(2)? };
            Ok((total, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    closed.iter().try_for_each(|(total, reportable)| add_open(db, total, -reportable))
}

fn add_open(db: &Connection, total: &TotalKey, reportable: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE totals SET open = open + ?4 WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
    )?
    .execute(params![total.customer, total.meter, total.period_start, reportable])?;
    Ok(())
}
