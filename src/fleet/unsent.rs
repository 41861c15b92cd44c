//! The copies of what nodes have not sent to Stripe, and the fences of those who take it over, in Redis.
//!
//! # What holds
//!
//! - A copy is written only while there is no fence: what is in it when a node is fenced is all that others can send of
//!   it, and a node that is told `Done` knows that its copy came first.
//! - Writes carry rising numbers: one that arrives late changes nothing.
//! - A fence has one taker at a time, and stays until the fenced node has settled it, and its taker has seen that.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{Cmd, Script};

use super::{Away, Fleet};

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
    /// Takes a settled fence down.
    fn clear_fence(&self, slot: u32, at_millis: i64) -> BoxFuture<'_, Result<(), Away>>;
}

macro_rules! script {
    ($name:literal) => {
        LazyLock::new(|| Script::new(include_str!(concat!("scripts/unsent_", $name, ".lua"))))
    };
}

static WRITE: LazyLock<Script> = script!("write");
static TAKE: LazyLock<Script> = script!("take");
static PUT: LazyLock<Script> = script!("put");
static NOTE: LazyLock<Script> = script!("note");

/// Fields in one command: none holds Redis up.
const CHUNK: usize = 500;
/// A node that has been away for as long as is waited for it stops by itself first.
const GRACE: Duration = Duration::from_secs(30);

/// Copies and fences in this node's Redis.
pub struct RedisCopies {
    fleet: Arc<Fleet>,
    ledger: String,
    lost_after: Duration,
}

impl RedisCopies {
    /// `ledger` is this node's, in 32 hexadecimal digits.
    pub fn new(fleet: Arc<Fleet>, ledger: String, take_over_after: Duration) -> Self {
        Self { fleet, ledger, lost_after: take_over_after + GRACE }
    }

    async fn state(&self, script: &Script, keys: [&str; 2], args: &[String]) -> Result<String, Away> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        call.arg(args);
        self.fleet.link().run(async |mut connection| call.invoke_async(&mut connection).await).await
    }

    async fn command<T: redis::FromRedisValue>(&self, command: Cmd) -> Result<T, Away> {
        self.fleet.link().run(async |mut connection| command.query_async(&mut connection).await).await
    }

    async fn set(&self, key: &str, fields: &[(String, String)]) -> Result<(), Away> {
        for chunk in fields.chunks(CHUNK) {
            let mut command = redis::cmd("HSET");
            command.arg(key);
            for (field, text) in chunk {
                command.arg(field).arg(text);
            }
            self.command::<()>(command).await?;
        }
        Ok(())
    }

    /// All fields of a hash that nobody else changes meanwhile.
    async fn fields(&self, key: &str) -> Result<Fields, Away> {
        let (mut cursor, mut all) = (0_u64, Fields::new());
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(key).arg(cursor).arg("COUNT").arg(CHUNK);
            let (next, fields): (u64, Fields) = self.command(command).await?;
            all.extend(fields);
            cursor = next;
            if cursor == 0 {
                // A scan may show a field twice.
                all.sort_unstable();
                all.dedup_by(|a, b| a.0 == b.0);
                return Ok(all);
            }
        }
    }

    async fn head(&self, slot: u32) -> Result<Option<FenceHead>, Away> {
        let mut command = redis::cmd("HMGET");
        command.arg(fence_key(slot)).arg(&["by", "at", "inherited", "state"]);
        let found: Vec<Option<String>> = self.command(command).await?;
        let [by, at, inherited, state] = <[_; 4]>::try_from(found).map_err(|_| Away)?;
        let (Some(by), Some(at)) = (by, at.and_then(|at| at.parse().ok())) else { return Ok(None) };
        let state = match state.as_deref() {
            Some("settled") => FenceState::Settled,
            Some("sent") => FenceState::Sent,
            _ => FenceState::Taken,
        };
        Ok(Some(FenceHead { by, at_millis: at, inherited: inherited.is_some(), state }))
    }

    async fn whole_fence(&self, slot: u32) -> Result<Option<Fence>, Away> {
        let Some(head) = self.head(slot).await? else { return Ok(None) };
        let mut fields = self.fields(&fence_key(slot)).await?;
        fields.retain(|(field, _)| !HEAD.contains(&field.as_str()));
        Ok(Some(Fence { head, fields }))
    }
}

/// What of a fence is not what was taken over. All other fields begin with the letter of their kind and no letter
/// behind it.
const HEAD: [&str; 4] = ["by", "at", "inherited", "state"];

