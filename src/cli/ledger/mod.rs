//! `tollgate ledger`: whether the books are whole, and what they hold.

mod export;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;
use super::books::Books;
use export::Export;
pub(super) use verify::verify;

#[derive(Subcommand)]
pub(super) enum LedgerCommand {
    /// Check every segment, and the totals against the records
    Verify(Verify),
    /// Write usage records to stdout, oldest first
    Export(Export),
}

#[derive(clap::Args)]
pub(super) struct Verify {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LedgerCommand {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Verify(arguments) => verify(&Books::open(&arguments.config)?, arguments.json),
            Self::Export(export) => export.run(),
        }
    }
}
