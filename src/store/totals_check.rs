//! Whether the totals are the sums of the ledger's records.
//!
//! The totals are copied aside together with the position they reach, in one snapshot; then every record before that
//! position is taken off again. What is left over is a difference. The copy is a temporary table, which spills to disk:
//! memory does not grow with the number of customers.

use std::collections::HashMap;

use rusqlite::params;

use super::reading::{StoreReader, folded};
use super::{Result, TotalKey, TotalUnits};

/// A customer and meter whose totals are not the sums of their records: what the store has more than the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalDifference {
    pub customer: u32,
    pub meter: u32,
    pub included: i64,
    pub credits: i64,
    pub overage: i64,
}

/// Totals copied aside.
pub struct TotalsCheck<'a> {
    store: &'a StoreReader,
    /// Segment, offset and next record number that the copied totals reach.
    pub folded: (u64, u64, u64),
}

impl StoreReader {
    /// Copies the totals aside, with the position that they reach.
    pub fn check_totals(&self) -> Result<TotalsCheck<'_>> {
        self.db.execute_batch(
            "BEGIN;
             CREATE TEMP TABLE unexplained AS
                 SELECT customer, meter, period_start, included, credits, overage FROM totals;",
        )?;
        let folded = folded(&self.db)?;
        self.db.execute_batch(
            "CREATE UNIQUE INDEX temp.unexplained_key ON unexplained (customer, meter, period_start);
             COMMIT;",
        )?;
        Ok(TotalsCheck { store: self, folded })
    }
}

impl TotalsCheck<'_> {
    /// Takes the sums of some records off.
    pub fn take_off(&self, sums: &HashMap<TotalKey, TotalUnits>) -> Result<()> {
        let db = &self.store.db;
        db.execute_batch("BEGIN")?;
        let mut take = db.prepare_cached(
            "INSERT INTO temp.unexplained VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET included = included + excluded.included,
                 credits = credits + excluded.credits, overage = overage + excluded.overage",
        )?;
        for (key, units) in sums {
            let TotalUnits { included, credits, overage, .. } = units;
            take.execute(params![key.customer, key.meter, key.period_start, -included, -credits, -overage])?;
        }
        db.execute_batch("COMMIT")?;
        Ok(())
    }

    /// What is left over, in periods that began at or after `from`. A boundary that was learned later may have moved
    /// units from one period of a customer to the next, so periods are added up.
    pub fn differences(&self, from: i64) -> Result<Vec<TotalDifference>> {
        let mut query = self.store.db.prepare(
            "SELECT customer, meter, sum(included), sum(credits), sum(overage) FROM temp.unexplained
             WHERE period_start >= ?1 GROUP BY customer, meter
             HAVING sum(included) <> 0 OR sum(credits) <> 0 OR sum(overage) <> 0",
        )?;
        let rows = query.query_map([from], |row| {
            Ok(TotalDifference {
                customer: row.get(0)?,
                meter: row.get(1)?,
                included: row.get(2)?,
                credits: row.get(3)?,
                overage: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
