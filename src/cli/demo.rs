//! `tollgate demo`: everything at once on loopback, and what to try.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::config::{self, Config, Secret};
use crate::sandbox::Sandbox;
use crate::server::Server;

use super::{Failure, logging, print, sample_api, token};

/// As long as anybody plays with a demo.
const TOKEN_TTL: Duration = Duration::from_hours(24 * 7);

#[derive(clap::Args)]
pub(super) struct Demo {
    /// Keep ledger and store in this folder instead of a temporary one
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<std::path::PathBuf>,
}

impl Demo {
    pub fn run(self) -> Result<(), Failure> {
        let temporary = TemporaryFolder::new()?;
        let mut config = config::parse(config::DEMO, Path::new("config/demo.toml"), &|_| None)
            .map_err(|mistakes| Failure::BadConfiguration(mistakes.to_string()))?;
        config.server.data_dir = self.data_dir.unwrap_or_else(|| temporary.path.clone());
        "warn".clone_into(&mut config.log.level);
        logging::start(&config.log);
        let runtime = tokio::runtime::Runtime::new()?;
        let sample = sample_address(&config)?;
        runtime
            .block_on(sample_api::start(sample))
            .with_context(|| format!("the sample API cannot listen on {sample}; stop what uses the port"))?;
        let mut server = Server::start(&config)?;
        let sandbox = server.sandbox().context("the demo runs the sandbox")?;
        print(&introduction(&config, sandbox, sample)?)?;
        // Nobody takes its place: the local Stripe is in it.
        server.wait_for_the_end()?;
        server.stop();
        Ok(())
    }
}

fn sample_address(config: &Config) -> anyhow::Result<SocketAddr> {
    let server = config.upstreams.first().and_then(|upstream| upstream.servers.first());
    Ok(server.context("the demo has an upstream")?.address.to_string().parse()?)
}

/// URLs, three tokens, three lines to try.
fn introduction(config: &Config, sandbox: &Sandbox, sample: SocketAddr) -> anyhow::Result<String> {
    let gateway = config.server.public_url.clone().unwrap_or_default();
    let admin = config.server.admin_listen;
    // The shipped file has it, and is public.
    let admin_token = config.server.admin_token.as_ref().map(Secret::expose).unwrap_or_default();
    let tokens: Vec<String> = ["free", "starter", "pro"]
        .iter()
        .map(|tier| token_for(config, sandbox, tier))
        .collect::<Result<_, _>>()?;
    let [free, starter, pro] = tokens.as_slice() else { return Err(anyhow!("three tokens")) };
    Ok(format!(
        "Tollgate is running.

  gateway      {gateway}             pricing at {gateway}/pricing
  sample API   http://{sample}             behind the gateway
  Stripe       {sandbox}            the local sandbox; what it counted: {sandbox}/_sandbox/meter_totals
  dashboard    http://{admin}/dashboard             sign in with: {admin_token}
  metrics      http://{admin}/metrics

Three customers, on the tiers free, starter and pro:

  FREE={free}
  STARTER={starter}
  PRO={pro}

Try:

  curl -i {gateway}/signals -H \"Authorization: Bearer {free}\"
  curl -i {gateway}/signals/history/ACME -H \"Authorization: Bearer {starter}\"
  curl -s {gateway}/billing/status -H \"Authorization: Bearer {pro}\"

A link to a customer's own page, for a browser, good once and for five minutes:

  curl -s -X POST {gateway}/billing/link -H \"Authorization: Bearer {free}\"

The free customer has 100 units: /signals costs 1, /signals/history/SYMBOL 2, /export/csv 3, /export/pdf 5.
Stop with Ctrl-C.
",
        sandbox = sandbox.base_url(),
    ))
}

/// A token of a customer who is on the tier; the free one has no customer at Stripe.
fn token_for(config: &Config, sandbox: &Sandbox, tier: &str) -> anyhow::Result<String> {
    let customer = format!("demo-{tier}");
    let is_default = config.catalogue.default_tier.is_some_and(|id| &*config.catalogue.tier(id).name == tier);
    let stripe_customer = if is_default {
        None
    } else {
        let subscribed = sandbox
            .create_subscribed_customer(tier, Some(&customer))
            .map_err(|error| anyhow!("the sandbox refused a subscription: {error:?}"))?;
        Some(subscribed.customer)
    };
    token::sign(config, &customer, stripe_customer.as_deref(), TOKEN_TTL)
}

/// Removed when the demo ends.
struct TemporaryFolder {
    path: std::path::PathBuf,
}

impl TemporaryFolder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("tollgate-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A folder that is left behind harms nobody.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
