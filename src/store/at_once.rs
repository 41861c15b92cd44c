//! What all customers had at one moment, read beside a running gateway.

use std::collections::HashMap;

use super::adjustments::{self, OverrideRow};
use super::reading::{StoreReader, folded};
use super::subscriptions::read_facts;
use super::{Result, TotalKey, TotalUnits};
use crate::domain::credits::Lot;
use crate::domain::subscription::Facts;

/// All of it, of one moment.
#[derive(Debug, Default)]
pub struct AtOnce {
    /// Records from this number on are not in it.
    pub next_record: u64,
    /// Of periods that had not ended by the instant that was asked for.
    pub totals: HashMap<TotalKey, TotalUnits>,
    /// What is left of grants, negative where more was spent, by customer.
    pub lots: HashMap<u32, Vec<(Lot, i64)>>,
    /// With the subscriptions of those whom they are set for.
    pub overrides: HashMap<u32, (OverrideRow, Vec<Facts>)>,
}

impl StoreReader {
    /// What is counted of periods that end behind `from`, with grants and overrides.
    pub fn at_once(&self, from: i64) -> Result<AtOnce> {
        let db = &self.db;
        db.execute_batch("BEGIN")?;
        let mut found = AtOnce { next_record: folded(db)?.2, ..AtOnce::default() };
        let mut query = db.prepare(
            "SELECT customer, meter, period_start, included, credits, overage, extra, uncovered FROM totals
             WHERE period_end > ?1",
        )?;
        let mut rows = query.query([from])?;
        while let Some(row) = rows.next()? {
            let key = TotalKey { customer: row.get(0)?, meter: row.get(1)?, period_start: row.get(2)? };
            let units = TotalUnits {
                included: row.get(3)?,
                credits: row.get(4)?,
                overage: row.get(5)?,
                extra: row.get(6)?,
                uncovered: row.get(7)?,
                ..TotalUnits::default()
            };
            found.totals.insert(key, units);
        }
        let mut query = db.prepare(
            "SELECT c.customer, c.id, coalesce(l.units, 0), c.expires_at
             FROM credits c LEFT JOIN credit_lots l ON l.customer = c.customer AND l.grant_id = c.id
             WHERE c.kind = 'granted'",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let lot = Lot { grant: row.get(1)?, units: 0, expires_at: row.get(3)? };
            found.lots.entry(row.get(0)?).or_default().push((lot, row.get(2)?));
        }
        let mut query = db.prepare("SELECT customer FROM overrides")?;
        let mut subscriptions = db.prepare(
            "SELECT s.facts FROM customers c JOIN subscriptions s ON s.stripe_customer = c.stripe_customer
             WHERE c.number = ?1 ORDER BY s.id",
        )?;
        for customer in query.query_map([], |row| row.get(0))? {
            let customer = customer?;
            let Some(set) = adjustments::of(db, customer)?.overridden else { continue };
            let facts = subscriptions.query_map([customer], |row| row.get::<_, String>(0))?;
            let facts = facts.map(|facts| read_facts(&facts?)).collect::<Result<_>>()?;
            found.overrides.insert(customer, (set, facts));
        }
        db.execute_batch("COMMIT")?;
        Ok(found)
    }
}
