//! What this node must know at once: who wants units back, what Redis has lost, that it has come back.
//!
//! Each `next_…` is for one listener; what is not waited for is kept up to a bound.

use smol_str::SmolStr;
use tokio::sync::watch;

use super::{Away, Fleet, LinkState};

/// One life of a bucket's customers in Redis: what this node has put into an earlier one is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Of the customers for whom [`Fleet::bucket`] answers it.
    pub bucket: u8,
    pub(super) marker: SmolStr,
}

/// One return of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoin(pub(super) u64);

impl Fleet {
    /// Another node is short of what this one may hold of the customer: call, keeping no more than is in flight.
    pub async fn next_recall(&self) -> SmolStr {
        std::future::pending().await
    }

    /// A bucket in which Redis does not have what this node knows: call for all its customers, with what was last seen
    /// of the others, then say [`Fleet::put_back`].
    pub async fn next_loss(&self) -> Generation {
        std::future::pending().await
    }

    /// All that this node knows of the bucket has been put back. `false`: it has been lost again, and
    /// [`Fleet::next_loss`] says so.
    pub async fn put_back(&self, _generation: &Generation) -> Result<bool, Away> {
        Err(Away)
    }

    /// The bucket of a customer: 0 to 15.
    pub fn bucket(_customer: &str) -> u8 {
        0
    }

    /// Redis is there (again): call for all who have changed, put all facts that wait, then say [`Fleet::rejoined`].
    pub async fn next_rejoin(&self) -> Rejoin {
        std::future::pending().await
    }

    /// What waited has been told. Nothing happens if Redis has been lost since.
    pub fn rejoined(&self, _rejoin: Rejoin) {}

    /// To wait for its changes.
    pub fn states(&self) -> watch::Receiver<LinkState> {
        watch::Sender::new(LinkState::Unknown).subscribe()
    }

    /// This node does not hear what is published: it must keep no more than it uses until it does.
    pub fn is_deaf(&self) -> bool {
        false
    }
}
