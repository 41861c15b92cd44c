//! What members of a customer have used: sums of the ledger beside the totals, folded with them, under tiers that cap
//! members alone.

use rusqlite::{Connection, params};

use super::{Result, Store, unsigned};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey {
    pub customer: u32,
    pub period_start: i64,
    pub member: u32,
    pub meter: u32,
}

/// What a batch of records adds; corrections are negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberUnits {
    pub period_end: i64,
    pub units: i64,
}

/// The units of one member and meter in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTotal {
    /// 0: of all together who are beyond the most that were asked for.
    pub member: u32,
    pub meter: u32,
    pub units: u64,
}

impl Store {
    /// What the members of a customer have used in the period that starts at `period_start`: each of the first `most`,
    /// by number.
    pub async fn member_totals(
        &self,
        customer: u32,
        period_start: i64,
        most: usize,
    ) -> Result<Vec<MemberTotal>> {
        self.read(move |db| of(db, customer, period_start, most)).await
    }

    /// The names of members, by number.
    pub async fn member_names(&self, members: Vec<u32>) -> Result<Vec<(u32, String)>> {
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT name FROM names WHERE number = ?1")?;
            let name = |number: u32| Ok((number, query.query_row([number], |row| row.get(0))?));
            members.into_iter().map(name).collect()
        })
        .await
    }
}

pub(super) fn of(db: &Connection, customer: u32, period_start: i64, most: usize) -> Result<Vec<MemberTotal>> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut query = db.prepare_cached(
        "SELECT member, meter, units FROM member_totals WHERE customer = ?1 AND period_start = ?2
         ORDER BY member, meter",
    )?;
    let mut rows = query.query(params![customer, period_start])?;
    let (mut totals, mut beyond): (Vec<MemberTotal>, Vec<MemberTotal>) = (Vec::new(), Vec::new());
    let (mut last, mut members) = (0, 0);
    while let Some(row) = rows.next()? {
        let total = MemberTotal { member: row.get(0)?, meter: row.get(1)?, units: unsigned(row.get(2)?) };
        members += usize::from(total.member != last);
        last = total.member;
        if members <= most {
            totals.push(total);
        } else if let Some(known) = beyond.iter_mut().find(|known| known.meter == total.meter) {
            known.units = known.units.saturating_add(total.units);
        } else {
            beyond.push(MemberTotal { member: 0, ..total });
        }
    }
    totals.append(&mut beyond);
    Ok(totals)
}

pub(super) fn add(db: &Connection, key: &MemberKey, added: &MemberUnits) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO member_totals VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET period_end = excluded.period_end, units = units + excluded.units",
    )?
    .execute(params![
        key.customer,
        key.period_start,
        key.member,
        key.meter,
        added.period_end,
        added.units
    ])?;
    Ok(())
}

/// Moves units of a total that belong to the period which begins at `start`, as far as they were counted.
pub(super) fn split(db: &Connection, from: &MemberKey, (start, end): (i64, i64), units: i64) -> Result<()> {
    let counted: i64 = db
        .prepare_cached(
            "SELECT coalesce(sum(units), 0) FROM member_totals
             WHERE customer = ?1 AND period_start = ?2 AND member = ?3 AND meter = ?4",
        )?
        .query_row(params![from.customer, from.period_start, from.member, from.meter], |row| row.get(0))?;
    let moved = units.min(counted);
    if moved > 0 {
        db.prepare_cached(
            "UPDATE member_totals SET units = units - ?5
             WHERE customer = ?1 AND period_start = ?2 AND member = ?3 AND meter = ?4",
        )?
        .execute(params![from.customer, from.period_start, from.member, from.meter, moved])?;
        add(db, &MemberKey { period_start: start, ..*from }, &MemberUnits { period_end: end, units: moved })?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "member_totals_tests.rs"]
mod tests;
