//! Sealing: unreported usage becomes rows of the outbox.
//!
//! A total's `sealed` sum moves and its row is made in one transaction, so that every unit is in exactly one row.
//! A row never spans two periods, and its timestamp lies in the period that it counts in.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::rows::next_sequence;
use crate::store::splitting::{Spanning, edge, spanning};
use crate::store::totals::TotalKey;
use crate::store::{Result, Store, unsigned};

/// What sealing needs to know.
#[derive(Clone, Debug)]
pub struct SealPlan {
    /// Begins every identifier: the ledger's id.
    pub identifier_prefix: String,
    pub naming: Naming,
    /// Meter number and the name of its events at Stripe.
    pub event_names: Vec<(u32, String)>,
    pub scope: SealScope,
    pub now: i64,
    /// So many totals are looked at in one transaction.
    pub limit: u32,
    /// Where the slice before has ended.
    pub after: Option<SealCursor>,
}

/// How the rows' identifiers go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// With the row's own number.
    #[default]
    BySequence,
    /// With the total's numbers, and which of its rows it is: another node of the fleet gives it the same one.
    ByTotal,
}

/// Which totals are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealScope {
    All,
    /// Those whose period ends between two instants.
    Ending {
        from: i64,
        to: i64,
    },
    /// One customer's.
    Customer(u32),
}

/// The last total that a slice has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealCursor {
    customer: u32,
    meter: u32,
    period_start: i64,
    period_end: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    pub rows: usize,
    pub units: u64,
    /// There may be more behind it.
    pub next: Option<SealCursor>,
    /// Not sealed before they have been split.
    pub spanning: Vec<Spanning>,
}

impl Store {
    /// Seals unreported usage of customers with a Stripe customer: one row for each customer, meter and period that
    /// has no unanswered row. Answers how much, and where to go on.
    pub async fn seal(&self, plan: SealPlan) -> Result<Sealed> {
        self.write(move |db| seal(db, &plan)).await
    }

    /// The first end of a period at or after `at`.
    pub async fn next_period_end(&self, at: i64) -> Result<Option<i64>> {
        self.read(move |db| {
            let end = db
                .prepare_cached("SELECT min(period_end) FROM totals WHERE period_end >= ?1")?
                .query_row([at], |row| row.get(0))?;
            Ok(end)
        })
        .await
    }
}

/// A total that has something to seal.
struct Unsealed {
    total: SealCursor,
    stripe_customer: String,
    value: i64,
    last_at_micros: i64,
    /// An earlier row has no answer yet: units wait and merge.
    waits: bool,
    /// Another period begins inside of it.
    spans: bool,
    /// Of its units those that the gateway before a restore may have sent: they have a row of their own.
    restored: i64,
    /// Since when.
    restored_from: Option<i64>,
}

fn seal(db: &Connection, plan: &SealPlan) -> Result<Sealed> {
    let slice = unsealed(db, plan)?;
    let full = slice.len() >= plan.limit as usize;
    let mut sealed =
        Sealed { next: slice.last().map(|last| last.total).filter(|_| full), ..Sealed::default() };
    let next_record: i64 =
        db.prepare_cached("SELECT next_record FROM fold")?.query_row([], |row| row.get(0))?;
    for mut unsealed in slice {
        // What may have been sent before a period's edge was known is looked for where it would have been sent.
        if unsealed.spans && unsealed.restored == 0 {
            let SealCursor { customer, meter, period_start, .. } = unsealed.total;
            sealed.spanning.push(spanning(db, TotalKey { customer, meter, period_start })?);
            continue;
        }
        let name = plan.event_names.iter().find(|(meter, _)| *meter == unsealed.total.meter);
        let Some((_, event_name)) = name.filter(|_| !unsealed.waits && unsealed.value > 0) else { continue };
        if unsealed.restored > 0 {
            unsealed.value = unsealed.value.min(unsealed.restored);
            no_longer_restored(db, &unsealed.total)?;
        }
        move_sealed(db, &unsealed.total, unsealed.total.period_start, unsealed.value)?;
        unsealed.value -= use_credit(db, &unsealed)?;
        if unsealed.value > 0 {
            insert(db, plan, &unsealed, event_name, next_record)?;
            sealed.rows += 1;
            sealed.units += unsigned(unsealed.value);
        }
    }
    Ok(sealed)
}

