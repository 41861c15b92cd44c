//! What one node alone does: a webhook event applied, a keyed request charged, a notice sent.

use std::time::Duration;

use super::{Away, Fleet};

/// What came of claiming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is this node's to do.
    Ours,
    /// Of another node.
    Theirs { slot: u32, state: ClaimState },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimState {
    Doing,
    /// With what whoever did it noted.
    Done(String),
}

impl Fleet {
    /// `what` names it in the fleet: `event:evt_…`, `notice:…`, or a customer and the digest of a key.
    pub async fn claim(&self, _what: &str, _kept: Duration) -> Result<Claim, Away> {
        Err(Away)
    }

    /// It is done.
    pub async fn done(&self, _what: &str, _note: &str, _kept: Duration) -> Result<(), Away> {
        Err(Away)
    }

    /// It was not done: others may, if it is still ours.
    pub async fn unclaim(&self, _what: &str) -> Result<(), Away> {
        Err(Away)
    }
}
