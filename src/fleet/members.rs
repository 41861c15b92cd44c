//! The nodes of the fleet: who is there, under which name and number.

use std::sync::Arc;

use super::{Away, Fleet};

/// A node, as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Its small number; kept over restarts.
    pub slot: u32,
    /// Of its ledger: 32 hexadecimal digits.
    pub ledger: String,
    /// Its last heartbeat, in Redis's milliseconds.
    pub seen_millis: i64,
    /// Neither gone nor left.
    pub is_live: bool,
}

/// Why a node cannot be a member; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("fleet.node {0:?} is alive elsewhere; give each gateway a name of its own")]
    Alive(String),
    #[error(
        "another gateway runs on a copy of this data_dir, as fleet.node {0:?}; stop it, or restore a backup instead"
    )]
    Copied(String),
    #[error("the ledger of fleet.node {0:?} has the same number as this one's; start with a new data_dir")]
    Clash(String),
    #[error(
        "fleet.node {0:?} speaks another version of the fleet's protocol; update the gateways one after the other"
    )]
    OtherProtocol(String),
    #[error(transparent)]
    Away(#[from] Away),
}

impl Fleet {
    /// Becomes a member. `Away`: Redis did not answer; [`Fleet::run`] tries on.
    pub async fn join(&self) -> Result<(), JoinError> {
        Err(JoinError::Away(Away))
    }

    /// Keeps the link and the membership, and listens; for ever, or until this node must stop. Joins where
    /// [`Fleet::join`] could not.
    pub async fn run(self: Arc<Self>) -> JoinError {
        std::future::pending().await
    }

    /// Nobody waits for this node any more. Behind the last call.
    pub async fn leave(&self) -> Result<(), Away> {
        Err(Away)
    }

    /// All nodes that are known, this one among them.
    pub fn members(&self) -> Vec<Member> {
        Vec::new()
    }

    /// This node's number, which follows from its ledger's id.
    pub fn slot(&self) -> u32 {
        0
    }

    /// Redis's time as this node follows it, in microseconds since the epoch; never less than before.
    pub fn micros(&self) -> i64 {
        0
    }
}
