//! `tollgate restore`: a `data_dir` out of a backup.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::Config;
use crate::domain::period::rfc3339;
use crate::server;
use crate::store::Restored;

use super::books::Books;
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
    /// Only try it, also beside a gateway and for a node of a fleet: restore into this new folder, verify what is
    /// there, and remove it again
    #[arg(long = "try", value_name = "FOLDER")]
    attempt: Option<PathBuf>,
}

impl Restore {
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        match &self.attempt {
            None => self.restore(config),
            Some(folder) => self.attempt(config, folder),
        }
    }

    /// Nothing is left of it: a gateway that was started on it would bill as well.
    fn attempt(&self, mut config: Config, folder: &Path) -> Result<(), Failure> {
        let unusable = || format!("{} cannot be made: name a folder that is not there yet", folder.display());
        DirBuilder::new().mode(0o700).create(folder).with_context(unusable)?;
        folder.clone_into(&mut config.server.data_dir);
        config.fleet = None;
        let restored = self.restore(config);
        let left =
            || format!("{} cannot be removed: do it by hand, and start nothing on it", folder.display());
        fs::remove_dir_all(folder).with_context(left)?;
        restored?;
        print(&format!("a trial: {} is removed again\n", folder.display()))
    }

    fn restore(&self, config: Config) -> Result<(), Failure> {
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
        ledger::verify(&Books::of(config)?, false)
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
