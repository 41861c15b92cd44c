//! The copy of a node's unsent usage, and the fence of whoever takes it over.

use super::{Away, Fleet};

/// What changes in a node's copy: fields with their values, and fields that go.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    pub set: Vec<(String, String)>,
    pub removed: Vec<String>,
}

/// What was taken over of a lost node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// The ledger id of who took it over.
    pub by: String,
    pub fields: Vec<(String, String)>,
    /// All of it has an answer.
    pub is_sent: bool,
}

/// What came of taking over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FenceState {
    Taken(Fence),
    /// By somebody else, or sent already, or there is nothing.
    No,
    /// The node has been heard of since.
    Early,
}

impl Fleet {
    /// Changes this node's copy. `false`: Redis had none, or has lost it, so that all of it must be copied.
    pub async fn copy(&self, _changes: &Copied) -> Result<bool, Away> {
        Err(Away)
    }

    /// Fences a node that has been silent for long enough, and answers what it had not sent.
    pub async fn take_over(&self, _slot: u32) -> Result<FenceState, Away> {
        Err(Away)
    }

    /// Notes in the fence of another node what came of its rows: identifier and answer; at the end that all are sent.
    pub async fn note_answers(
        &self,
        _slot: u32,
        _answers: &[(String, String)],
        _is_sent: bool,
    ) -> Result<(), Away> {
        Err(Away)
    }

    /// What was taken over of this node.
    pub async fn own_fence(&self) -> Result<Option<Fence>, Away> {
        Err(Away)
    }

    /// This node has reckoned with its fence.
    pub async fn drop_fence(&self) -> Result<(), Away> {
        Err(Away)
    }
}