/// What was taken back after it had been sealed, in whatever period, comes off the next batch. Answers how much.
fn use_credit(db: &Connection, unsealed: &Unsealed) -> Result<i64> {
    let mut in_credit = db.prepare_cached(
        "SELECT period_start, sealed - reportable FROM totals
         WHERE customer = ?1 AND meter = ?2 AND sealed > reportable",
    )?;
    let total = &unsealed.total;
    let credits: Vec<(i64, i64)> = in_credit
        .query_map(params![total.customer, total.meter], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut used = 0;
    for (period_start, credit) in credits {
        let part = credit.min(unsealed.value - used);
        move_sealed(db, total, period_start, -part)?;
        used += part;
    }
    Ok(used)
}

fn move_sealed(db: &Connection, total: &SealCursor, period_start: i64, units: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE totals SET sealed = sealed + ?4 WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
    )?
    .execute(params![total.customer, total.meter, period_start, units])?;
    Ok(())
}

fn no_longer_restored(db: &Connection, total: &SealCursor) -> Result<()> {
    db.prepare_cached(
        "UPDATE totals SET restored = 0 WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
    )?
    .execute(params![total.customer, total.meter, total.period_start])?;
    Ok(())
}

/// The next totals with something to seal, in an order that goes on behind a cursor. A total that has to wait is
/// looked at all the same: so a slice is bounded, however many wait.
fn unsealed(db: &Connection, plan: &SealPlan) -> Result<Vec<Unsealed>> {
    let mut query = db.prepare_cached(&question(plan))?;
    let rows = query.query_map(params_from_iter(arguments(plan)), read_unsealed)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Each of its parts finds its rows in an index, however many totals and rows there are beside them.
fn question(plan: &SealPlan) -> String {
    let (within, order) = match (plan.scope, plan.after) {
        (SealScope::All, None) => ("", "t.customer, t.meter, t.period_start"),
        (SealScope::All, Some(_)) => {
            ("AND (t.customer, t.meter, t.period_start) > (?, ?, ?)", "t.customer, t.meter, t.period_start")
        }
        (SealScope::Customer(_), None) => ("AND t.customer = ?", "t.customer, t.meter, t.period_start"),
        (SealScope::Customer(_), Some(_)) => (
            "AND (t.customer, t.meter, t.period_start) > (?, ?, ?) AND t.customer = ?",
            "t.customer, t.meter, t.period_start",
        ),
        (SealScope::Ending { .. }, None) => {
            ("AND t.period_end BETWEEN ? AND ?", "t.period_end, t.customer, t.meter, t.period_start")
        }
        (SealScope::Ending { .. }, Some(_)) => (
            "AND (t.period_end, t.customer, t.meter, t.period_start) > (?, ?, ?, ?) AND t.period_end <= ?",
            "t.period_end, t.customer, t.meter, t.period_start",
        ),
    };
    format!(
        "SELECT t.customer, t.meter, t.period_start, t.period_end, c.stripe_customer,
                t.reportable - t.sealed - t.open, t.last_at_micros,
                EXISTS (SELECT 1 FROM outbox o WHERE o.state = 'pending' AND o.kind = 'usage' AND o.fence IS NULL
                        AND o.customer = t.customer AND o.meter = t.meter AND o.period_start = t.period_start),
                EXISTS (SELECT 1 FROM subscriptions s WHERE {}), t.restored, t.restored_from
         FROM totals t JOIN customers c ON c.number = t.customer
         WHERE t.sealable AND t.reportable > t.sealed {within} ORDER BY {order} LIMIT ?",
        edge("t.last_at_micros")
    )
}

/// In the order of the question marks above.
fn arguments(plan: &SealPlan) -> Vec<Value> {
    let behind = plan.after.map(|after| [after.customer.into(), after.meter.into(), after.period_start]);
    let mut values: Vec<i64> = match (plan.scope, plan.after) {
        (SealScope::All | SealScope::Customer(_), _) | (_, None) => Vec::new(),
        (SealScope::Ending { .. }, Some(after)) => vec![after.period_end],
    };
    values.extend(behind.into_iter().flatten());
    match plan.scope {
        SealScope::All => {}
        SealScope::Ending { from, to } => {
            values.extend(plan.after.is_none().then_some(from));
            values.push(to);
        }
        SealScope::Customer(number) => values.push(number.into()),
    }
    values.push(plan.limit.into());
    values.into_iter().map(Value::from).collect()
}

fn read_unsealed(row: &Row<'_>) -> rusqlite::Result<Unsealed> {
    Ok(Unsealed {
        total: SealCursor {
            customer: row.get(0)?,
            meter: row.get(1)?,
            period_start: row.get(2)?,
            period_end: row.get(3)?,
        },
        stripe_customer: row.get(4)?,
        value: row.get(5)?,
        last_at_micros: row.get(6)?,
        waits: row.get(7)?,
        spans: row.get(8)?,
        restored: row.get(9)?,
        restored_from: row.get(10)?,
    })
}

fn insert(
    db: &Connection,
    plan: &SealPlan,
    unsealed: &Unsealed,
    event_name: &str,
    next_record: i64,
) -> Result<()> {
    let sequence = next_sequence(db)?;
    let total = &unsealed.total;
    // Of its last unit, so that a batch sealed just after the edge still lies in the old period; inside the period,
    // whatever the clock did.
    let inside = |at: i64| at.min(total.period_end - 1).max(total.period_start);
    let timestamp = inside(unsealed.last_at_micros.div_euclid(1_000_000));
    let sought_from = unsealed.restored_from.filter(|_| unsealed.restored > 0).map(inside);
    // What the gateway before a restore may have sent lies where it can have done so.
    db.prepare_cached(
        "INSERT INTO outbox (sequence, identifier, customer, meter, period_start, stripe_customer, event_name,
                             value, timestamp, next_record, sealed_at, next_try_at, sought_from, sought_until,
                             first_tried_at, last_tried_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, min(?9, coalesce(sought_until, ?9)), ?10, ?11, ?11, ?12, sought_until,
                tried.at, tried.at
         FROM (SELECT at, max(at, ?12) AS sought_until
               FROM (SELECT iif(?12 IS NULL, NULL, (SELECT CAST(CAST(value AS TEXT) AS INTEGER)
                                                    FROM meta WHERE key = 'restored_at')) AS at)) tried",
    )?
    .execute(params![
        sequence,
        identifier(db, plan, total, sequence)?,
        total.customer,
        total.meter,
        total.period_start,
        unsealed.stripe_customer,
        event_name,
        unsealed.value,
        timestamp,
        next_record,
        plan.now,
        sought_from,
    ])?;
    Ok(())
}

fn identifier(db: &Connection, plan: &SealPlan, total: &SealCursor, sequence: i64) -> Result<String> {
    let prefix = &plan.identifier_prefix;
    let SealCursor { customer, meter, period_start, .. } = *total;
    if plan.naming == Naming::BySequence {
        return Ok(format!("{prefix}-{sequence}"));
    }
    let row: i64 = db
        .prepare_cached(
            "UPDATE totals SET sealed_rows = sealed_rows + 1
             WHERE customer = ?1 AND meter = ?2 AND period_start = ?3 RETURNING sealed_rows",
        )?
        .query_row(params![customer, meter, period_start], |row| row.get(0))?;
    Ok(row_of_total(prefix, TotalKey { customer, meter, period_start }, row))
}

/// The identifier of a total's n-th row, on every machine.
pub fn row_of_total(prefix: &str, total: TotalKey, row: i64) -> String {
    let TotalKey { customer, meter, period_start } = total;
    format!("{prefix}-{customer}-{meter}-{period_start}-{row}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the question is answered, line by line.
    async fn planned(scope: SealScope, after: Option<SealCursor>) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        let plan = SealPlan {
            identifier_prefix: String::new(),
            naming: Naming::BySequence,
            event_names: vec![],
            scope,
            now: 0,
            limit: 9,
            after,
        };
        let explained = store.read(move |db| {
            let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {}", question(&plan)))?;
            let lines = query.query_map(params_from_iter(arguments(&plan)), |row| row.get::<_, String>(3))?;
            Ok(lines.collect::<rusqlite::Result<Vec<_>>>()?.join("\n"))
        });
        explained.await.expect("explains")
    }

    #[tokio::test]
    async fn no_slice_reads_what_has_been_sealed_or_looked_at() {
        let after = SealCursor { customer: 1, meter: 1, period_start: 0, period_end: 9 };
        let ending = SealScope::Ending { from: 0, to: 9 };
        for (scope, after, by) in [
            (SealScope::All, None, "SCAN t USING INDEX totals_to_seal"),
            (SealScope::All, Some(after), "totals_to_seal ((customer,meter,period_start)>(?,?,?))"),
            (SealScope::Customer(1), None, "SEARCH t USING PRIMARY KEY (customer=?)"),
            (ending, None, "totals_ending (period_end>? AND period_end<?)"),
            (ending, Some(after), "totals_ending ((period_end,customer,meter,period_start)>(?,?,?,?) AND"),
        ] {
            let plan = planned(scope, after).await;
            assert!(plan.contains(by), "{plan}");
            assert!(plan.contains("outbox_one_unanswered"), "not all rows of a total: {plan}");
        }
    }
}
