//! `tollgate reconcile`: the ledger against what Stripe's meters hold.

use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::json;

use crate::clock;
use crate::config::Config;
use crate::domain::period::Period;
use crate::reporting::repair::RepairEvent;
use crate::reporting::{Difference, Repair, Report, SpanError, parse_period};
use crate::server;

use super::gateway::Gateway;
use super::table::table;
use super::{Failure, load, print};

#[derive(clap::Args)]
pub(super) struct Reconcile {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// current or previous (calendar months, UTC), a month such as 2026-11, or START..END
    #[arg(long, value_name = "PERIOD", default_value = "current", value_parser = period)]
    period: Asked,
    /// Send what is missing at Stripe; what Stripe holds too much is only shown
    #[arg(long)]
    repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A period as it was named.
#[derive(Clone)]
struct Asked {
    name: String,
    period: Period,
}

impl Reconcile {
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let in_fleet = config.fleet.is_some();
        // While it is held nobody else sends; a gateway that runs sends the repairs itself.
        let hold = if self.repair || in_fleet { server::hold(&config.server.data_dir)? } else { None };
        let report = if in_fleet && hold.is_none() {
            runtime.block_on(self.by_the_gateway(&config))
        } else {
            let hold = hold.filter(|_| self.repair);
            let repair = match (self.repair, &hold) {
                (false, _) => Repair::No,
                (true, Some(_)) => Repair::Here,
                (true, None) => Repair::ByGateway,
            };
            runtime.block_on(self.here(&config, repair))
        }?;
        if !report.note.is_empty() {
            eprintln!("tollgate: {}", report.note);
        }
        print(&if self.json { format!("{}\n", serde_json::to_string(&report)?) } else { shown(&report) })?;
        if report.is_settled() { Ok(()) } else { Err(Failure::Told) }
    }

    async fn here(&self, config: &Config, repair: Repair) -> anyhow::Result<Report> {
        let reconciler = server::reconciler(config, || {
            eprintln!("tollgate: Stripe does not answer; trying again for about a minute");
        })?;
        let bar = bar(reconciler.customers().await?);
        let report = reconciler.run(self.period.period, repair, &|customers| bar.inc(customers)).await;
        bar.finish_and_clear();
        Ok(report?)
    }

    /// It can ask the other nodes of its fleet.
    async fn by_the_gateway(&self, config: &Config) -> anyhow::Result<Report> {
        let asked = json!({ "period": self.period.name, "repair": self.repair });
        let answer = Gateway::of(config)?.ask(Method::POST, "/admin/reconcile", Some(&asked)).await?;
        serde_json::from_value(answer).context("the gateway's answer cannot be read")
    }
}

fn period(name: &str) -> Result<Asked, SpanError> {
    let period = parse_period(name, clock::now().seconds())?;
    Ok(Asked { name: name.to_owned(), period })
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
    let missing = report.nodes_missing.iter().flatten().cloned().collect::<Vec<_>>();
    let missing = if missing.is_empty() { String::new() } else { format!(" without {}", missing.join(", ")) };
    let compared = format!("{customers} {noun} compared{missing}, {start} to {end}");
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
        vec![identifier.clone(), difference.customer.clone(), units.to_string(), (*state).clone()]
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
