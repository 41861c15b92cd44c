//! The copies of what nodes have not sent to Stripe, and the fences of those who take it over, in Redis.
//!
//! # What holds
//!
//! - A copy is written only while there is no fence: what is in it when a node is fenced is all that others can send of
//!   it, and a node that is told `Done` knows that its copy came first.
//! - Writes carry rising numbers: one that arrives late changes nothing.
//! - A fence has one taker at a time, and stays until the fenced node has settled it, and its taker has seen that; one
//!   that nobody comes back for until Stripe takes nothing of it any more.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::lease::{millis, strange};
use super::link::Lane;
use super::scripts::Run;
use super::{Away, Fleet, keys, scripts, values};

/// Names and texts.
pub type Fields = Vec<(String, String)>;

/// What changes in a node's copy.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Higher than that of all writes before.
    pub number: u64,
    /// There may be no copy yet.
    pub begins: bool,
    pub set: Fields,
    pub removed: Vec<String>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    /// There is no copy; nothing was written.
    Lost,
    /// Another node has taken it over; nothing was written.
    Fenced,
    /// A later write came before; nothing was written.
    Overtaken,
}

/// A node's copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Of its last write.
    pub number: u64,
    pub fields: Fields,
}

/// Where a fenced node's usage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceState {
    Taken,
    /// All of it has an answer.
    Sent,
    /// The node has it again.
    Settled,
}

/// A fence, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceHead {
    /// The ledger of its taker.
    pub by: String,
    /// When it was put up, by Redis's clock.
    pub at_millis: i64,
    /// Another taker had it before, who is lost too.
    pub inherited: bool,
    pub state: FenceState,
}

/// A fence with all that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub head: FenceHead,
    pub fields: Fields,
}

/// A node that has been silent for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostNode {
    pub slot: u32,
    pub ledger: String,
}

/// Where copies and fences are.
pub trait Copies: Send + Sync {
    /// Of this node.
    fn ledger(&self) -> &str;
    fn write<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<Written, Away>>;
    /// This node's copy.
    fn read(&self) -> BoxFuture<'_, Result<Option<Copied>, Away>>;
    /// What was taken over of this node, and is not settled.
    fn own_fence(&self) -> BoxFuture<'_, Result<Option<Fence>, Away>>;
    /// This node has its usage again.
    fn settle_fence(&self, at_millis: i64) -> BoxFuture<'_, Result<(), Away>>;

    fn lost_nodes(&self) -> Vec<LostNode>;
    /// How long Redis has been there without a break, as this node sees it.
    fn here_for(&self) -> Duration;
    /// Takes a lost node over. None: there is nothing, or somebody else has it.
    fn take_over(&self, slot: u32) -> BoxFuture<'_, Result<Option<Fence>, Away>>;
    fn fence(&self, slot: u32) -> BoxFuture<'_, Result<Option<FenceHead>, Away>>;
    /// Puts up a fence that Redis has lost, unless there is one.
    fn put_fence<'a>(&'a self, slot: u32, fence: &'a Fence) -> BoxFuture<'a, Result<(), Away>>;
    /// Notes what came of a fence's rows; at the end that all have an answer.
    fn note_answers<'a>(
        &'a self,
        slot: u32,
        at_millis: i64,
        answers: &'a [(String, String)],
        is_sent: bool,
    ) -> BoxFuture<'a, Result<(), Away>>;
    /// Takes a fence down that is settled, or has had all its answers for long.
    fn clear_fence(&self, slot: u32, at_millis: i64) -> BoxFuture<'_, Result<(), Away>>;
}

/// Fields in one command: none holds Redis up.
const CHUNK: usize = 500;
/// A copy that is not changed is kept for so long: Stripe takes nothing older than 35 days.
const KEPT: Duration = Duration::from_hours(40 * 24);
/// A node that has been silent for the configured time gets so long to say something.
const GRACE: Duration = Duration::from_secs(30);

impl Fleet {
    async fn state_of(&self, script: &Run) -> Result<String, Away> {
        let answer = self.link.script(Lane::Whole, script).await?;
        values::text(&answer).map(str::to_owned).ok_or_else(|| strange("a copy's script"))
    }

    /// All fields of a hash that nobody else changes meanwhile.
    async fn fields_of(&self, key: &str) -> Result<Fields, Away> {
        let (mut cursor, mut all) = ("0".to_owned(), Fields::new());
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(key).arg(&cursor).arg("COUNT").arg(CHUNK);
            let answer = self.link.command(Lane::Whole, &scan).await?;
            let part = || match values::array(&answer)? {
                [next, fields] => Some((values::text(next)?.to_owned(), values::fields(fields)?)),
                _ => None,
            };
            let (next, fields) = part().ok_or_else(|| strange("a scan"))?;
            all.extend(fields);
            if next == "0" {
                // A scan may show a field twice.
                all.sort_unstable();
                all.dedup_by(|a, b| a.0 == b.0);
                return Ok(all);
            }
            cursor = next;
        }
    }

    async fn fence_of(&self, slot: u32) -> Result<Option<FenceHead>, Away> {
        let (_, key) = keys::copy_and_fence(slot);
        let mut read = redis::cmd("HMGET");
        read.arg(key).arg(&HEAD);
        let answer = self.link.command(Lane::Whole, &read).await?;
        let found = values::array(&answer).ok_or_else(|| strange("a fence"))?;
        let [by, at, inherited, state] = found else { return Err(strange("a fence")) };
        let (Some(by), Some(at_millis)) = (values::text(by), values::integer(at)) else { return Ok(None) };
        let state = match values::text(state) {
            Some("settled") => FenceState::Settled,
            Some("sent") => FenceState::Sent,
            _ => FenceState::Taken,
        };
        Ok(Some(FenceHead {
            by: by.to_owned(),
            at_millis,
            inherited: values::text(inherited).is_some(),
            state,
        }))
    }

    async fn whole_fence(&self, slot: u32) -> Result<Option<Fence>, Away> {
        let Some(head) = self.fence_of(slot).await? else { return Ok(None) };
        let mut fields = self.fields_of(&keys::copy_and_fence(slot).1).await?;
        fields.retain(|(field, _)| !HEAD.contains(&field.as_str()));
        Ok(Some(Fence { head, fields }))
    }

    async fn note(
        &self,
        slot: u32,
        at_millis: i64,
        state: &str,
        answers: &[(String, String)],
    ) -> Result<(), Away> {
        let mut script = scripts::NOTED.key(keys::copy_and_fence(slot).1);
        script.arg(at_millis).arg(state);
        for (field, answer) in answers {
            script.arg(field).arg(answer);
        }
        self.state_of(&script).await.map(drop)
    }
}

