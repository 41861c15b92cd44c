//! The command line: one file per command.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 64 bad configuration. Results go to stdout, diagnostics to stderr.

mod backup;
mod books;
mod check;
mod continuity;
mod demo;
mod doctor;
mod explain;
mod gateway;
mod health;
mod instants;
mod keys;
mod ledger;
mod logging;
mod outbox;
mod output;
mod reconcile;
mod restore;
mod run;
mod sample_api;
mod sandbox;
mod schema;
mod sync;
mod table;
mod tiers;
mod token;
mod whatif;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::auth;
use crate::config::{self, Config, KeySource};

/// A reverse proxy that turns an API's traffic into a correct bill.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything at once on loopback: sample API, gateway, local Stripe; prints what to try
    Demo(demo::Demo),
    /// Run the gateway
    Run(run::Run),
    /// Check the configuration and show every mistake at once
    Check(ConfigFile),
    /// Look at everything that a gateway stands on, and say what to do about what is not well
    Doctor(doctor::Doctor),
    /// Print the configuration's JSON Schema
    Schema,
    /// Sign a development token with the configuration's secret
    Token(token::Token),
    /// Show the receipt of one request
    Explain(explain::Explain),
    /// Check the usage records, or write them out
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// API keys: make, show, replace and end them
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show what Stripe has not accepted, or try it again
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Compare the ledger with what Stripe's meters hold, customer by customer
    Reconcile(reconcile::Reconcile),
    /// Copy ledger and store into a folder, whether a gateway runs or not
    Backup(backup::BackUp),
    /// Make a data folder of a backup
    Restore(restore::Restore),
    /// Ask whether the gateway on this machine is ready
    Health(health::Health),
    /// Run the demo's sample API alone
    SampleApi(sample_api::SampleApi),
    /// Read subscriptions back from Stripe, and events that no webhook has brought
    Sync(sync::SyncArguments),
    /// Meters, products and prices at Stripe: compare them with the configuration, make what is missing
    #[command(subcommand)]
    Tiers(tiers::TiersCommand),
    /// Run the local Stripe alone
    Sandbox(sandbox::SandboxArguments),
    /// Replay recorded usage through another configuration: what it would refuse, and what it would earn
    Whatif(whatif::Whatif),
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Why a command ended without success.
enum Failure {
    /// Exit code 1.
    Failed(anyhow::Error),
    /// Exit code 64; the text says everything.
    BadConfiguration(String),
    /// Exit code 1; the output says everything.
    Told,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

const BAD_CONFIGURATION: u8 = 64;

/// The command line as it is parsed, for the reference.
pub fn command_line() -> clap::Command {
    Arguments::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Run(run) => run.run(),
        Command::Check(file) => check::check(&file.config),
        Command::Doctor(doctor) => doctor.run(),
        Command::Schema => schema::schema(),
        Command::Token(token) => token.run(),
        Command::Explain(explain) => explain.run(),
        Command::Ledger(ledger) => ledger.run(),
        Command::Keys(keys) => keys.run(),
        Command::Outbox(outbox) => outbox.run(),
        Command::Reconcile(reconcile) => reconcile.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Health(health) => health.run(),
        Command::SampleApi(api) => api.run(),
        Command::Sync(sync) => sync.run(),
        Command::Tiers(tiers) => tiers.run(),
        Command::Sandbox(sandbox) => sandbox.run(),
        Command::Whatif(whatif) => whatif.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            eprintln!("tollgate: {error:#}");
            ExitCode::FAILURE
        }
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::BadConfiguration(text)) => {
            eprintln!("{text}");
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// Reads a configuration; its warnings go to stderr.
fn load(path: &Path) -> Result<Config, Failure> {
    let config = config::load(path).map_err(|error| Failure::BadConfiguration(error.to_string()))?;
    for warning in &config.warnings {
        eprintln!("{warning}");
    }
    check_key(&config).map_err(|error| {
        Failure::BadConfiguration(format!("{}: error: auth.jwt: {error}", path.display()))
    })?;
    Ok(config)
}

/// Whether the public key is one, and fits the algorithms.
fn check_key(config: &Config) -> anyhow::Result<()> {
    let names = config.auth.algorithms.iter().map(|algorithm| algorithm.as_str());
    let algorithms = names.map(auth::parse_algorithm).collect::<Result<Vec<_>, _>>()?;
    if let KeySource::PublicKey(pem) = &config.auth.key {
        auth::check_pem(pem.as_bytes(), &algorithms)?;
    }
    Ok(())
}

/// Writes to stdout; a reader that has gone (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
