//! The upgrade of the binary: a new process takes the place of the one that runs, and no request fails.
//!
//! # What it promises
//!
//! - At any time one process decides, settles, writes, seals and sends. What the old one still has under way then is
//!   settled by the new one (`gateway::Books`).
//! - The listening sockets stay open throughout: clients who connect wait in their queues.
//! - Until the new process has said that it is ready for everything, the old one goes on as if nothing had been,
//!   however the new one fails. From then on the old one never writes again.
//! - What is held up, is so for a moment: at most [`HELD_UP`], then the old one goes on.
//!
//! # How
//!
//! Over a socket in `data_dir`, which nobody else can open:
//!
//! 1. New: `Hello`, its version and what it can take over. Old: `Come`, its ports and meters; then the sockets, and the
//!    lock of `data_dir`.
//! 2. New: checks all that it can without the books; `Ready`.
//! 3. Old: what seals and sends rests, requests wait, all records are on disk and folded; `Rests`, with what is in
//!    flight.
//! 4. New: opens ledger and store, and holds what is in flight; `Opened`. Old: `Serve`, the books are there now.
//! 5. New: accepts, and answers what the old one asks. Old: accepts no more, and ends when its last connection has.

mod giver;
mod taker;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::customers::handover::{Estate, Names};

pub(super) use giver::Giver;
pub(super) use taker::Before;

/// Raised when what two processes say to each other changes.
const PROTOCOL: u32 = 1;
/// Requests wait at most so long for the new process.
const HELD_UP: Duration = Duration::from_secs(5);

/// What the new process is.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    /// The version of the store's tables.
    schema: usize,
    version: String,
}

impl Hello {
    fn ours() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { protocol: PROTOCOL, schema: crate::store::SCHEMA, version }
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// Why it cannot be.
    No(String),
    Come {
        ports: Vec<SocketAddr>,
        names: Names,
    },
}

/// The new process has found nothing wrong.
#[derive(Debug, Serialize, Deserialize)]
struct Ready;

/// What the old process says once it does nothing more.
#[derive(Debug, Serialize, Deserialize)]
struct Rests {
    estate: Estate,
}

/// The new process could begin.
#[derive(Debug, Serialize, Deserialize)]
struct Opened;

/// The new process begins.
#[derive(Debug, Serialize, Deserialize)]
struct Serve;

fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("upgrade.sock")
}
