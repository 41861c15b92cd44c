//! `tollgate ledger verify`: every segment, and whether the totals are the sums of the records.

use std::collections::HashMap;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::clock;
use crate::ledger::{Expected, Kind, Position, Record, Resume, Survey, Verified, Verifier};
use crate::store::{TotalDifference, TotalKey, TotalUnits, TotalsCheck};

use crate::cli::books::Books;
use crate::cli::output::{Output, facts, instant, progress, segment_file};
use crate::cli::{Failure, print};

/// Periods that begin so soon after the oldest segment may have records in those that have been pruned: clocks step.
const SLACK_SECONDS: i64 = 3_600;

pub(in crate::cli) fn verify(books: &Books, as_json: bool) -> Result<(), Failure> {
    // What has been counted is looked up first: all of it must be in the survey.
    let check = books.store.check_totals()?;
    let survey = books.survey()?;
    let mut counts = Counts::default();
    let found = read_all(books, &check, &survey, &mut counts)?;
    let totals = Totals::compare(&check, &found)?;
    if as_json {
        print(&format!("{}\n", report_json(books, &found, &counts, &totals)?))?;
    } else {
        show(books, &found, &counts, &totals)?;
    }
    let faults = found.faults.len() as u64 + found.more_faults;
    if faults > 0 {
        let places = if faults == 1 { "1 place".to_owned() } else { format!("{faults} places") };
        return Err(anyhow!("the ledger is damaged in {places}: restore data_dir from a backup").into());
    }
    if totals.differ() {
        return Err(anyhow!(
            "the totals in the store are not the sums of the records: they were changed by hand, or store and \
             ledger are of different backups; restore data_dir from one"
        ).into());
    }
    Ok(())
}

/// What the records are.
#[derive(Default)]
struct Counts {
    charges: u64,
    repeats: u64,
    estimates: u64,
    corrections: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Counts {
    fn add(&mut self, record: &Record) {
        match record.kind {
            Kind::Charge if record.is_repeat() => self.repeats += 1,
            Kind::Charge => self.charges += 1,
            Kind::Estimate | Kind::Slice { .. } => self.estimates += 1,
            Kind::Correction { .. } => self.corrections += 1,
        }
        let at = record.at_micros;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }
}

/// Checks segment by segment, and takes the records of each off the totals.
fn read_all(
    books: &Books,
    check: &TotalsCheck<'_>,
    survey: &Survey,
    counts: &mut Counts,
) -> Result<Verified, Failure> {
    let (segment, offset, next_record) = check.folded;
    let retention = i64::try_from(books.config.ledger.retention.as_micros()).unwrap_or(i64::MAX);
    let lost = books.losses()?;
    let expected = Expected {
        lost: &lost,
        ledger: books.ledger,
        resume: Resume { folded: Position { segment, offset }, next_record },
        kept_since_micros: clock::now().micros().saturating_sub(retention),
    };
    let bar = progress(survey.segments().iter().map(|segment| segment.length).sum());
    let mut verifier = Verifier::new(survey, expected);
    let mut sums: HashMap<TotalKey, TotalUnits> = HashMap::new();
    loop {
        let read = verifier.next_segment(|record| {
            counts.add(record);
            let corrects_nothing = lost.iter().any(|lost| lost.took_what_is_corrected_by(record));
            if record.number < next_record && !corrects_nothing && !record.in_shadow {
                add(&mut sums, record);
            }
        })?;
        check.take_off(&sums)?;
        sums.clear();
        let Some(bytes) = read else { break };
        bar.inc(bytes);
    }
    bar.finish_and_clear();
    Ok(verifier.finish())
}

fn add(sums: &mut HashMap<TotalKey, TotalUnits>, record: &Record) {
    for draw in &record.draws {
        let period_start = record.period.start;
        let sum =
            sums.entry(TotalKey { customer: record.customer, meter: draw.meter, period_start }).or_default();
        sum.included += draw.included;
        sum.extra += draw.extra;
        sum.credits += draw.credits;
        sum.overage += draw.overage;
        sum.uncovered += draw.uncovered;
    }
}

/// How the store's totals compare with the records.
enum Totals {
    Compared {
        differences: Vec<TotalDifference>,
        /// Periods that began earlier have records in segments that have been pruned.
        from: Option<i64>,
    },
    /// Of a damaged ledger.
    NotCompared,
}

impl Totals {
    fn compare(check: &TotalsCheck<'_>, found: &Verified) -> Result<Self, Failure> {
        if !found.is_whole() {
            return Ok(Self::NotCompared);
        }
        let from =
            found.pruned_before_micros.map(|at| at.div_euclid(1_000_000).saturating_add(SLACK_SECONDS));
        let differences = check.differences(from.unwrap_or(i64::MIN))?;
        Ok(Self::Compared { differences, from })
    }

    fn differ(&self) -> bool {
        matches!(self, Self::Compared { differences, .. } if !differences.is_empty())
    }

