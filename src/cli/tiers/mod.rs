//! `tollgate tiers`: what the configuration sells, at Stripe.

mod shown;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::billing::offer::{self, Plan};
use crate::config::{Config, Mode};
use crate::domain::offer::Offer;
use crate::server;
use crate::stripe::{CallError, Transport};

use super::{Failure, load, print};

#[derive(Subcommand)]
pub(super) enum TiersCommand {
    /// Compare Stripe with the configuration; exit code 1 where they differ
    Diff(Diff),
    /// Make what Stripe lacks; nothing is ever deleted, archived or changed in its amount
    Apply(Apply),
}

#[derive(clap::Args)]
pub(super) struct Diff {
    #[command(flatten)]
    compared: Compared,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Apply {
    #[command(flatten)]
    compared: Compared,
    /// Do not ask before anything is made
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long, requires = "yes")]
    json: bool,
}

#[derive(clap::Args)]
struct Compared {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where a price differs: a new one takes over its lookup key, and who pays the old one goes on paying it; of a
    /// metered price, move them to the new one before the configuration is in force
    #[arg(long)]
    replace: bool,
}

impl TiersCommand {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Diff(diff) => diff.run(),
            Self::Apply(apply) => apply.run(),
        }
    }
}

impl Diff {
    fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        let desk = Desk::open(&self.compared)?;
        let plan = runtime.block_on(desk.plan())?;
        print(&if self.json {
            format!("{}\n", shown::json(&plan, desk.mode))
        } else {
            desk.head() + &shown::text(&plan)
        })?;
        if plan.is_settled() { Ok(()) } else { Err(Failure::Told) }
    }
}

impl Apply {
    fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        let desk = Desk::open(&self.compared)?;
        let plan = runtime.block_on(desk.plan())?;
        if !self.json {
            print(&(desk.head() + &shown::text(&plan)))?;
        }
        if plan.to_make() > 0 && !self.yes {
            ask(plan.to_make(), desk.mode)?;
        }
        let made = runtime.block_on(self.make(&desk, &plan))?;
        if self.json {
            let mut answer = shown::json(&plan, desk.mode);
            answer["made"] = Value::Array(made);
            print(&format!("{answer}\n"))?;
        }
        if plan.by_hand() == 0 { Ok(()) } else { Err(Failure::Told) }
    }

    /// Makes what is missing, and looks again whether it is there.
    async fn make(&self, desk: &Desk<'_>, plan: &Plan) -> anyhow::Result<Vec<Value>> {
        let all = plan.to_make();
        if all == 0 {
            return Ok(Vec::new());
        }
        let mut made = Vec::new();
        let outcome = offer::make(&desk.transport, plan, |entry, id| {
            let (kind, name) = (entry.subject.kind(), entry.subject.name());
            made.push(json!({ "kind": kind, "name": name, "id": id }));
            if !self.json {
                // A reader that has gone does not stop what has begun.
                let _ = print(&format!("made {}/{all}: {kind} {name} {id}\n", made.len()));
            }
        })
        .await;
        outcome
            .map_err(|broken| {
                desk.explain(&broken.source).map_or_else(
                    || anyhow!("{broken}: {}", broken.source),
                    |help| anyhow!("{broken}: {}; {help}", broken.source),
                )
            })
            .with_context(|| {
                format!("{} of {all} are made; the same command goes on from there", made.len())
            })?;
        let left =
            desk.plan().await.context("everything was made, but could not be looked at again")?.to_make();
        if left > 0 {
            bail!(
                "{left} of what was made {} not there: somebody has changed it since, within the day for which Stripe \
                 repeats its answers; make it by hand, or try again tomorrow",
                if left == 1 { "is" } else { "are" }
            );
        }
        Ok(made)
    }
}

/// Whoever asks and changes Stripe.
struct Desk<'a> {
    config: Config,
    offer: Offer,
    transport: Transport,
    mode: &'static str,
    compared: &'a Compared,
}

impl<'a> Desk<'a> {
    fn open(compared: &'a Compared) -> Result<Self, Failure> {
        let config = load(&compared.config)?;
        let offer = Offer::of(&config.catalogue).map_err(|error| {
            Failure::BadConfiguration(format!("{}: error: {error}", compared.config.display()))
        })?;
        let (transport, mode) = (server::to_stripe(&config)?, mode(&config));
        Ok(Self { config, offer, transport, mode, compared })
    }

    async fn plan(&self) -> anyhow::Result<Plan> {
        let spinner = ProgressBar::new_spinner().with_message("asking Stripe");
        let found = offer::look(&self.transport, &self.offer).await;
        spinner.finish_and_clear();
        let found = found.map_err(|error| {
            let help = self.explain(&error).map(|help| format!("; {help}")).unwrap_or_default();
            anyhow!("Stripe ({}) could not be asked: {error}{help}", self.config.stripe.api_base)
        })?;
        Ok(Plan::of(&self.offer, &found, self.compared.replace))
    }

    /// What to do about an error whose words do not say it.
    fn explain(&self, error: &CallError) -> Option<&'static str> {
        let is_sandbox = matches!(self.config.stripe.mode, Mode::Sandbox { .. });
        match error {
            error if error.is_unreachable() && is_sandbox => {
                Some("with stripe.mode = \"sandbox\" it runs inside the gateway: start that first")
            }
            error if error.is_key_problem() => Some(
                "check stripe.secret_key: a restricted key needs to read and write meters, products and prices",
            ),
            _ => None,
        }
    }

    fn head(&self) -> String {
        format!("Stripe, {}, {}\n\n", self.mode, self.config.stripe.api_base)
    }
}

/// In words, without the key.
fn mode(config: &Config) -> &'static str {
    let key = config.stripe.secret_key.expose();
    let of = |mode: &str| ["sk", "rk"].iter().any(|kind| key.starts_with(&format!("{kind}_{mode}_")));
    match config.stripe.mode {
        Mode::Sandbox { .. } => "the local sandbox",
        Mode::Live if of("live") => "LIVE mode",
        Mode::Live if of("test") => "test mode",
        Mode::Live => "a key of unknown mode",
    }
}

/// Only a yes is one.
fn ask(count: usize, mode: &str) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("apply asks before it makes anything, and here is no terminal to ask on: add --yes");
    }
    eprint!("Make {count} at Stripe, {mode}? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was made"),
    }
}
