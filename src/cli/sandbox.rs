//! `tollgate sandbox`: the local Stripe alone, for development and tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::sandbox::{Options, Sandbox, WebhookEndpoint};

use super::{Failure, print};

#[derive(clap::Args)]
pub(super) struct SandboxArguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    /// An endpoint that gets every event
    #[arg(long, value_name = "URL", requires = "signed")]
    webhook: Option<String>,
    /// What events are signed with
    #[arg(long, value_name = "SECRET", requires = "webhook", group = "signed")]
    webhook_secret: Option<String>,
    /// A file that holds it
    #[arg(long, value_name = "FILE", requires = "webhook", group = "signed")]
    webhook_secret_file: Option<PathBuf>,
    /// Answer 429 beyond so many requests per second
    #[arg(long, value_name = "N")]
    requests_per_second: Option<u32>,
}

impl SandboxArguments {
    pub fn run(self) -> Result<(), Failure> {
        let secret = match self.webhook_secret_file {
            Some(file) => {
                let read = std::fs::read_to_string(&file);
                Some(read.with_context(|| format!("{} cannot be read", file.display()))?.trim().to_owned())
            }
            None => self.webhook_secret,
        };
        let webhooks = self.webhook.zip(secret).map(|(url, secret)| WebhookEndpoint { url, secret });
        let options = Options {
            listen: self.listen,
            webhooks: webhooks.into_iter().collect(),
            requests_per_second: self.requests_per_second,
            ..Options::default()
        };
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let sandbox = Sandbox::start(options).await.with_context(|| {
                format!(
                    "cannot listen on {}; stop what uses the port, or name another with --listen",
                    self.listen
                )
            })?;
            print(&format!("sandbox: {}\n", sandbox.base_url()))?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = terminate.recv() => {}
                interrupted = tokio::signal::ctrl_c() => interrupted?,
            }
            sandbox.stop().await;
            Ok(())
        })
    }
}
