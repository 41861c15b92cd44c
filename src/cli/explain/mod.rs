//! `tollgate explain`: the receipt of one request.
//!
//! Our request ids are `UUIDv7`: their time leads to the segments that can hold the record. An id that a trusted proxy
//! sent has no such time: every segment is searched for it.

mod json;
mod receipt;
mod text;

use std::path::PathBuf;

use anyhow::anyhow;
use uuid::Uuid;

use crate::ledger::{Kind, Record, RecordDraw, Segment, Survey};

use super::books::Books;
use super::continuity::Continuity;
use super::output::progress;
use super::{Failure, print};
use receipt::{Receipt, Totals};

/// A record is looked for from its request's time on, this far: answers may take long, corrections longer, and
/// clocks step.
const WITHIN_MICROS: i64 = 25 * 3_600 * 1_000_000;
/// Other requests under the same foreign id that are named.
const MAX_OTHERS: usize = 20;

#[derive(clap::Args)]
pub(super) struct Explain {
    /// The request's id, as its answer's x-request-id says
    #[arg(value_name = "REQUEST_ID", value_parser = parse_id)]
    request_id: String,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What can be an id in a header.
fn parse_id(text: &str) -> Result<String, String> {
    let valid = (1..=255).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    valid
        .then(|| text.to_owned())
        .ok_or_else(|| "a request id is 1 to 255 visible ASCII characters".to_owned())
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

impl Explain {
    pub fn run(&self) -> Result<(), Failure> {
        let books = Books::open(&self.config)?;
        let survey = books.survey()?;
        let Some(found) = find(&survey, &self.request_id)? else {
            // What is damaged may have held it.
            let mut continuity = Continuity::new(&books, survey.segments().first())?;
            read(&survey, survey.segments(), |_, record| continuity.see(record.number))?;
            continuity.finish()?;
            return Err(anyhow!(
                "there is no record of the request {}: it was refused, failed upstream, cost nothing, or is older \
                 than ledger.retention",
                self.request_id
            )
            .into());
        };
        let totals = totals(&survey, &found.charge)?;
        let receipt = Receipt::new(&books, found, totals)?;
        let text = if self.json { format!("{}\n", json::render(&receipt)) } else { text::render(&receipt) };
        print(&text)
    }
}

fn find(survey: &Survey, id: &str) -> anyhow::Result<Option<Found>> {
    // Ours go before those of a proxy, which may look the same.
    if let Some(found) = id.parse::<Uuid>().ok().map(|ours| of_request(survey, ours)).transpose()?.flatten() {
        return Ok(Some(found));
    }
    let mut requests = of_foreign(survey, id)?;
    let Some(latest) = requests.pop() else { return Ok(None) };
    Ok(of_request(survey, latest)?.map(|found| Found { others: requests, ..found }))
}

/// The records of a request of ours, looked for near the time in its id.
fn of_request(survey: &Survey, request: Uuid) -> anyhow::Result<Option<Found>> {
    let Some(at) = instant_of(request) else { return Ok(None) };
    let made_within =
        |segment: &&Segment| segment.header.is_none_or(|header| header.made_at_micros <= at + WITHIN_MICROS);
    let near: Vec<Segment> = survey.since(at).iter().take_while(made_within).copied().collect();
    let (mut charge, mut corrections) = (None, Vec::new());
    read(survey, &near, |segment, record| {
        if record.request != *request.as_bytes() {
            return;
        }
        match record.kind {
            Kind::Correction { .. } | Kind::Slice { .. } => corrections.push(record.clone()),
            _ => charge = Some((record.clone(), segment.number)),
        }
    })?;
    let Some((charge, segment)) = charge else { return Ok(None) };
    let repeats = if charge.is_repeat() { repeated_by(survey, &charge)? } else { None };
    Ok(Some(Found { charge, segment, corrections, repeats, others: Vec::new() }))
}

/// The latest charge under the same key before a free repeat.
fn repeated_by(survey: &Survey, repeat: &Record) -> anyhow::Result<Option<Uuid>> {
    let mut latest = None;
    read(survey, survey.since(repeat.at_micros - WITHIN_MICROS), |_, record| {
        let same = (record.customer, record.key) == (repeat.customer, repeat.key);
        if same && record.kind == Kind::Charge && !record.is_repeat() && record.number < repeat.number {
            latest = Some(Uuid::from_bytes(record.request));
        }
    })?;
    Ok(latest)
}

/// Our ids of the latest requests that came under a foreign id, oldest first.
fn of_foreign(survey: &Survey, id: &str) -> anyhow::Result<Vec<Uuid>> {
    let mut requests = Vec::new();
    read(survey, survey.segments(), |_, record| {
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
fn totals(survey: &Survey, charge: &Record) -> anyhow::Result<Totals> {
    let period_start = charge.period.start;
    let from = period_start.saturating_mul(1_000_000);
    let mut before = vec![0; charge.draws.len()];
    let segments = survey.since(from);
    read(survey, segments, |_, record| {
        let counts = record.number < charge.number
            && !record.in_shadow
            && record.customer == charge.customer
            && record.period.start == period_start;
        for (sum, of) in before.iter_mut().zip(&charge.draws).filter(|_| counts) {
            let draws = record.draws.iter().filter(|draw| draw.meter == of.meter);
            *sum += draws.map(RecordDraw::units).sum::<i64>();
        }
    })?;
    let first = survey.segments().first();
    let pruned = first.is_some_and(|first| {
        first.number > 1 && first.header.is_none_or(|header| header.made_at_micros > from)
    });
    Ok(Totals { before, complete: !pruned })
}

/// Reads segments with a progress bar.
fn read(
    survey: &Survey,
    segments: &[Segment],
    mut visit: impl FnMut(&Segment, &Record),
) -> anyhow::Result<()> {
    let bar = progress(segments.iter().map(|segment| segment.length).sum());
    let mut next = 0;
    for segment in segments {
        next = survey.records(segment, next, |record| visit(segment, record))?;
        bar.inc(segment.length);
    }
    bar.finish_and_clear();
    Ok(())
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
    use crate::domain::usage::Now;
    use crate::gateway::RequestId;

    #[test]
    fn the_time_inside_our_ids_leads_back() {
        let id = RequestId::new(Now(1_800_000_000_123_456_789));
        assert_eq!(instant_of(Uuid::from_bytes(id.bytes())), Some(1_800_000_000_123_000));
        assert_eq!(instant_of(Uuid::new_v4()), None, "another version has no such time");
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        assert!(parse_id("a-b:c d").is_ok());
        for wrong in ["", "tab\t", "Ä", &"x".repeat(256)] {
            assert!(parse_id(wrong).is_err(), "{wrong:?}");
        }
    }
}
