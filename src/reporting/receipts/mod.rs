//! The receipt of one request: what it was charged for, what that was drawn on, and which meter event carried it.
//!
//! Our request ids are `UUIDv7`: their time leads to the segments that can hold the record. An id that a trusted proxy
//! sent has no such time: every segment is searched for it.

mod json;
mod receipt;

use uuid::Uuid;

use crate::domain::catalogue::Report;
use crate::ledger::{Kind, Record, RecordDraw, Segment, Survey};
use crate::store::{StoreError, StoreReader};

pub use json::receipt_json;
pub use receipt::{MeterCharge, NoEvent, Receipt, ReceiptKind, segment_file};

use receipt::Totals;

/// A record is looked for from its request's time on, this far: answers may take long, corrections longer, and
/// clocks step.
const WITHIN_MICROS: i64 = 25 * 3_600 * 1_000_000;
/// Other requests under the same foreign id that are named.
const MAX_OTHERS: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What receipts are read from.
pub struct Books<'a> {
    pub store: &'a StoreReader,
    pub survey: &'a Survey,
    /// What is reported to Stripe.
    pub report: Report,
    /// This node's name in a fleet.
    pub node: Option<&'a str>,
    /// The most bytes of segments that are read to tell what had been used before; none: all of the period.
    pub most_bytes: Option<u64>,
    /// Whether ids that a proxy sent are looked for as well, in every segment.
    pub foreign: bool,
    /// Told before segments are read how many bytes they are, and after each of them how many it was.
    pub progress: &'a dyn Fn(Reading),
}

/// How far the reading of segments is.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    Begins { bytes: u64 },
    Went { bytes: u64 },
    Ends,
}

/// The records of one request.
pub(super) struct Found {
    pub charge: Record,
    /// The segment that holds the charge.
    pub segment: u64,
    pub corrections: Vec<Record>,
    /// The charged request that this one repeated for free.
    pub repeats: Option<Uuid>,
    /// Our ids of earlier requests that came under the same foreign id.
    pub others: Vec<Uuid>,
}

impl Books<'_> {
    /// The receipt of a request; none where there is no record of it.
    pub fn receipt(&self, id: &str) -> Result<Option<Receipt>, ReceiptError> {
        let Some(found) = find(self, id)? else { return Ok(None) };
        let totals = totals(self, &found)?;
        Receipt::new(self, found, totals).map(Some)
    }

    fn read(&self, segments: &[Segment], mut visit: impl FnMut(&Segment, &Record)) -> std::io::Result<()> {
        (self.progress)(Reading::Begins { bytes: segments.iter().map(|segment| segment.length).sum() });
        let mut next = 0;
        for segment in segments {
            next = self.survey.records(segment, next, |record| visit(segment, record))?;
            (self.progress)(Reading::Went { bytes: segment.length });
        }
        (self.progress)(Reading::Ends);
        Ok(())
    }

    /// Of segments the latest, as many as may be read.
    fn latest<'s>(&self, segments: &'s [Segment]) -> &'s [Segment] {
        let Some(most) = self.most_bytes else { return segments };
        let mut bytes = 0;
        let fits = segments.iter().rev().take_while(|segment| {
            bytes += segment.length;
            bytes <= most
        });
        &segments[segments.len() - fits.count()..]
    }
}

fn find(books: &Books<'_>, id: &str) -> std::io::Result<Option<Found>> {
    // Ours go before those of a proxy, which may look the same.
    if let Some(found) = id.parse::<Uuid>().ok().map(|ours| of_request(books, ours)).transpose()?.flatten() {
        return Ok(Some(found));
    }
    if !books.foreign {
        return Ok(None);
    }
    let mut requests = of_foreign(books, id)?;
    let Some(latest) = requests.pop() else { return Ok(None) };
    Ok(of_request(books, latest)?.map(|found| Found { others: requests, ..found }))
}

