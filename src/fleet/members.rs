//! The nodes of the fleet: who is there, under which name and number.

use super::Fleet;

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
    #[error("the nodes of the fleet speak another version of its protocol; update them one after the other")]
    OtherProtocol,
}

impl Fleet {
    /// All nodes that are known, this one among them.
    pub fn members(&self) -> Vec<Member> {
        Vec::new()
    }

    /// This node's number; `None` before it has joined for the first time.
    pub fn slot(&self) -> Option<u32> {
        None
    }

    /// Redis's time as this node follows it, in microseconds since the epoch; never less than before.
    pub fn micros(&self) -> i64 {
        0
    }
}
