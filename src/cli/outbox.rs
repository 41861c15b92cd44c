//! `tollgate outbox`: what Stripe has not accepted, why, and another try.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::api::waiting_event_json;
use crate::clock;
use crate::domain::period::rfc3339;
use crate::store::{OutboxFilter, Retried, StoreReader, WaitingEvent, retry_dead_in};

use super::output::Output;
use super::{Failure, load};

#[derive(Subcommand)]
pub(super) enum OutboxCommand {
    /// Show the meter events that Stripe has not accepted, newest last
    List(List),
    /// Try dead meter events again, under the same identifiers
    Retry(Retry),
}

#[derive(clap::Args)]
pub(super) struct List {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which ones
    #[arg(long, value_enum, default_value_t = StateArgument::All)]
    state: StateArgument,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StateArgument {
    /// Those that are sent again by themselves
    Pending,
    /// Those that are not
    Dead,
    /// Both
    All,
}

#[derive(clap::Args)]
pub(super) struct Retry {
    /// Which ones; all dead ones when none is named
    #[arg(value_name = "IDENTIFIER")]
    identifiers: Vec<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl OutboxCommand {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Retry(retry) => retry.run(),
        }
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let store = StoreReader::open(&config.server.data_dir)?;
        let filter = match self.state {
            StateArgument::Pending => OutboxFilter::Pending,
            StateArgument::Dead => OutboxFilter::Dead,
            StateArgument::All => OutboxFilter::Unaccepted,
        };
        let mut out = Output::new();
        let (mut rows, mut failed) = (0_u64, None);
        store.waiting_events(filter, |event| {
            rows += 1;
            let written = out.write(&if self.json { json_row(&event, rows) } else { text(&event) });
            written.unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let end = match (self.json, rows) {
            (true, 0) => "{\"data\":[]}\n",
            (true, _) => "\n]}\n",
            (false, 0) => match self.state {
                StateArgument::Pending => "no meter event is pending\n",
                StateArgument::Dead => "no meter event is dead\n",
                StateArgument::All => "nothing waits: Stripe has accepted everything that was sealed\n",
            },
            (false, _) => "",
        };
        out.write(end)?;
        Ok(out.finish()?)
    }
}

/// Rows of one JSON object, written as they come.
fn json_row(event: &WaitingEvent, number: u64) -> String {
    let before = if number == 1 { "{\"data\":[\n" } else { ",\n" };
    format!("{before}{}", waiting_event_json(event))
}

fn text(event: &WaitingEvent) -> String {
    let at = |at: Option<i64>| at.map_or("-".into(), rfc3339);
    let queued = if event.queued { ", queued for another try" } else { "" };
    format!(
        "{}  {} {}  value {}  timestamp {}  {}{queued}\n    tries {}, first {}, next {}; {}\n",
        event.identifier,
        event.customer,
        event.meter,
        event.value,
        event.timestamp,
        event.state,
        event.tries,
        at(event.first_tried_at),
        at(event.next_try_at),
        event.reason.as_deref().unwrap_or("not tried yet"),
    )
}

impl Retry {
    fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let outcome = retry_dead_in(&config.server.data_dir, &self.identifiers, clock::now().seconds())?;
        let rows = outcome.into_rows().map_err(|wrong| anyhow!(wrong))?;
        let mut out = Output::new();
        if self.json {
            out.write(&format!(
                "{}\n",
                json!({ "retried": rows.iter().map(Retried::json).collect::<Vec<_>>() })
            ))?;
        } else {
            for row in &rows {
                out.write(&format!("{}: {}\n", row.identifier, row.sentence()))?;
            }
            let count = rows.len();
            out.write(&format!("{count} meter event{} to try again\n", if count == 1 { "" } else { "s" }))?;
        }
        Ok(out.finish()?)
    }
}
