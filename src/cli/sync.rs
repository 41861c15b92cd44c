//! `tollgate sync`: subscriptions read back from Stripe, by the gateway if one runs.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::json;

use crate::billing::Sync;
use crate::billing::sync::Synced;
use crate::server;

use super::gateway::{Gateway, escaped};
use super::{Failure, load, print};

/// How often a gateway is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(clap::Args)]
pub(super) struct SyncArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only this customer, as tokens name them
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl SyncArguments {
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let customer = self.customer.as_deref();
        let runtime = tokio::runtime::Runtime::new()?;
        let bar = bar();
        let synced = match server::syncer(&config)? {
            // Nobody starts a gateway as long as it is held.
            Some((sync, _hold)) => runtime.block_on(here(&sync, customer, &bar)),
            None => runtime.block_on(by_the_gateway(&Gateway::of(&config)?, customer, &bar)),
        };
        bar.finish_and_clear();
        let Synced { synced, failed } = synced?;
        print(&if self.json {
            format!("{}\n", json!({ "synced": synced, "failed": failed }))
        } else {
            format!("{synced} synced, {failed} failed\n")
        })?;
        if failed == 0 { Ok(()) } else { Err(Failure::Told) }
    }
}

/// On stderr, and only where somebody watches.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of about {len} subscriptions, {elapsed}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, done: u64, known: u64) {
    bar.set_length(known.max(done));
    bar.set_position(done);
}

async fn here(sync: &Arc<Sync>, customer: Option<&str>, bar: &ProgressBar) -> anyhow::Result<Synced> {
    if let Some(customer) = customer {
        return Ok(sync.customer(customer).await?);
    }
    let mut progress = sync.progress();
    let watched = async {
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update();
            show(bar, now.done.synced + now.done.failed, now.known);
        }
    };
    tokio::select! {
        synced = sync.run() => Ok(synced?),
        // Its sender is the one that runs.
        () = watched => bail!("the sync has ended by itself"),
    }
}

async fn by_the_gateway(
    gateway: &Gateway,
    customer: Option<&str>,
    bar: &ProgressBar,
) -> anyhow::Result<Synced> {
    let path = match customer {
        Some(customer) => format!("/admin/customers/{}/sync", escaped(customer)),
        None => "/admin/sync".to_owned(),
    };
    let answer = tokio::select! {
        answer = gateway.ask(Method::POST, &path, None) => answer?,
        never = watch(gateway, bar) => match never {},
    };
    let count = |name: &str| answer[name].as_u64().with_context(|| format!("the gateway answered {answer}"));
    Ok(Synced { synced: count("synced")?, failed: count("failed")? })
}

async fn watch(gateway: &Gateway, bar: &ProgressBar) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // What cannot be read now is read the next time.
        if let Ok(now) = gateway.ask(Method::GET, "/admin/sync", None).await {
            let count = |name: &str| now[name].as_u64().unwrap_or(0);
            show(bar, count("synced") + count("failed"), count("known"));
        }
    }
}
