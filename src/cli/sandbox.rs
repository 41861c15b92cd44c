//! `tollgate sandbox`: the local Stripe alone, for development and tests.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::sandbox::{Options, Sandbox, WebhookEndpoint};

use super::{Failure, print};

#[derive(clap::Args)]
pub(super) struct SandboxArguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    /// An endpoint that gets every event
    #[arg(long, value_name = "URL", requires = "webhook_secret")]
    webhook: Option<String>,
    /// What events are signed with
    #[arg(long, value_name = "SECRET", requires = "webhook")]
    webhook_secret: Option<String>,
    /// Answer 429 beyond so many requests per second
    #[arg(long, value_name = "N")]
    requests_per_second: Option<u32>,
}

impl SandboxArguments {
    pub fn run(self) -> Result<(), Failure> {
        let webhooks =
            self.webhook.zip(self.webhook_secret).map(|(url, secret)| WebhookEndpoint { url, secret });
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
            tokio::signal::ctrl_c().await?;
            sandbox.stop().await;
            Ok(())
        })
    }
}
