//! `tollgate whatif`: recorded usage through another configuration.
//!
//! Every charged request of a span of time is decided and charged anew under the new configuration and, where it is
//! given, under the current one, by the same accounts that the gateway decides with. What differs between the two is
//! shown: so what a replay cannot know (it has requests to the millisecond, and one after the other) is in neither.
//!
//! It reads beside a running gateway, and changes nothing. The ledger is read twice, a segment at a time: once to find
//! what customers had when the span began, and once to replay it. Memory goes with the customers, not with the records.

mod exchanges;
mod mapping;
mod replay;
mod report;
mod start;
mod sums;
mod tally;

use std::path::PathBuf;

use anyhow::anyhow;
use hashbrown::HashMap;

use crate::config::Config;
use crate::ledger::{Lost, Record, Survey};

use super::books::Books;
use super::instants::parse_instant;
use super::output::{instant, progress};
use super::{Failure, load, print};
use exchanges::{Exchanges, Told};
use mapping::Mapping;
use replay::{Replay, recorded};
use start::Start;
use sums::{Side, Sides};
use tally::Tallies;

#[derive(clap::Args)]
pub(super) struct Whatif {
    /// The configuration to try
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The configuration that is in force, to compare with; its data folder is read. Left out: compared with what was
    /// recorded, and amounts of money are those of the new one alone
    #[arg(long, value_name = "FILE")]
    current: Option<PathBuf>,
    /// From when on: 2026-11-20T13:00:00Z, 2026-11-20, or back from now: 24h, 7d
    #[arg(long, value_name = "T", value_parser = parse_instant, default_value = "7d")]
    since: i64,
    /// Leave out this instant and what is later
    #[arg(long, value_name = "T", value_parser = parse_instant)]
    until: Option<i64>,
    /// Print JSON: all customers, not only those who differ most
    #[arg(long)]
    json: bool,
    /// Only this customer
    #[arg(long, value_name = "NAME")]
    customer: Option<String>,
}

/// What is replayed.
struct Span {
    /// Microseconds since the epoch.
    since: i64,
    until: i64,
    /// By the store's number.
    customer: Option<u32>,
    lost: Vec<Lost>,
}

impl Whatif {
    pub fn run(&self) -> Result<(), Failure> {
        let until = self.until.unwrap_or(i64::MAX);
        if self.since >= until {
            let (since, until) = (instant(self.since), instant(until));
            return Err(anyhow!("--since {since} is not before --until {until}").into());
        }
        let new = load(&self.config)?;
        let books = Books::open(self.current.as_deref().unwrap_or(&self.config))?;
        let [before, after] = [&books.config, &new].map(|config| config.catalogue.currency.code());
        if before != after {
            return Err(anyhow!(
                "--current has prices in {before} and --config in {after}: they cannot be compared; leave --current \
                 out, or give --config prices in {before}"
            )
            .into());
        }
        let customer = match &self.customer {
            None => None,
            Some(name) => {
                let unknown = || anyhow!("no usage of a customer {name:?} has been recorded here");
                Some(books.store.customer_number(name)?.ok_or_else(unknown)?)
            }
        };
        let span = Span { since: self.since, until, customer, lost: books.losses()? };
        let current = self.current.as_ref().map(|_| &books.config);
        let sides = replay(&books, &new, current, &span)?;
        let text =
            if self.json { report::json(&books, sides, &span)? } else { report::text(&books, sides, &span)? };
        print(&text)
    }
}

fn replay(books: &Books, new: &Config, current: Option<&Config>, span: &Span) -> Result<Sides, Failure> {
    let mut start = Start::new(books.store.at_once(span.since.div_euclid(1_000_000))?);
    let survey = books.survey()?;
    let bar = progress(2 * survey.since(span.since).iter().map(|segment| segment.length).sum::<u64>());
    span.each(&survey, &bar, |record| start.take_off(record))?;
    let side =
        |config: &Config| Replay::new(Mapping::new(config.catalogue.clone()), config.billing.idempotency);
    let (mut ahead, mut behind) = (side(new), current.map(side));
    let mut was = Mapping::new(current.unwrap_or(new).catalogue.clone());
    let mut taken: HashMap<u32, Tallies> = HashMap::new();
    let (mut exchanges, mut records) = (Exchanges::default(), 0_u64);
    let mut failed = None;
    let mut tell = |told: Told<'_>| {
        let mut see = || {
            recorded(&told, &mut taken, &mut was, books)?;
            if let Some(behind) = &mut behind {
                behind.see(&told, &start, books)?;
            }
            ahead.see(&told, &start, books)
        };
        if failed.is_none() {
            failed = see().err();
        }
    };
    span.each(&survey, &bar, |record| {
        if record.at_micros < span.until {
            records += 1;
            exchanges.take(record, &mut tell);
        }
    })?;
    exchanges.finish(&mut tell);
    bar.finish_and_clear();
    if let Some(failed) = failed {
        return Err(failed);
    }
    Ok(Sides {
        records,
        begins: pruned(&survey).filter(|begins| *begins > span.since),
        recorded: Side { mapping: was, tallies: taken },
        current: behind.map(Side::of),
        new: Side::of(ahead),
        is_of_fleet: books.config.fleet.is_some(),
    })
}

impl Span {
    /// Shows each record from the beginning of the span on; those that correct what a loss of power took count nowhere.
    fn each(
        &self,
        survey: &Survey,
        bar: &indicatif::ProgressBar,
        mut show: impl FnMut(&Record),
    ) -> std::io::Result<()> {
        let mut next = 0;
        for segment in survey.since(self.since) {
            next = survey.records(segment, next, |record| {
                let is_of_it = record.at_micros >= self.since
                    && self.customer.is_none_or(|customer| customer == record.customer)
                    && !self.lost.iter().any(|lost| lost.took_what_is_corrected_by(record));
                if is_of_it {
                    show(record);
                }
            })?;
            bar.inc(segment.length);
        }
        Ok(())
    }
}

/// Since when there are records, where older ones have been removed.
fn pruned(survey: &Survey) -> Option<i64> {
    let first = survey.segments().first().filter(|first| first.number > 1)?;
    first.header.map(|header| header.made_at_micros)
}
