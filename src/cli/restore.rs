//! `tollgate restore`: a `data_dir` out of a backup.

use std::fs;
use std::path::PathBuf;

use crate::domain::period::rfc3339;
use crate::server;
use crate::store::Restored;

use super::output::{facts, progress};
use super::{Failure, ledger, load, print};

#[derive(clap::Args)]
pub(super) struct Restore {
    /// The configuration file; its data folder must be empty, and no gateway run on it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder that `tollgate backup` has filled
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
}

impl Restore {
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let segments = fs::read_dir(self.from.join("ledger")).into_iter().flatten().flatten();
        let bytes = segments.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        let bar = progress(bytes);
        let restored = server::restore(&config, &self.from, |copied| bar.inc(copied));
        bar.finish_and_clear();
        let (backup, ledger_id, restored) = restored?;
        print(&facts(&[
            ("restored", format!("the backup of {}", rfc3339(backup.made_at))),
            ("into", config.server.data_dir.display().to_string()),
            ("ledger", format!("{ledger_id}, a new one")),
            ("may have been sent since", sent(restored)),
        ]))?;
        ledger::verify(&self.config, false)
    }
}

fn sent(Restored { rows, units, estimates }: Restored) -> String {
    let estimates = match estimates {
        0 => String::new(),
        units => format!("; {units} units of estimates, not sent from here"),
    };
    let sums = "looked for in Stripe's sums before they are sent";
    format!("{rows} meter events, under their names; {units} units, {sums}{estimates}")
}
