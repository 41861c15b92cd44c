//! `tollgate doctor`: looks at everything that a gateway stands on, and says what to do about what is not well.
//!
//! # What it promises
//!
//! - It changes nothing, whether a gateway runs or not. What it writes is one file in `data_dir`, to time the disk,
//!   whose name is gone before it is written to.
//! - Every check has a time limit, and none waits for another.
//! - A check is a value: its name, what came of it, what was seen, what to do. Looking and judging are apart.
//! - No secret is shown: neither a key nor a password, nor an address that holds one.

mod certificates;
mod check;
mod clock;
mod configuration;
mod data;
mod disk;
mod fsync;
mod issuer;
mod limits;
mod ports;
mod prices;
mod redis;
mod stripe;
mod upstreams;
mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture, join_all};

use crate::config::{Config, Mode};
use crate::server;
use crate::stripe::{Transport, TransportOptions};

use super::{Failure, load, print};
use check::{Check, Outcome, as_json, as_text};

/// A check that takes longer has failed.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Who does not answer one question in time counts as silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(super) struct Doctor {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is looked at.
struct Site {
    config: Config,
    /// A gateway runs on the `data_dir`.
    is_running: bool,
    http: reqwest::Client,
    stripe: Transport,
}

impl Doctor {
    pub fn run(&self) -> Result<(), Failure> {
        let site = Arc::new(Site::new(load(&self.config)?)?);
        let runtime = tokio::runtime::Runtime::new()?;
        let checks = runtime.block_on(all(&site));
        // What hangs in a system call, as on a disk that is gone, is not waited for.
        runtime.shutdown_background();
        print(&if self.json { as_json(&checks) } else { as_text(&checks) })?;
        let is_well = checks.iter().all(|check| check.outcome != Outcome::Failed);
        if is_well { Ok(()) } else { Err(Failure::Told) }
    }
}

impl Site {
    fn new(config: Config) -> anyhow::Result<Self> {
        // An error says that another part of the process installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION"), " (doctor)"))
            .build()?;
        let options = TransportOptions {
            connect_timeout: ANSWER_WITHIN,
            timeout: ANSWER_WITHIN,
            tries: 1,
            ..server::stripe_options(&config)
        };
        let stripe = Transport::new(options)?;
        Ok(Self { is_running: data::is_locked(&config.server.data_dir), config, http, stripe })
    }

    /// Whether there is a Stripe to ask: the local one is a part of the gateway.
    fn has_stripe(&self) -> bool {
        self.is_running || self.config.stripe.mode == Mode::Live
    }

    /// Why nothing is asked of it, where there is none.
    fn without_stripe(name: &str) -> Vec<Check> {
        vec![Check::skipped(name, "the local Stripe is a part of the gateway, which does not run")]
    }
}

/// All checks, in the order in which they are shown.
async fn all(site: &Arc<Site>) -> Vec<Check> {
    let checks: Vec<(&'static str, LocalBoxFuture<'_, Vec<Check>>)> = vec![
        ("configuration", async { configuration::check(site) }.boxed_local()),
        ("clock", clock::check(site).boxed_local()),
        ("disk", blocking(site, disk::check).boxed_local()),
        ("disk speed", blocking(site, fsync::check).boxed_local()),
        ("data", blocking(site, data::check).boxed_local()),
        ("open files", async { limits::check(site) }.boxed_local()),
        ("ports", ports::check(site).boxed_local()),
        ("certificates", async { certificates::check(site) }.boxed_local()),
        ("issuer", issuer::check(site).boxed_local()),
        ("upstreams", upstreams::check(site).boxed_local()),
        ("redis", redis::check(site).boxed_local()),
        ("stripe", stripe::check(site).boxed_local()),
        ("stripe webhooks", webhooks::check(site).boxed_local()),
        ("stripe prices", prices::check(site).boxed_local()),
    ];
    let limited = checks.into_iter().map(|(name, check)| async move {
        tokio::time::timeout(TIME_LIMIT, check).await.unwrap_or_else(|_| {
            let said = format!("not done within {} s", TIME_LIMIT.as_secs());
            vec![Check::failed(name, said, "what it looks at hangs: look at that first")]
        })
    });
    join_all(limited).await.into_iter().flatten().collect()
}

/// A check that waits for the disk.
async fn blocking(site: &Arc<Site>, check: fn(&Site) -> Vec<Check>) -> Vec<Check> {
    let site = site.clone();
    let done = tokio::task::spawn_blocking(move || check(&site)).await;
    done.unwrap_or_else(|_| vec![Check::failed("disk", "a check has broken off", "report this as a mistake")])
}