impl Copies for RedisCopies {
    fn ledger(&self) -> &str {
        &self.ledger
    }

    fn write<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<Written, Away>> {
        Box::pin(async move {
            let slot = self.fleet.slot();
            let begins = if changes.begins { "1" } else { "0" };
            let mut args = vec![changes.number.to_string(), begins.into(), changes.set.len().to_string()];
            args.extend(changes.set.iter().flat_map(|(field, text)| [field.clone(), text.clone()]));
            args.extend(changes.removed.iter().cloned());
            match self.state(&WRITE, [&copy_key(slot), &fence_key(slot)], &args).await?.as_str() {
                "done" => Ok(Written::Done),
                "lost" => Ok(Written::Lost),
                "fenced" => Ok(Written::Fenced),
                _ => Ok(Written::Overtaken),
            }
        })
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Copied>, Away>> {
        Box::pin(async {
            let mut fields = self.fields(&copy_key(self.fleet.slot())).await?;
            let Some(at) = fields.iter().position(|(field, _)| field == "s") else { return Ok(None) };
            let number = fields.swap_remove(at).1.parse().unwrap_or(0);
            Ok(Some(Copied { number, fields }))
        })
    }

    fn own_fence(&self) -> BoxFuture<'_, Result<Option<Fence>, Away>> {
        Box::pin(async {
            let fence = self.whole_fence(self.fleet.slot()).await?;
            Ok(fence.filter(|fence| fence.head.state != FenceState::Settled))
        })
    }

    fn settle_fence(&self, at_millis: i64) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(async move {
            let key = fence_key(self.fleet.slot());
            self.state(&NOTE, [&key, &key], &[at_millis.to_string(), "settled".into()]).await.map(drop)
        })
    }

    fn lost_nodes(&self) -> Vec<LostNode> {
        let before = self.fleet.micros() / 1_000 - i64::try_from(self.lost_after.as_millis()).unwrap_or(i64::MAX);
        let members = self.fleet.members().into_iter();
        let lost = members.filter(|node| !node.is_live && node.seen_millis < before);
        lost.filter(|node| node.ledger != self.ledger)
            .map(|node| LostNode { slot: node.slot, ledger: node.ledger })
            .collect()
    }

    fn take_over(&self, slot: u32) -> BoxFuture<'_, Result<Option<Fence>, Away>> {
        Box::pin(async move {
            let mut args = vec![self.ledger.clone()];
            args.extend(self.lost_nodes().into_iter().map(|node| node.ledger));
            match self.state(&TAKE, [&copy_key(slot), &fence_key(slot)], &args).await?.as_str() {
                "taken" => self.whole_fence(slot).await,
                _ => Ok(None),
            }
        })
    }

    fn fence(&self, slot: u32) -> BoxFuture<'_, Result<Option<FenceHead>, Away>> {
        Box::pin(self.head(slot))
    }

    fn put_fence<'a>(&'a self, slot: u32, fence: &'a Fence) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            // Nobody sees a part of it.
            let parts = format!("{}:parts", fence_key(slot));
            let mut delete = redis::cmd("DEL");
            delete.arg(&parts);
            self.command::<()>(delete).await?;
            self.set(&parts, &fence.fields).await?;
            let FenceHead { by, at_millis, inherited, .. } = &fence.head;
            let inherited = if *inherited { "1" } else { "" };
            let args = [by.clone(), at_millis.to_string(), inherited.into()];
            self.state(&PUT, [&parts, &fence_key(slot)], &args).await.map(drop)
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
            let key = fence_key(slot);
            let note = async |state: &str, answers: &[(String, String)]| {
                let mut args = vec![at_millis.to_string(), state.to_owned()];
                args.extend(answers.iter().flat_map(|(field, answer)| [field.clone(), answer.clone()]));
                self.state(&NOTE, [&key, &key], &args).await.map(drop)
            };
            for chunk in answers.chunks(CHUNK) {
                note("taken", chunk).await?;
            }
            if is_sent { note("sent", &[]).await } else { Ok(()) }
        })
    }

    fn clear_fence(&self, slot: u32, at_millis: i64) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(async move {
            let key = fence_key(slot);
            self.state(&NOTE, [&key, &key], &[at_millis.to_string(), "gone".into()]).await.map(drop)
        })
    }
}

/// Both of a node lie in one slot of a Cluster.
fn copy_key(slot: u32) -> String {
    format!("tg:{{u{slot}}}:x")
}

fn fence_key(slot: u32) -> String {
    format!("tg:{{u{slot}}}:f")
}
