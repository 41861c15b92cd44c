//! One world for every test: the gateway's real binary, a fake API behind it and the local Stripe beside it.
//!
//! A world counts every unit that a client was told it was charged. [`World::finish`] ends each test: it has
//! the outbox flushed and then compares what clients saw, the ledger, the store and Stripe's meters. A world
//! that is dropped without it fails the test.

mod authority;
pub mod books;
mod command;
pub mod config;
mod customer;
mod dice;
mod gateway;
mod http2;
pub mod listener;
mod load;
mod nginx;
mod page;
mod road;
mod room;
mod stripe;
mod tls;
mod upstream;
mod wire;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use authority::{Authority, Pair};
pub use books::let_pauses_pass;
pub use command::{Ended, tollgate};
pub use config::{ADMIN_TOKEN, SECRET, WEBHOOK_SECRET, free_address};
pub use customer::{Customer, Reply, token};
pub use dice::{Dice, setting};
pub use gateway::Gateway;
pub use http2::Http2;
pub use listener::Listener;
pub use load::Load;
pub use nginx::Nginx;
pub use page::CheckoutPage;
pub use room::{Room, Sizes, fill, make_room};
pub use stripe::{Stripe, signature, unix_now};
pub use tls::{TlsClient, pem};
pub use tollgate::domain::period::rfc3339;
pub use upstream::{Behaviour, Upstream};
pub use wire::{Wire, Wires};
pub use world::{World, send};

/// A test that panicked elsewhere has failed already: its data is still good to read.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must happen; fails the test when it does not in time.
pub async fn in_time<T>(happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, happens).await.expect("in time")
}

/// Asks again and again until there is an answer; fails the test when there is none in time.
pub async fn until<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Resident memory of a process, in KiB.
pub fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("KiB")
}
