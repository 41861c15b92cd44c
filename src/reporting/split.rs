//! Splitting totals at edges that were learned late, by reading the ledger again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::catalogue::Report;
use crate::ledger::{Kind, Ledger, Record};
use crate::store::{Moved, Spanning, SplitBase, Store, StoreError, TotalKey};

/// Records are appended a little after the instant that they carry.
const SLACK_SECONDS: i64 = 60;

/// What the ledger says of one total that spans an edge.
struct Part {
    spanning: Spanning,
    base: SplitBase,
    moved: Moved,
    /// The records that move; their corrections move with them.
    records: HashSet<u64>,
    /// Units that move, by member.
    members: HashMap<u32, i64>,
}

/// Splits totals; one that changes meanwhile is left for the next time. Answers whose were split.
pub(super) async fn split(
    store: &Store,
    ledger: &Arc<Ledger>,
    report: Report,
    spanning: Vec<Spanning>,
    now: i64,
) -> Result<Vec<u32>, StoreError> {
    let mut parts: HashMap<TotalKey, Part> = HashMap::new();
    for spanning in spanning {
        if let Some(base) = store.split_base(spanning.total).await? {
            let (moved, records, members) = (Moved::default(), HashSet::new(), HashMap::new());
            parts.insert(spanning.total, Part { spanning, base, moved, records, members });
        }
    }
    let ledger = ledger.clone();
    let read = tokio::task::spawn_blocking(move || collect(&ledger, report, parts));
    let parts = read.await.map_err(|error| StoreError::Unreadable(error.to_string()))?;
    let parts = parts.map_err(|error| StoreError::Unreadable(format!("the ledger: {error}")))?;
    let mut split = Vec::new();
    for part in parts.into_values() {
        let members = part.members.into_iter().collect();
        let moved = store.split(part.spanning, part.base, part.moved, members, now).await?;
        split.extend(moved.then_some(part.spanning.total.customer));
        tracing::info!(
            customer = part.spanning.total.customer,
            edge = part.spanning.start,
            moved,
            "a period's edge was learned late: usage behind it belongs to the new period"
        );
    }
    Ok(split)
}

fn collect(
    ledger: &Ledger,
    report: Report,
    mut parts: HashMap<TotalKey, Part>,
) -> std::io::Result<HashMap<TotalKey, Part>> {
    let Some(first_edge) = parts.values().map(|part| part.spanning.start).min() else { return Ok(parts) };
    let survey = ledger.survey()?;
    let mut next = 0;
    // Somebody waits: an hour of the ledger for a clock that was set back would be too much.
    for segment in survey.written_since(first_edge.saturating_sub(SLACK_SECONDS).saturating_mul(1_000_000)) {
        next = survey.records(segment, next, |record| {
            if !record.in_shadow {
                add(&mut parts, record, report);
            }
        })?;
    }
    Ok(parts)
}

fn add(parts: &mut HashMap<TotalKey, Part>, record: &Record, report: Report) {
    for draw in &record.draws {
        let total =
            TotalKey { customer: record.customer, meter: draw.meter, period_start: record.period.start };
        let Some(part) = parts.get_mut(&total).filter(|part| record.number < part.base.next_record) else {
            continue;
        };
        let lies_behind = match record.kind {
            Kind::Correction { of } => part.records.contains(&of),
            Kind::Charge | Kind::Estimate | Kind::Slice { .. } => {
                record.at_micros >= part.spanning.start.saturating_mul(1_000_000)
            }
        };
        if !lies_behind {
            continue;
        }
        part.records.insert(record.number);
        part.moved.included += draw.included;
        part.moved.extra += draw.extra;
        part.moved.credits += draw.credits;
        part.moved.overage += draw.overage;
        part.moved.uncovered += draw.uncovered;
        part.moved.reportable += report.reportable(draw.included, draw.overage);
        if record.counts_for_member {
            *part.members.entry(record.member).or_default() += draw.units();
        }
        part.moved.last_at_micros = part.moved.last_at_micros.max(record.at_micros);
    }
}
