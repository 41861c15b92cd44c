//! A whole start: the binary, from its first instruction until somebody can connect.

use std::path::Path;
use std::time::{Duration, Instant};

use super::gateway::Gateway;

/// A gateway with the sandbox for Stripe, on what lies in a `data_dir`.
pub fn until_it_listens(data_dir: &Path) -> Duration {
    let started = Instant::now();
    Gateway::start(data_dir, r#"mode = "sandbox""#).until_it_listens();
    started.elapsed()
}
