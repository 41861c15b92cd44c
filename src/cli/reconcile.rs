//! `tollgate reconcile`: the ledger against what Stripe's meters hold.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock;
use crate::domain::period::Period;
use crate::reporting::repair::RepairEvent;
use crate::reporting::{Difference, Repair, Report, SpanError, parse_period};
use crate::server;

use super::table::table;
use super::{Failure, load, print};

#[derive(clap::Args)]
pub(super) struct Reconcile {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// current or previous (calendar months, UTC), a month such as 2026-11, or START..END
    #[arg(long, value_name = "PERIOD", default_value = "current", value_parser = period)]
    period: Period,
    /// Send what is missing at Stripe; what Stripe holds too much is only shown
    #[arg(long)]
    repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reconcile {
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let reconciler = server::reconciler(&config, || {
            eprintln!("tollgate: Stripe does not answer; trying again for about a minute");
        })?;
        // While it is held nobody else sends; a gateway that runs sends the repairs itself.
        let hold = if self.repair { server::hold(&config.server.data_dir)? } else { None };
        let repair = match (self.repair, &hold) {
            (false, _) => Repair::No,
            (true, Some(_)) => Repair::Here,
            (true, None) => Repair::ByGateway,
        };
        let runtime = tokio::runtime::Runtime::new()?;
        let report = runtime.block_on(async {
            let bar = bar(reconciler.customers().await?);
            let report = reconciler.run(self.period, repair, &|customers| bar.inc(customers)).await;
            bar.finish_and_clear();
            report
        })?;
        if !report.note.is_empty() {
            eprintln!("tollgate: {}", report.note);
        }
        print(&if self.json { format!("{}\n", serde_json::to_string(&report)?) } else { shown(&report) })?;
        if report.is_settled() { Ok(()) } else { Err(Failure::Told) }
    }
}

fn period(name: &str) -> Result<Period, SpanError> {
    parse_period(name, clock::now().seconds())
}

/// On stderr, and only where somebody watches.
fn bar(customers: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} customers, {eta} left");
    ProgressBar::new(customers).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// For people.
fn shown(report: &Report) -> String {
    let Report { start, end, customers, differences, .. } = report;
    let noun = if *customers == 1 { "customer" } else { "customers" };
    let compared = format!("{customers} {noun} compared, {start} to {end}");
    if differences.is_empty() {
        return format!("{compared}: no difference\n");
    }
    let head = ["customer", "meter", "ledger", "stripe", "difference", "repaired", "note"];
    let rows = differences.iter().map(row).collect::<Vec<_>>();
    let left = differences.iter().filter(|difference| difference.left() != 0).count();
    let differ = match differences.len() {
        1 => "1 differs".to_owned(),
        many => format!("{many} differ"),
    };
    format!("{}{}\n{compared}: {differ}, {left} left\n", table(&head, &rows), repairs(differences))
}

/// The meter events that repair, by name.
fn repairs(differences: &[Difference]) -> String {
    let row = |difference: &Difference, repair: &RepairEvent| {
        let RepairEvent { identifier, units, state } = repair;
        vec![identifier.clone(), difference.customer.clone(), units.to_string(), (*state).to_owned()]
    };
    let rows: Vec<_> =
        differences.iter().flat_map(|of| of.repairs.iter().map(move |repair| row(of, repair))).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&["repair", "customer", "units", "state"], &rows))
}

fn row(difference: &Difference) -> Vec<String> {
    let Difference { customer, meter, ledger, stripe, difference, repaired, note, .. } = difference;
    let units = [*ledger, *stripe, *difference, *repaired].map(|units| units.to_string());
    let texts = [customer.clone(), meter.clone()];
    texts.into_iter().chain(units).chain([note.clone()]).collect()
}