    fn sentence(&self) -> String {
        let since = |from: &Option<i64>| {
            from.map_or(String::new(), |at| format!(" (of periods since {})", instant(at * 1_000_000)))
        };
        match self {
            Self::NotCompared => "not compared: the ledger is damaged".into(),
            Self::Compared { differences, from } if differences.is_empty() => format!("equal{}", since(from)),
            Self::Compared { differences, from } => {
                format!(
                    "{} different{}: what the store has more than the ledger",
                    differences.len(),
                    since(from)
                )
            }
        }
    }
}

fn show(books: &Books, found: &Verified, counts: &Counts, totals: &Totals) -> Result<(), Failure> {
    let at = |instant_of: Option<i64>| instant_of.map_or("-".into(), instant);
    let mut rows = vec![
        ("segments", format!("{} ({} not linked to the one before)", found.segments, found.unlinked)),
        ("records", found.records.to_string()),
        ("charges", counts.charges.to_string()),
        ("free repeats", counts.repeats.to_string()),
        ("estimates", counts.estimates.to_string()),
        ("corrections", counts.corrections.to_string()),
        ("first", at(counts.first)),
        ("last", at(counts.last)),
        ("torn bytes", found.torn_bytes.to_string()),
    ];
    if let Some(at) = found.pruned_before_micros {
        rows.push(("pruned", format!("segments before {}", instant(at))));
    }
    rows.push(("totals", totals.sentence()));
    let mut out = Output::new();
    out.write(&facts(&rows))?;
    for lost in &found.lost {
        let file = segment_file(lost.segment);
        out.write(&format!(
            "lost with the power: records {} to {} in {file} at {}\n",
            lost.from, lost.to, lost.offset
        ))?;
    }
    for fault in &found.faults {
        out.write(&format!("{} at {}: {}\n", segment_file(fault.segment), fault.offset, fault.damage))?;
    }
    if found.more_faults > 0 {
        out.write(&format!("and {} more\n", found.more_faults))?;
    }
    if let Totals::Compared { differences, .. } = totals {
        for difference in differences {
            let (customer, meter) = names(books, difference)?;
            let TotalDifference { included, extra, credits, overage, uncovered, .. } = difference;
            out.write(&format!(
                "  {customer} {meter}: {included} included, {extra} extra, {credits} credits, {overage} overage, \
                 {uncovered} uncovered\n"
            ))?;
        }
    }
    if found.is_whole() && !totals.differ() {
        out.write("the ledger is whole\n")?;
    }
    Ok(out.finish()?)
}

fn names(books: &Books, of: &TotalDifference) -> Result<(String, String), Failure> {
    let or_number =
        |name: Option<std::rc::Rc<str>>, number: u32| name.map_or(format!("#{number}"), |n| n.to_string());
    let customer = or_number(books.customer(of.customer)?, of.customer);
    Ok((customer, or_number(books.name(of.meter)?, of.meter)))
}

fn report_json(books: &Books, found: &Verified, counts: &Counts, totals: &Totals) -> Result<Value, Failure> {
    let lost = found.lost.iter().map(|lost| {
        json!({ "segment": segment_file(lost.segment), "offset": lost.offset, "from": lost.from, "to": lost.to })
    });
    let faults = found.faults.iter().map(|fault| {
        let damage = fault.damage.to_string();
        json!({ "segment": segment_file(fault.segment), "offset": fault.offset, "damage": damage })
    });
    Ok(json!({
        "whole": found.is_whole(),
        "segments": found.segments,
        "unlinked": found.unlinked,
        "records": found.records,
        "charges": counts.charges,
        "repeats": counts.repeats,
        "estimates": counts.estimates,
        "corrections": counts.corrections,
        "first": counts.first.map(instant),
        "last": counts.last.map(instant),
        "torn_bytes": found.torn_bytes,
        "pruned_before": found.pruned_before_micros.map(instant),
        "lost": lost.collect::<Vec<_>>(),
        "faults": faults.collect::<Vec<_>>(),
        "more_faults": found.more_faults,
        "totals": totals_json(books, totals)?,
    }))
}

fn totals_json(books: &Books, totals: &Totals) -> Result<Value, Failure> {
    let Totals::Compared { differences, from } = totals else {
        return Ok(json!({ "compared": false, "equal": null, "differences": [] }));
    };
    let rows = differences.iter().map(|difference| {
        let (customer, meter) = names(books, difference)?;
        let TotalDifference { included, extra, credits, overage, uncovered, .. } = difference;
        Ok(json!({
            "customer": customer, "meter": meter, "included": included, "extra": extra, "credits": credits,
            "overage": overage, "uncovered": uncovered,
        }))
    });
    Ok(json!({
        "compared": true,
        "equal": differences.is_empty(),
        "periods_since": from.map(|at| instant(at * 1_000_000)),
        "differences": rows.collect::<Result<Vec<_>, Failure>>()?,
    }))
}