/// The records of a request of ours, looked for near the time in its id.
fn of_request(books: &Books<'_>, request: Uuid) -> std::io::Result<Option<Found>> {
    let Some(at) = instant_of(request) else { return Ok(None) };
    let made_within =
        |segment: &&Segment| segment.header.is_none_or(|header| header.made_at_micros <= at + WITHIN_MICROS);
    let near: Vec<Segment> = books.survey.since(at).iter().take_while(made_within).copied().collect();
    let (mut charge, mut corrections) = (None, Vec::new());
    books.read(&near, |segment, record| {
        if record.request != *request.as_bytes() {
            return;
        }
        match record.kind {
            Kind::Correction { .. } | Kind::Slice { .. } => corrections.push(record.clone()),
            _ => charge = Some((record.clone(), segment.number)),
        }
    })?;
    let Some((charge, segment)) = charge else { return Ok(None) };
    let repeats = if charge.is_repeat() { repeated_by(books, &charge)? } else { None };
    Ok(Some(Found { charge, segment, corrections, repeats, others: Vec::new() }))
}

/// The latest charge under the same key before a free repeat.
fn repeated_by(books: &Books<'_>, repeat: &Record) -> std::io::Result<Option<Uuid>> {
    let mut latest = None;
    books.read(books.survey.since(repeat.at_micros - WITHIN_MICROS), |_, record| {
        let same = (record.customer, record.key) == (repeat.customer, repeat.key);
        if same && record.kind == Kind::Charge && !record.is_repeat() && record.number < repeat.number {
            latest = Some(Uuid::from_bytes(record.request));
        }
    })?;
    Ok(latest)
}

/// Our ids of the latest requests that came under a foreign id, oldest first.
fn of_foreign(books: &Books<'_>, id: &str) -> std::io::Result<Vec<Uuid>> {
    let mut requests = Vec::new();
    books.read(books.survey.segments(), |_, record| {
        if record.is_request() && record.foreign_request.as_deref() == Some(id.as_bytes()) {
            requests.push(Uuid::from_bytes(record.request));
            if requests.len() > MAX_OTHERS + 1 {
                requests.remove(0);
            }
        }
    })?;
    Ok(requests)
}

/// What the customer had used in the period before this record, by meter in the order of its draws.
fn totals(books: &Books<'_>, found: &Found) -> std::io::Result<Totals> {
    let charge = &found.charge;
    let period_start = charge.period.start;
    let from = period_start.saturating_mul(1_000_000);
    let mut before = vec![0; charge.draws.len()];
    let since = books.survey.since(from);
    let wanted = &since[..since.partition_point(|segment| segment.number <= found.segment)];
    let segments = books.latest(wanted);
    books.read(segments, |_, record| {
        let counts = record.number < charge.number
            && !record.in_shadow
            && record.customer == charge.customer
            && record.period.start == period_start;
        for (sum, of) in before.iter_mut().zip(&charge.draws).filter(|_| counts) {
            let draws = record.draws.iter().filter(|draw| draw.meter == of.meter);
            *sum += draws.map(RecordDraw::units).sum::<i64>();
        }
    })?;
    let first = books.survey.segments().first();
    let pruned = first.is_some_and(|first| {
        first.number > 1 && first.header.is_none_or(|header| header.made_at_micros > from)
    });
    Ok(Totals { before, complete: !pruned && segments.len() == wanted.len() })
}

/// The time inside a `UUIDv7`, in microseconds.
fn instant_of(request: Uuid) -> Option<i64> {
    let bytes = request.as_bytes();
    let is_v7 = request.get_version_num() == 7;
    let millis = bytes[..6].iter().fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
    is_v7.then(|| millis * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_inside_our_ids_leads_back() {
        let id = uuid::Builder::from_unix_timestamp_millis(1_800_000_000_123, &[0xAB; 10]).into_uuid();
        assert_eq!(instant_of(id), Some(1_800_000_000_123_000));
        assert_eq!(instant_of(Uuid::new_v4()), None, "another version has no such time");
    }
}
