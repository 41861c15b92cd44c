//! Splitting: news of a period's edge that comes late may find usage from both sides of it in one total. What lies
//! behind the edge moves to the period that begins there, before any of it is sealed.

use rusqlite::{Connection, OptionalExtension, params};

use super::member_totals::{self, MemberKey};
use super::totals::TotalKey;
use super::{Result, Store, unsigned};

/// The period of a customer's subscription that begins inside what the total `t` holds up to an instant. Of several
/// subscriptions only the one that counts has periods: the others' say nothing of where usage belongs.
pub(super) fn edge(last_at_micros: &str) -> String {
    format!(
        "s.stripe_customer = c.stripe_customer
         AND NOT EXISTS (SELECT 1 FROM subscriptions better WHERE better.stripe_customer = s.stripe_customer
                         AND better.window_start IS NOT NULL
                         AND (better.window_rank, better.id) > (s.window_rank, s.id))
         AND s.window_start > t.period_start AND s.window_start < t.period_end
         AND s.window_start * 1000000 > t.first_at_micros AND s.window_start * 1000000 <= {last_at_micros}"
    )
}

/// A total that holds usage from both sides of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanning {
    pub total: TotalKey,
    /// The period that begins inside of it.
    pub start: i64,
    pub end: i64,
}

/// A total as it stood when the ledger was read for its split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitBase {
    /// It holds the records below this number.
    pub next_record: u64,
    included: i64,
    extra: i64,
    credits: i64,
    overage: i64,
    uncovered: i64,
}

/// The part of a total behind the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub included: i64,
    pub extra: i64,
    pub credits: i64,
    pub overage: i64,
    pub uncovered: i64,
    pub reportable: i64,
    pub last_at_micros: i64,
}

impl Store {
    /// None while an estimate in it is open, or when there is no such total.
    pub async fn split_base(&self, total: TotalKey) -> Result<Option<SplitBase>> {
        self.read(move |db| base(db, total)).await
    }

    /// Moves what lies behind the edge, unless the total has changed since `base`. Answers whether it was moved.
    /// `members`: how much of that is whose.
    pub async fn split(
        &self,
        spanning: Spanning,
        base: SplitBase,
        moved: Moved,
        members: Vec<(u32, i64)>,
        now: i64,
    ) -> Result<bool> {
        self.write(move |db| {
            let is_split = split(db, spanning, base, moved, now)?;
            if is_split {
                members.iter().try_for_each(|(member, units)| split_member(db, spanning, *member, *units))?;
            }
            Ok(is_split)
        })
        .await
    }
}

fn split_member(db: &Connection, spanning: Spanning, member: u32, units: i64) -> Result<()> {
    let Spanning { total: TotalKey { customer, meter, period_start }, start, end } = spanning;
    member_totals::split(db, &MemberKey { customer, period_start, member, meter }, (start, end), units)
}

/// The first edge inside a total.
pub(super) fn spanning(db: &Connection, total: TotalKey) -> Result<Spanning> {
    let mut edge = db.prepare_cached(&format!(
        "SELECT s.window_start, s.window_end
         FROM totals t JOIN customers c ON c.number = t.customer JOIN subscriptions s
         WHERE t.customer = ?1 AND t.meter = ?2 AND t.period_start = ?3 AND {}
         ORDER BY s.window_start LIMIT 1",
        edge("t.last_at_micros")
    ))?;
    let of_total = params![total.customer, total.meter, total.period_start];
    Ok(edge.query_row(of_total, |row| Ok(Spanning { total, start: row.get(0)?, end: row.get(1)? }))?)
}

fn base(db: &Connection, total: TotalKey) -> Result<Option<SplitBase>> {
    let found = db
        .prepare_cached(
            "SELECT fold.next_record, included, credits, overage, extra, uncovered FROM totals, fold
             WHERE customer = ?1 AND meter = ?2 AND period_start = ?3 AND open = 0",
        )?
        .query_row(params![total.customer, total.meter, total.period_start], |row| {
            Ok(SplitBase {
                next_record: unsigned(row.get(0)?),
                included: row.get(1)?,
                credits: row.get(2)?,
                overage: row.get(3)?,
                extra: row.get(4)?,
                uncovered: row.get(5)?,
            })
        })
        .optional()?;
    Ok(found)
}

fn split(db: &Connection, spanning: Spanning, read: SplitBase, moved: Moved, now: i64) -> Result<bool> {
    let Spanning { total, start, end } = spanning;
    let found = base(db, total)?;
    if found.map(|found| SplitBase { next_record: read.next_record, ..found }) != Some(read) {
        return Ok(false);
    }
    let edge_micros = start.saturating_mul(1_000_000);
    db.prepare_cached(
        "UPDATE totals SET included = included - ?4, credits = credits - ?5, overage = overage - ?6,
                           reportable = reportable - ?7, last_at_micros = ?8, extra = extra - ?9,
                           uncovered = uncovered - ?10
         WHERE customer = ?1 AND meter = ?2 AND period_start = ?3",
    )?
    .execute(params![
        total.customer,
        total.meter,
        total.period_start,
        moved.included,
        moved.credits,
        moved.overage,
        moved.reportable,
        edge_micros - 1,
        moved.extra,
        moved.uncovered,
    ])?;
    db.prepare_cached(
        "INSERT INTO totals (customer, meter, period_start, period_end, included, credits, overage, reportable,
                             first_at_micros, last_at_micros, extra, uncovered, sealable)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 1)
         ON CONFLICT DO UPDATE SET
             included = included + excluded.included,
             extra = extra + excluded.extra,
             uncovered = uncovered + excluded.uncovered,
             credits = credits + excluded.credits,
             overage = overage + excluded.overage,
             reportable = reportable + excluded.reportable,
             first_at_micros = min(first_at_micros, excluded.first_at_micros),
             last_at_micros = max(last_at_micros, excluded.last_at_micros)",
    )?
    .execute(params![
        total.customer,
        total.meter,
        start,
        end,
        moved.included,
        moved.credits,
        moved.overage,
        moved.reportable,
        edge_micros,
        moved.last_at_micros.max(edge_micros),
        moved.extra,
        moved.uncovered,
    ])?;
    let detail = format!(
        "{} units used since {start} moved to the period that began then",
        moved.included + moved.extra + moved.credits + moved.overage + moved.uncovered
    );
    super::audit::add(db, now, "period_split", Some(total.customer), &detail)?;
    Ok(true)
}
