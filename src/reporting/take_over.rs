//! Taking over what a lost node has not sent.
//!
//! # What it promises
//!
//! - A lost node's rows are sent from its copy, under the identifiers that it gave them or would have given them.
//! - The fence is in Redis before a row is in this node's outbox; this node puts it back when Redis has lost it. So a
//!   node that comes back learns what was taken over of it, and what Stripe answered.
//! - Nobody is taken over for Redis's having been away.
//! - Every step may be repeated. Rows go from here once the lost node has them again.

use std::sync::Arc;
use std::time::Duration;

use crate::fleet::Away;
use crate::fleet::copy::{Copies, Fence, FenceHead, FenceState, LostNode};
use crate::store::{FenceRow, NewFence, Store, StoreError};

use super::fence::{answer_fields, taken_rows};

/// Where Redis has been away for longer than a node may be silent, all look lost to the first who is back: the others
/// get so long to come back as well.
const OTHERS_COME_BACK_WITHIN: Duration = Duration::from_secs(30);

/// What was used before a fence was put up Stripe does not take so long after it: it takes 35 days.
const ENDED_AFTER_SECONDS: i64 = 41 * 86_400;

/// Why a round could not be ended; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Away(#[from] Away),
}

pub struct TakeOver {
    store: Arc<Store>,
    copies: Arc<dyn Copies>,
    /// Meter number, and the name of its events at Stripe.
    event_names: Vec<(u32, String)>,
}

impl TakeOver {
    pub fn new(store: Arc<Store>, copies: Arc<dyn Copies>, event_names: Vec<(u32, String)>) -> Self {
        Self { store, copies, event_names }
    }

    /// Looks after what was taken over, and for nodes to take over. Answers whether there are rows to send.
    pub async fn round(&self, now: i64) -> Result<bool, TakeOverError> {
        for fence in self.store.fences().await? {
            self.tend(&fence, now).await?;
        }
        if self.copies.here_for() < OTHERS_COME_BACK_WITHIN {
            return Ok(false);
        }
        // What of them is still here is not settled.
        let kept: Vec<String> = self.store.fences().await?.into_iter().map(|fence| fence.ledger).collect();
        let mut taken = false;
        for node in self.copies.lost_nodes().into_iter().filter(|node| !kept.contains(&node.ledger)) {
            if let Some(fence) = self.copies.take_over(node.slot).await? {
                taken |= self.take(&node, fence, now).await?;
            }
        }
        Ok(taken)
    }

    /// Keeps a fence, and what it holds, in the store.
    async fn take(&self, node: &LostNode, fence: Fence, now: i64) -> Result<bool, TakeOverError> {
        let FenceHead { at_millis, inherited, .. } = fence.head;
        let new = NewFence { slot: node.slot, ledger: node.ledger.clone(), at_millis, inherited };
        let kept = self.store.keep_fence(new, now).await?;
        if kept.is_whole {
            return Ok(false);
        }
        let rows = taken_rows(&fence.fields, &self.event_names);
        tracing::warn!(
            ledger = node.ledger,
            rows = rows.len(),
            "the unsent usage of a lost node is taken over"
        );
        self.store.take_rows(kept.id, rows, now).await?;
        Ok(true)
    }

    async fn tend(&self, fence: &FenceRow, now: i64) -> Result<(), TakeOverError> {
        if self.has_ended(fence, now).await? {
            self.store.drop_fence(fence.id).await?;
            return Ok(self.copies.clear_fence(fence.slot, fence.at_millis).await?);
        }
        let Some(head) = self.copies.fence(fence.slot).await? else {
            return self.restore(fence).await;
        };
        if head.at_millis != fence.at_millis {
            // Redis had lost ours, and the node was taken over once more: ours follows when that one is settled.
            return Ok(());
        }
        if head.state == FenceState::Settled {
            self.store.drop_fence(fence.id).await?;
            return Ok(self.copies.clear_fence(fence.slot, fence.at_millis).await?);
        }
        self.tell(fence, head.state == FenceState::Sent).await?;
        if head.by != self.copies.ledger() {
            // Whoever thought this node lost has all of it.
            return Ok(self.store.drop_fence(fence.id).await?);
        }
        if !fence.is_whole
            && let Some(whole) = self.copies.take_over(fence.slot).await?
        {
            let rows = taken_rows(&whole.fields, &self.event_names);
            self.store.take_rows(fence.id, rows, now).await?;
        }
        Ok(())
    }

    /// Whether the lost node may come back without it: all has an answer, and Stripe takes nothing of that age.
    async fn has_ended(&self, fence: &FenceRow, now: i64) -> Result<bool, StoreError> {
        let is_old = now - fence.at_millis / 1_000 > ENDED_AFTER_SECONDS;
        Ok(is_old && fence.is_whole && self.store.taken_answers(fence).await?.1)
    }

    /// Tells the lost node what Stripe has answered; what names somebody who was erased is told anew without.
    async fn tell(&self, fence: &FenceRow, was_sent: bool) -> Result<(), TakeOverError> {
        let (answers, all) = self.store.taken_answers(fence).await?;
        let is_sent = all && fence.is_whole;
        let told = format!("{} {is_sent} {}", answers.len(), digest(&answers));
        if told == fence.told && was_sent == is_sent {
            return Ok(());
        }
        let mut fields = answer_fields(&answers);
        fields.extend(self.store.nameless_fields(fence.id).await?);
        self.copies.note_answers(fence.slot, fence.at_millis, &fields, is_sent).await?;
        Ok(self.store.note_told(fence.id, told).await?)
    }

    /// Redis has lost the fence.
    async fn restore(&self, fence: &FenceRow) -> Result<(), TakeOverError> {
        let mut fields = self.store.fenced_fields(fence.id).await?;
        let (answers, _) = self.store.taken_answers(fence).await?;
        fields.extend(answer_fields(&answers));
        let head = FenceHead {
            by: self.copies.ledger().to_owned(),
            at_millis: fence.at_millis,
            inherited: fence.inherited,
            state: FenceState::Taken,
        };
        tracing::warn!(ledger = fence.ledger, "Redis has lost a fence: it is put back");
        Ok(self.copies.put_fence(fence.slot, &Fence { head, fields }).await?)
    }
}

/// Whether another answer has come, or one has changed.
fn digest(answers: &[(String, crate::store::TakenAnswer)]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut digest = DefaultHasher::new();
    for (identifier, answer) in answers {
        (identifier, *answer as u8).hash(&mut digest);
    }
    digest.finish()
}