/// What of a fence is not what was taken over. All other fields begin with the letter of their kind and no letter
/// behind it.
const HEAD: [&str; 4] = ["by", "at", "inherited", "state"];

impl Copies for Fleet {
    fn ledger(&self) -> &str {
        &self.ledger
    }

    fn write<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<Written, Away>> {
        Box::pin(async move {
            let (copy, fence) = keys::copy_and_fence(self.slot());
            let mut script = scripts::COPY.key(copy);
            script.key(fence).arg(changes.number).arg(u8::from(changes.begins)).arg(millis(KEPT));
            script.arg(changes.set.len());
            for (field, text) in &changes.set {
                script.arg(field).arg(text);
            }
            for field in &changes.removed {
                script.arg(field);
            }
            match self.state_of(&script).await?.as_str() {
                "done" => Ok(Written::Done),
                "lost" => Ok(Written::Lost),
                "fenced" => Ok(Written::Fenced),
                _ => Ok(Written::Overtaken),
            }
        })
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Copied>, Away>> {
        Box::pin(async {
            let mut fields = self.fields_of(&keys::copy_and_fence(self.slot()).0).await?;
            let Some(at) = fields.iter().position(|(field, _)| field == "s") else { return Ok(None) };
            let number = fields.swap_remove(at).1.parse().unwrap_or(0);
            Ok(Some(Copied { number, fields }))
        })
    }

    fn own_fence(&self) -> BoxFuture<'_, Result<Option<Fence>, Away>> {
        Box::pin(async {
            let fence = self.whole_fence(self.slot()).await?;
            Ok(fence.filter(|fence| fence.head.state != FenceState::Settled))
        })
    }

    fn settle_fence(&self, at_millis: i64) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(self.note(self.slot(), at_millis, "settled", &[]))
    }

    fn lost_nodes(&self) -> Vec<LostNode> {
        let after = self.take_over_after + GRACE;
        let before = self.micros() / 1_000 - i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let members = self.members().into_iter().filter(|node| !node.is_live && node.seen_millis < before);
        members
            .filter(|node| node.ledger != self.ledger)
            .map(|node| LostNode { slot: node.slot, ledger: node.ledger })
            .collect()
    }

    fn here_for(&self) -> Duration {
        self.link.here_for()
    }

    fn take_over(&self, slot: u32) -> BoxFuture<'_, Result<Option<Fence>, Away>> {
        Box::pin(async move {
            let (copy, fence) = keys::copy_and_fence(slot);
            let mut script = scripts::FENCE.key(copy);
            script.key(fence).arg(&self.ledger);
            for node in self.lost_nodes() {
                script.arg(node.ledger);
            }
            match self.state_of(&script).await?.as_str() {
                "taken" => self.whole_fence(slot).await,
                _ => Ok(None),
            }
        })
    }

    fn fence(&self, slot: u32) -> BoxFuture<'_, Result<Option<FenceHead>, Away>> {
        Box::pin(self.fence_of(slot))
    }

    fn put_fence<'a>(&'a self, slot: u32, fence: &'a Fence) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            let (_, key) = keys::copy_and_fence(slot);
            // Nobody sees a part of it.
            let parts = format!("{key}:{}", self.ledger);
            let mut delete = redis::cmd("DEL");
            delete.arg(&parts);
            self.link.command(Lane::Whole, &delete).await?;
            for chunk in fence.fields.chunks(CHUNK) {
                let mut set = redis::cmd("HSET");
                set.arg(&parts);
                for (field, text) in chunk {
                    set.arg(field).arg(text);
                }
                self.link.command(Lane::Whole, &set).await?;
            }
            let FenceHead { by, at_millis, inherited, .. } = &fence.head;
            let mut script = scripts::FENCE_PUT.key(parts);
            script.key(key).arg(by).arg(*at_millis).arg(u8::from(*inherited));
            self.state_of(&script).await.map(drop)
        })
    }

    fn note_answers<'a>(
        &'a self,
        slot: u32,
        at_millis: i64,
        answers: &'a [(String, String)],
        is_sent: bool,
    ) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            for chunk in answers.chunks(CHUNK) {
                self.note(slot, at_millis, "taken", chunk).await?;
            }
            if is_sent { self.note(slot, at_millis, "sent", &[]).await } else { Ok(()) }
        })
    }

    fn clear_fence(&self, slot: u32, at_millis: i64) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(self.note(slot, at_millis, "gone", &[]))
    }
}
