//! `tollgate ledger export`: usage records as JSON Lines or CSV, one line for each record and meter.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::ValueEnum;
use serde::Serialize;
use uuid::Uuid;

use crate::csv;
use crate::domain::methods;
use crate::domain::period::rfc3339;
use crate::ledger::{Kind, Record, RecordDraw};

use crate::cli::Failure;
use crate::cli::books::Books;
use crate::cli::continuity::Continuity;
use crate::cli::instants::parse_instant;
use crate::cli::output::{Output, instant, progress};

#[derive(clap::Args)]
pub(in crate::cli) struct Export {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Leave out what is older: 2026-11-20T13:00:00Z, 2026-11-20, or back from now: 24h, 7d
    #[arg(long, value_name = "T", value_parser = parse_instant)]
    since: Option<i64>,
    /// Leave out this instant and what is later
    #[arg(long, value_name = "T", value_parser = parse_instant)]
    until: Option<i64>,
    /// How records are written
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Only records of this customer
    #[arg(long, value_name = "NAME")]
    customer: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON Lines
    Jsonl,
    /// RFC 4180, with a header
    Csv,
}

/// One line: a record's draw on one meter.
#[derive(Serialize)]
struct Line<'a> {
    record: u64,
    request_id: String,
    foreign_request_id: Option<String>,
    at: String,
    kind: &'static str,
    corrects: Option<u64>,
    customer: Option<&'a str>,
    member: Option<&'a str>,
    route: Option<&'a str>,
    tier: Option<&'a str>,
    meter: Option<&'a str>,
    method: Option<&'static str>,
    status: u16,
    period_start: String,
    period_end: String,
    included: i64,
    /// On an operator's override.
    extra: i64,
    credits: i64,
    overage: i64,
    /// Paid for by nothing.
    uncovered: i64,
    units: i64,
}

impl Export {
    pub fn run(&self) -> Result<(), Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(anyhow!("--since {} is not before --until {}", instant(since), instant(until)).into());
        }
        let books = Books::open(&self.config)?;
        let customer = match &self.customer {
            None => None,
            Some(name) => {
                let unknown = || anyhow!("no usage of a customer {name:?} has been recorded here");
                Some(books.store.customer_number(name)?.ok_or_else(unknown)?)
            }
        };
        let survey = books.survey()?;
        let segments = survey.since(self.since.unwrap_or(i64::MIN));
        let bar = progress(segments.iter().map(|segment| segment.length).sum());
        let mut out = Output::new();
        let mut reading = self.format == Format::Jsonl || out.write(CSV_HEADER)?;
        let mut continuity = Continuity::new(&books, segments.first())?;
        let mut next = 0;
        for segment in segments {
            let mut failed = None;
            next = survey.records(segment, next, |record| {
                continuity.see(record.number);
                if reading && self.wants(record, customer) {
                    match self.write(&books, record, &mut out) {
                        Ok(still) => reading = still,
                        Err(error) => (failed, reading) = (Some(error), false),
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if !reading {
                return Ok(out.finish()?);
            }
            bar.inc(segment.length);
        }
        bar.finish_and_clear();
        out.finish()?;
        Ok(continuity.finish()?)
    }

    fn wants(&self, record: &Record, customer: Option<u32>) -> bool {
        customer.is_none_or(|customer| record.customer == customer)
            && self.since.is_none_or(|since| record.at_micros >= since)
            && self.until.is_none_or(|until| record.at_micros < until)
    }

    /// Answers whether anybody still reads.
    fn write(&self, books: &Books, record: &Record, out: &mut Output) -> Result<bool, Failure> {
        let [customer, member, route, tier] = [
            books.customer(record.customer)?,
            books.name(record.member)?,
            books.name(record.route)?,
            books.name(record.tier)?,
        ];
        // A free repeat draws on nothing, and has a line all the same.
        let nothing = RecordDraw::default();
        let draws = if record.draws.is_empty() { &[nothing][..] } else { &record.draws[..] };
        for draw in draws {
            let meter = books.name(draw.meter)?;
            let line = Line {
                customer: customer.as_deref(),
                member: member.as_deref(),
                route: route.as_deref(),
                tier: tier.as_deref(),
                meter: meter.as_deref(),
                ..Line::new(record, draw)
            };
            let text = match self.format {
                Format::Jsonl => format!("{}\n", serde_json::to_string(&line)?),
                Format::Csv => line.csv(),
            };
            if !out.write(&text)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

const CSV_HEADER: &str = "record,request_id,foreign_request_id,at,kind,corrects,customer,member,route,tier,meter,\
    method,status,period_start,period_end,included,extra,credits,overage,uncovered,units\r\n";

impl Line<'_> {
    /// Without names.
    fn new(record: &Record, draw: &RecordDraw) -> Self {
        let (kind, corrects) = match record.kind {
            Kind::Charge if record.is_repeat() => ("repeat", None),
            Kind::Charge => ("charge", None),
            Kind::Estimate => ("estimate", None),
            Kind::Slice { of } => ("slice", Some(of)),
            Kind::Correction { of } => ("correction", Some(of)),
        };
        let foreign = record.foreign_request.as_deref().map(|id| String::from_utf8_lossy(id).into_owned());
        Self {
            record: record.number,
            request_id: Uuid::from_bytes(record.request).to_string(),
            foreign_request_id: foreign,
            at: instant(record.at_micros),
            kind,
            corrects,
            customer: None,
            member: None,
            route: None,
            tier: None,
            meter: None,
            method: methods::name(record.method),
            status: record.status,
            period_start: rfc3339(record.period.start),
            period_end: rfc3339(record.period.end),
            included: draw.included,
            extra: draw.extra,
            credits: draw.credits,
            overage: draw.overage,
            uncovered: draw.uncovered,
            units: draw.units(),
        }
    }

    fn csv(&self) -> String {
        csv::line(&[
            &self.record.to_string(),
            &self.request_id,
            self.foreign_request_id.as_deref().unwrap_or_default(),
            &self.at,
            self.kind,
            &self.corrects.map(|of| of.to_string()).unwrap_or_default(),
            self.customer.unwrap_or_default(),
            self.member.unwrap_or_default(),
            self.route.unwrap_or_default(),
            self.tier.unwrap_or_default(),
            self.meter.unwrap_or_default(),
            self.method.unwrap_or_default(),
            &self.status.to_string(),
            &self.period_start,
            &self.period_end,
            &self.included.to_string(),
            &self.extra.to_string(),
            &self.credits.to_string(),
            &self.overage.to_string(),
            &self.uncovered.to_string(),
            &self.units.to_string(),
        ])
    }
}
