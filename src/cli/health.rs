//! `tollgate health`: whether a gateway on this machine is ready; for health checks of containers, which have no curl.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::{Failure, load, print};

/// What a gateway gets to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(super) struct Health {
    /// The admin port, where no configuration is named
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090", conflicts_with = "config")]
    address: SocketAddr,
    /// The configuration file, which names the admin port
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask whether it lives, and not whether it is ready for requests
    #[arg(long)]
    alive: bool,
}

impl Health {
    pub fn run(&self) -> Result<(), Failure> {
        let mut address = match &self.config {
            Some(file) => load(file)?.server.admin_listen,
            None => self.address,
        };
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let path = if self.alive { "healthz" } else { "readyz" };
        let url = format!("http://{address}/{path}");
        // An error says that another part of the process installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN).build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, text) = runtime.block_on(async {
            let no_answer = || format!("no gateway answers at {url}");
            let answer = http.get(&url).send().await.with_context(no_answer)?;
            let status = answer.status();
            anyhow::Ok((status, answer.text().await.with_context(no_answer)?))
        })?;
        if status.is_success() {
            return print(&text);
        }
        Err(anyhow!("{url} answers {status}: {}", text.trim()).into())
    }
}
