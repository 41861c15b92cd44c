//! Totals: the ledger's sums, and the position that they reach.

use hashbrown::HashMap;
use rusqlite::{Connection, params};

use super::credits::{self, CreditKey, CreditUse};
use super::estimates::{self, Estimate};
use super::idempotency::{self, KeyNews};
use super::member_totals::{self, MemberKey, MemberUnits};
use super::reading::folded;
use super::{Result, Store, StoreError, signed, unsigned};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TotalKey {
    pub customer: u32,
    pub meter: u32,
    pub period_start: i64,
}

/// What a batch of records adds to a total; corrections are negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalUnits {
    pub period_end: i64,
    pub included: i64,
    pub extra: i64,
    pub credits: i64,
    pub overage: i64,
    pub uncovered: i64,
    pub reportable: i64,
    pub first_at_micros: i64,
    pub last_at_micros: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HourKey {
    pub customer: u32,
    pub hour: i64,
    pub route: u32,
    pub meter: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourUnits {
    pub units: i64,
    pub requests: i64,
}

/// What a stretch of the ledger adds, and where it ends.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub totals: HashMap<TotalKey, TotalUnits>,
    pub hours: HashMap<HourKey, HourUnits>,
    /// Of members whom a tier caps.
    pub members: HashMap<MemberKey, MemberUnits>,
    /// Charges whose truth is still to come.
    pub estimates: Vec<Estimate>,
    /// Records that have been corrected: estimates among them are settled.
    pub corrected: Vec<u64>,
    /// In the order of the records.
    pub keys: Vec<KeyNews>,
    pub credits: HashMap<CreditKey, CreditUse>,
    /// Segment and offset at which it begins.
    pub from: (u64, u64),
    pub segment: u64,
    pub offset: u64,
    pub next_record: u64,
}

impl Batch {
    /// How many rows it changes: what it takes of memory, and of the writer's time.
    pub fn changes(&self) -> usize {
        let sums = self.totals.len() + self.hours.len() + self.members.len();
        sums + self.keys.len() + self.credits.len() + self.estimates.len() + self.corrected.len()
    }
}

/// How far the ledger has been folded, and the sums of one customer and period by meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    pub meter: u32,
    /// Included and overage units; what counts against a quota.
    pub used: u64,
    /// Beside those: drawn on an override, drawn on credits.
    pub extra: u64,
    pub credits: u64,
    /// Paid for by nothing.
    pub uncovered: u64,
}

/// Units by meter number.
pub type UnitsByMeter = Vec<(u32, u64)>;

impl Store {
    /// Segment, offset and next record number of what has been folded.
    pub fn folded(&self) -> Result<(u64, u64, u64)> {
        self.read_blocking(folded)
    }

    /// Adds a batch and moves the position, in one transaction. Refused when the position is not where the batch
    /// began: a batch counts once.
    pub fn fold(&self, batch: Batch) -> Result<()> {
        self.write_blocking(move |db| {
            let moved = db
                .prepare_cached(
                    "UPDATE fold SET segment = ?1, offset = ?2, next_record = ?3 WHERE segment = ?4 AND offset = ?5",
                )?
                .execute(params![
                    signed(batch.segment),
                    signed(batch.offset),
                    signed(batch.next_record),
                    signed(batch.from.0),
                    signed(batch.from.1),
                ])?;
            if moved != 1 {
                return Err(StoreError::Unreadable("the ledger was folded by somebody else".into()));
            }
            for (key, units) in in_order(&batch.totals) {
                add_total(db, key, units)?;
            }
            for (key, units) in in_order(&batch.hours) {
                add_hour(db, key, units)?;
            }
            for (key, units) in in_order(&batch.members) {
                member_totals::add(db, key, units)?;
            }
            batch.estimates.iter().try_for_each(|estimate| estimates::open(db, estimate))?;
            batch.corrected.iter().try_for_each(|record| estimates::close(db, *record))?;
            batch.keys.iter().try_for_each(|news| idempotency::apply(db, news))?;
            credits::apply(db, &in_order(&batch.credits))
        })
    }

    /// What a customer has used in the period that starts at `period_start`.
    pub async fn totals(&self, customer: u32, period_start: i64) -> Result<Vec<Total>> {
        self.read(move |db| of(db, customer, period_start)).await
    }

