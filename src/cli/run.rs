//! `tollgate run`: the gateway, until SIGTERM or SIGINT, or until another process takes its place.

use crate::server::{Ended, Server};

use super::{ConfigFile, Failure, load, logging};

#[derive(clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Take the place of the gateway that runs on the same `data_dir`, without a failed request
    #[arg(long)]
    upgrade: bool,
}

impl Run {
    pub fn run(self) -> Result<(), Failure> {
        let config = load(&self.file.config)?;
        logging::start(&config.log);
        let mut server = if self.upgrade { Server::upgrade(&config)? } else { Server::start(&config)? };
        match server.wait_for_the_end()? {
            Ended::Told => server.stop(),
            Ended::Replaced(heir) => server.leave(&heir),
        }
        Ok(())
    }
}
