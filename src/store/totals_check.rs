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
    pub extra: i64,
    pub credits: i64,
    pub overage: i64,
    pub uncovered: i64,
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
                 SELECT customer, meter, period_start, period_end, included, credits, overage, extra,
                        uncovered FROM totals;",
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
            "INSERT INTO temp.unexplained VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET included = included + excluded.included,
                 credits = credits + excluded.credits, overage = overage + excluded.overage,
                 extra = extra + excluded.extra, uncovered = uncovered + excluded.uncovered",
        )?;
        for (key, units) in sums {
            let TotalUnits { included, extra, credits, overage, uncovered, .. } = units;
            let TotalKey { customer, meter, period_start } = key;
            let key =
                params![customer, meter, period_start, -included, -credits, -overage, -extra, -uncovered];
            take.execute(key)?;
        }
        db.execute_batch("COMMIT")?;
        Ok(())
    }

    /// What is left over, in periods that began at or after `from`. A boundary that was learned later may have moved
    /// units from one period of a customer to the next, so periods are added up; and one that begins inside of an older
    /// one, which is left out, is left out too: its records may name the older.
    pub fn differences(&self, from: i64) -> Result<Vec<TotalDifference>> {
        let mut query = self.store.db.prepare(
            "SELECT customer, meter, sum(included), sum(credits), sum(overage), sum(extra), sum(uncovered)
             FROM temp.unexplained u
             WHERE period_start >= ?1 AND NOT EXISTS (
                 SELECT 1 FROM temp.unexplained older
                 WHERE older.customer = u.customer AND older.meter = u.meter
                   AND older.period_start < ?1 AND older.period_end > u.period_start)
             GROUP BY customer, meter
             HAVING sum(included) <> 0 OR sum(credits) <> 0 OR sum(overage) <> 0 OR sum(extra) <> 0
                 OR sum(uncovered) <> 0",
        )?;
        let rows = query.query_map([from], |row| {
            Ok(TotalDifference {
                customer: row.get(0)?,
                meter: row.get(1)?,
                included: row.get(2)?,
                credits: row.get(3)?,
                overage: row.get(4)?,
                extra: row.get(5)?,
                uncovered: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    /// Differences after 10 units have been recorded in a period from 0 to 100, of which 4 were moved to the one that
    /// began at 50, as they are seen when all segments from before `from` have gone.
    fn differences_from(from: i64) -> Vec<TotalDifference> {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        store
            .write_blocking(|db| {
                let total = "INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage,
                                 reportable, first_at_micros, last_at_micros, sealable) VALUES (1, 1, ";
                Ok(db.execute_batch(&format!(
                    "{total} 0, 100, 6, 0, 0, 6, 0, 0, 1); {total} 50, 150, 4, 0, 0, 4, 0, 0, 1);"
                ))?)
            })
            .expect("totals");
        let reader = StoreReader::open(folder.path()).expect("opens");
        let check = reader.check_totals().expect("copies");
        let units = TotalUnits { included: 10, ..TotalUnits::default() };
        let key = TotalKey { customer: 1, meter: 1, period_start: 0 };
        check.take_off(&HashMap::from([(key, units)])).expect("takes off");
        check.differences(from).expect("compares")
    }

    #[test]
    fn units_that_were_moved_out_of_a_period_that_is_not_compared_are_no_difference() {
        assert_eq!(differences_from(i64::MIN), []);
        assert_eq!(differences_from(25), []);
    }
}