    /// Units not sealed yet by meter: of customers with a Stripe customer, and of those without (or from before
    /// they had one).
    pub async fn unsealed_units(&self) -> Result<(UnitsByMeter, UnitsByMeter)> {
        self.scan(|db| {
            let unsealed = "SELECT meter, sum(reportable - sealed) FROM totals
                            WHERE sealable AND reportable > sealed GROUP BY meter";
            Ok((sums(db, unsealed)?, sums(db, "SELECT meter, units FROM unlinked")?))
        })
        .await
    }
}

/// What a customer has used in the period that starts at `period_start`.
pub(super) fn of(db: &Connection, customer: u32, period_start: i64) -> Result<Vec<Total>> {
    let mut query = db.prepare_cached(
        "SELECT meter, included + overage, extra, credits, uncovered FROM totals
         WHERE customer = ?1 AND period_start = ?2",
    )?;
    let rows = query.query_map(params![customer, period_start], |row| {
        Ok(Total {
            meter: row.get(0)?,
            used: unsigned(row.get(1)?),
            extra: unsigned(row.get(2)?),
            credits: unsigned(row.get(3)?),
            uncovered: unsigned(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Neighbours in the table are changed one after the other: each of its pages is visited once.
fn in_order<K: Ord, V>(sums: &HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut sums: Vec<_> = sums.iter().collect();
    sums.sort_unstable_by(|a, b| a.0.cmp(b.0));
    sums
}

fn add_total(db: &Connection, key: &TotalKey, units: &TotalUnits) -> Result<()> {
    // What waits for a link is counted; of anonymous callers nothing does.
    let waits_for_nobody: bool = db
        .prepare_cached(
            "INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage, reportable,
                                 first_at_micros, last_at_micros, extra, uncovered, sealable)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                     coalesce((SELECT linked_at < ?4 FROM customers WHERE number = ?1), 0))
             ON CONFLICT DO UPDATE SET
                 period_end = excluded.period_end,
                 included = included + excluded.included,
                 extra = extra + excluded.extra,
                 uncovered = uncovered + excluded.uncovered,
                 credits = credits + excluded.credits,
                 overage = overage + excluded.overage,
                 reportable = reportable + excluded.reportable,
                 first_at_micros = min(first_at_micros, excluded.first_at_micros),
                 last_at_micros = max(last_at_micros, excluded.last_at_micros)
             RETURNING sealable OR coalesce((SELECT is_anonymous FROM customers WHERE number = ?1), 0)",
        )?
        .query_row(
            params![
                key.customer,
                key.meter,
                key.period_start,
                units.period_end,
                units.included,
                units.credits,
                units.overage,
                units.reportable,
                units.first_at_micros,
                units.last_at_micros,
                units.extra,
                units.uncovered,
            ],
            |row| row.get(0),
        )?;
    if !waits_for_nobody {
        add_unlinked(db, key.meter, units.reportable)?;
    }
    Ok(())
}

fn add_unlinked(db: &Connection, meter: u32, units: i64) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO unlinked VALUES (?1, ?2) ON CONFLICT DO UPDATE SET units = units + excluded.units",
    )?
    .execute(params![meter, units])?;
    Ok(())
}

/// A customer has got their first link: what lies in periods that have not ended can be sealed from now on.
pub(super) fn make_sealable(db: &Connection, customer: u32, now: i64) -> Result<()> {
    let mut waiting = db.prepare_cached(
        "SELECT meter, sum(reportable) FROM totals
         WHERE customer = ?1 AND period_end > ?2 AND NOT sealable GROUP BY meter",
    )?;
    let sums: Vec<(u32, i64)> = waiting
        .query_map(params![customer, now], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (meter, units) in sums {
        add_unlinked(db, meter, -units)?;
    }
    db.prepare_cached("UPDATE totals SET sealable = 1 WHERE customer = ?1 AND period_end > ?2")?
        .execute(params![customer, now])?;
    Ok(())
}

fn add_hour(db: &Connection, key: &HourKey, units: &HourUnits) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO hourly VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET units = units + excluded.units, requests = requests + excluded.requests",
    )?
    .execute(params![key.customer, key.hour, key.route, key.meter, units.units, units.requests])?;
    Ok(())
}

fn sums(db: &Connection, query: &str) -> Result<UnitsByMeter> {
    let mut query = db.prepare_cached(query)?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
