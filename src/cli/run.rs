//! `tollgate run`: the gateway, until SIGTERM or SIGINT.

use std::path::Path;

use crate::server::Server;

use super::{Failure, load, logging};

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    logging::start(&config.log);
    let mut server = Server::start(&config)?;
    server.wait_for_signal()?;
    server.stop();
    Ok(())
}
