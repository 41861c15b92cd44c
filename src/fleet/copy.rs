//! The copy of a node's unsent usage, and the fence of whoever takes it over.

use std::time::Duration;

use super::lease::{millis, strange};
use super::link::Lane;
use super::{Away, Fleet, keys, scripts, values};

/// A copy that is not changed is kept for so long.
const KEPT: Duration = Duration::from_hours(40 * 24);
/// Fields that are changed at once: others wait for so long.
const AT_ONCE: usize = 1_000;
/// A node that has been silent for the configured time gets so long to say something.
const GRACE: Duration = Duration::from_secs(30);

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
    /// What it had not sent, as it was copied; `at`: when, in Redis's milliseconds; `a…`: the answers to its rows.
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
    /// Changes this node's copy; all at once up to a thousand fields, in their order beyond. `false`: Redis had none, or
    /// has lost it, so that all of it must be copied.
    pub async fn copy(&self, changes: &Copied) -> Result<bool, Away> {
        let (set, removed) = (changes.set.as_slice(), changes.removed.as_slice());
        if set.len() + removed.len() <= AT_ONCE {
            return self.copy_part(set, removed).await;
        }
        let mut was_there = None;
        for part in set.chunks(AT_ONCE) {
            let was = self.copy_part(part, &[]).await?;
            was_there = was_there.or(Some(was));
        }
        for part in removed.chunks(AT_ONCE) {
            let was = self.copy_part(&[], part).await?;
            was_there = was_there.or(Some(was));
        }
        Ok(was_there.unwrap_or(true))
    }

    async fn copy_part(&self, set: &[(String, String)], removed: &[String]) -> Result<bool, Away> {
        let (copy, _) = keys::copy_and_fence(self.slot());
        let mut script = scripts::COPY.key(&copy);
        script.arg(millis(KEPT)).arg(set.len());
        for (field, value) in set {
            script.arg(field).arg(value);
        }
        for field in removed {
            script.arg(field);
        }
        let answer = self.link.script(Lane::Whole, &script).await?;
        Ok(values::integer(&answer) == Some(1))
    }

    /// Fences a node that has been silent for long enough, and answers what it had not sent. Again, the same.
    pub async fn take_over(&self, slot: u32) -> Result<FenceState, Away> {
        let Some(lost) = self.members().into_iter().find(|member| member.slot == slot) else {
            return Ok(FenceState::No);
        };
        let (copy, fence) = keys::copy_and_fence(slot);
        let mut script = scripts::FENCE.key(copy);
        script.key(fence);
        script.arg(&self.ledger).arg(millis(self.take_over_after + GRACE)).arg(lost.seen_millis);
        let answer = self.link.script(Lane::Whole, &script).await?;
        let read = || match values::array(&answer)? {
            [what, fields] if values::text(what)? == "taken" => {
                Some(FenceState::Taken(read_fence(values::fields(fields)?)?))
            }
            [what] if values::text(what)? == "early" => Some(FenceState::Early),
            _ => Some(FenceState::No),
        };
        read().ok_or_else(|| strange("a fence"))
    }

    /// Notes in the fence of another node what came of its rows: identifier and answer; at the end that all are sent.
    pub async fn note_answers(
        &self,
        slot: u32,
        answers: &[(String, String)],
        is_sent: bool,
    ) -> Result<(), Away> {
        let (copy, fence) = keys::copy_and_fence(slot);
        let parts = answers.len().div_ceil(AT_ONCE).max(1);
        for part in 0..parts {
            let some = answers.iter().skip(part * AT_ONCE).take(AT_ONCE);
            let is_last = part + 1 == parts;
            let mut script = scripts::NOTED.key(&copy);
            script.key(&fence).arg(&self.ledger).arg(u8::from(is_sent && is_last));
            for (identifier, answer) in some {
                script.arg(format!("a{identifier}")).arg(answer);
            }
            self.link.script(Lane::Whole, &script).await?;
        }
        Ok(())
    }

    /// What was taken over of this node.
    pub async fn own_fence(&self) -> Result<Option<Fence>, Away> {
        let (_, fence) = keys::copy_and_fence(self.slot());
        let mut read = redis::cmd("HGETALL");
        read.arg(fence);
        let answer = self.link.command(Lane::Whole, &read).await?;
        let fields = values::fields(&answer).ok_or_else(|| strange("a fence"))?;
        if fields.is_empty() {
            return Ok(None);
        }
        read_fence(fields).map(Some).ok_or_else(|| strange("a fence"))
    }

    /// This node has reckoned with its fence.
    pub async fn drop_fence(&self) -> Result<(), Away> {
        let (copy, fence) = keys::copy_and_fence(self.slot());
        let mut delete = redis::cmd("DEL");
        delete.arg(fence).arg(copy);
        self.link.command(Lane::Whole, &delete).await.map(|_| ())
    }
}

fn read_fence(fields: Vec<(String, String)>) -> Option<Fence> {
    let of = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
    let (by, state) = (of("by")?, of("state"));
    let fields = fields.into_iter().filter(|(field, _)| !["by", "state"].contains(&field.as_str()));
    Some(Fence { by, is_sent: state.as_deref() == Some("sent"), fields: fields.collect() })
}
