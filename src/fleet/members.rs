//! The nodes of the fleet: who is there, under which name and number. A heartbeat each half second says so; who has not
//! been heard of for three seconds is gone, and nobody waits for it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use redis::Value;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::lease::{millis, strange};
use super::link::{Failed, Lane};
use super::{Away, Fleet, keys, lock, scripts, values};
use crate::clock;

const BEAT: Duration = Duration::from_millis(500);
const GONE: Duration = Duration::from_secs(3);
/// Between two tries to come back.
const RETRY: Duration = Duration::from_millis(250);
/// Whether another process with this ledger is alive shows within so long: more than two heartbeats.
const LOOK: Duration = Duration::from_millis(1_200);
/// A node that was gone for so long is forgotten; its copy has ended before.
const FORGOTTEN: Duration = Duration::from_hours(41 * 24);
/// What the nodes say to each other through Redis. Nodes of two versions do not meet.
const PROTOCOL: u32 = 1;
/// The clock follows Redis's by no more than this each heartbeat, but for the first time and where this machine's own
/// has been set.
const MOST_MOVED_NANOS: i64 = 10_000_000;
/// A clock that went by so much more or less than time did between two heartbeats was set.
const SET_BY: Duration = Duration::from_millis(100);

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
    /// Since when Redis has not known it, though it had not left.
    forgotten_millis: Option<i64>,
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
        "fleet.node {0:?} speaks another version of the fleet's protocol; stop it before this one starts"
    )]
    OtherProtocol(String),
    #[error(transparent)]
    Away(#[from] Away),
}

/// What the heart remembers.
#[derive(Default)]
pub(super) struct Heart {
    /// The bucket that is looked at next.
    touched: AtomicU8,
    /// This machine's clocks at the last beat.
    clocks: Mutex<Option<(Instant, SystemTime)>>,
    has_left: AtomicBool,
    /// The next beat should not wait.
    pub(super) early: Notify,
}

impl Heart {
    /// Whether this machine's clock has been set since the last beat, or there was none.
    fn was_set(&self) -> bool {
        let now = (Instant::now(), SystemTime::now());
        let last = lock(&self.clocks).replace(now);
        last.is_none_or(|last| was_set(now.0 - last.0, last.1, now.1))
    }
}

/// Of a clock that showed one time and then another, so much later.
fn was_set(passed: Duration, from: SystemTime, to: SystemTime) -> bool {
    let went = to.duration_since(from).unwrap_or_default();
    went.abs_diff(passed) > SET_BY
}

/// What came of saying something about this node.
enum Heard {
    Member,
    /// Another process with this ledger was seen alive then.
    Look(i64),
    /// Somebody else has this node's place, or nobody knows it.
    Unknown,
}

impl Fleet {
    /// Becomes a member. `Away`: Redis did not answer; [`Fleet::run`] tries on.
    pub async fn join(&self) -> Result<(), JoinError> {
        if !self.link.is_connected() {
            self.link.connect().await?;
        }
        self.enlist().await
    }

    /// Keeps the link and the membership, and listens; for ever, or until this node must stop. Joins where
    /// [`Fleet::join`] could not.
    pub async fn run(self: Arc<Self>) -> JoinError {
        tokio::select! {
            stop = self.keep() => stop,
            () = self.hear() => JoinError::Away(Away),
        }
    }

    /// Nobody waits for this node any more. Behind its last call.
    pub async fn leave(&self) -> Result<(), Away> {
        self.heart.has_left.store(true, Ordering::Relaxed);
        self.say("leave", false).await.map(|_| ()).map_err(|_| Away)
    }

    /// All nodes that are known, this one among them.
    pub fn members(&self) -> Vec<Member> {
        self.members.load().to_vec()
    }

    async fn keep(&self) -> JoinError {
        loop {
            if self.heart.has_left.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
            let result = if self.link.is_connected() { self.beat().await } else { self.join().await };
            match result {
                Ok(()) => {
                    tokio::select! {
                        () = sleep(BEAT) => {}
                        () = self.link.lost.notified() => {}
                        () = self.heart.early.notified() => {}
                    }
                }
                // Late once: at once again, to know.
                Err(JoinError::Away(_)) if self.link.is_connected() => {}
                Err(JoinError::Away(_)) => sleep(RETRY).await,
                Err(stop) => return stop,
            }
        }
    }

    async fn beat(&self) -> Result<(), JoinError> {
        match self.say("beat", false).await? {
            Heard::Member => {
                self.arrive().await;
                self.touch_next().await;
                Ok(())
            }
            Heard::Look(_) | Heard::Unknown => {
                self.enlist().await?;
                // If the members are lost, so may be all else.
                self.touch_all(false).await;
                Ok(())
            }
        }
    }

    /// Takes this node's place; that of an earlier process on the same ledger once its heart has been seen to stand
    /// still.
    async fn enlist(&self) -> Result<(), JoinError> {
        if let Heard::Look(seen) = self.say("join", false).await? {
            sleep(LOOK).await;
            match self.say("join", false).await? {
                Heard::Look(again) if again != seen => return Err(JoinError::Copied(self.name.clone())),
                Heard::Look(_) => {
                    self.say("join", true).await?;
                }
                Heard::Member | Heard::Unknown => {}
            }
        }
        self.arrive().await;
        Ok(())
    }

    /// This node is a member, and Redis there: for the first time, or again.
    async fn arrive(&self) {
        if let Some(turn) = self.link.come() {
            self.touch_all(true).await;
            self.signals.rejoin(turn);
        }
    }

    /// One bucket each time, so that an idle node finds out too, and those of which something is owed.
    async fn touch_next(&self) {
        let next = self.heart.touched.fetch_add(1, Ordering::Relaxed) % 16;
        let mut buckets = self.owed();
        if !buckets.contains(&next) {
            buckets.push(next);
        }
        // The next heartbeat finds out whether Redis is away.
        let _ = join_all(buckets.into_iter().map(|bucket| self.touch(bucket, false))).await;
    }

    async fn say(&self, what: &str, replaces: bool) -> Result<Heard, JoinError> {
        let mut script = scripts::NODES.key(keys::NODES);
        script.arg(what).arg(&self.name).arg(&self.slot_text).arg(&self.ledger).arg(&self.process);
        script.arg(PROTOCOL).arg(millis(GONE)).arg(u8::from(replaces)).arg(millis(FORGOTTEN));
        let sent = clock::now();
        let answer = self.link.try_script(Lane::Heart, &script).await.map_err(|failed| {
            // Nothing can be written: who waits for Redis is to know.
            if failed == Failed::Refused {
                self.link.give_up();
            }
            Away
        })?;
        let heard = self.read_nodes(sent.0, &answer);
        heard.unwrap_or_else(|| {
            self.link.give_up();
            Err(strange("the members").into())
        })
    }

    fn read_nodes(&self, sent: u64, answer: &Value) -> Option<Result<Heard, JoinError>> {
        let [what, rest @ ..] = values::array(answer)? else { return None };
        let what = values::text(what)?;
        if let "replaced" | "unknown" = what {
            return Some(Ok(Heard::Unknown));
        }
        let [said, nodes @ ..] = rest else { return None };
        let name = || values::text(said).map(str::to_owned);
        Some(Err(match what {
            "ok" => {
                let micros = values::integer(said)?;
                self.follow(sent, micros);
                self.know(micros / 1_000, values::array(nodes.first()?)?)?;
                return Some(Ok(Heard::Member));
            }
            "look" => return Some(Ok(Heard::Look(values::integer(said)?))),
            "alive" => JoinError::Alive(self.name.clone()),
            "ledger" => JoinError::Copied(name()?),
            "clash" => JoinError::Clash(name()?),
            "protocol" => JoinError::OtherProtocol(name()?),
            _ => return None,
        }))
    }

    /// Moves the clock towards Redis's, as it was between sending and receiving.
    fn follow(&self, sent: u64, micros: i64) {
        let received = clock::now().0;
        let middle = sent + received.saturating_sub(sent) / 2;
        let behind = i128::from(micros) * 1_000 - i128::from(middle);
        let behind = i64::try_from(behind).unwrap_or_default();
        let behind =
            if self.heart.was_set() { behind } else { behind.clamp(-MOST_MOVED_NANOS, MOST_MOVED_NANOS) };
        clock::shift(behind);
    }

    fn know(&self, now: i64, nodes: &[Value]) -> Option<()> {
        let told: Vec<_> =
            values::pairs(nodes).map(|(name, node)| member(name, node, now)).collect::<Option<_>>()?;
        let members = with_forgotten(told, &self.members.load(), now);
        let mut live: Vec<_> = members.iter().filter(|m| m.is_live).map(|m| m.slot).collect();
        if !live.contains(&self.slot) {
            live.push(self.slot);
        }
        let live: Vec<_> = live.into_iter().map(|slot| keys::text::<4>(slot.into())).collect();
        self.live.store(Arc::new(live.join(",")));
        self.members.store(Arc::new(members));
        Some(())
    }
}

/// Those whom Redis has lost, however long it was away, are waited for as any other: they may hold what they must put
/// back before it is lent anew.
fn with_forgotten(told: Vec<Member>, known: &[Member], now: i64) -> Vec<Member> {
    let is_told = |known: &Member| told.iter().any(|it| it.slot == known.slot || it.ledger == known.ledger);
    let forgotten = known.iter().filter(|known| known.is_live && !is_told(known)).map(|known| {
        let since = known.forgotten_millis.unwrap_or(now);
        Member { forgotten_millis: Some(since), is_live: now - since < gone(), ..known.clone() }
    });
    let mut members: Vec<_> = forgotten.filter(|member| member.is_live).collect();
    members.extend(told);
    members.sort_by_key(|member| member.slot);
    members
}

fn gone() -> i64 {
    i64::try_from(GONE.as_millis()).unwrap_or(i64::MAX)
}

fn member(name: &Value, node: &Value, now: i64) -> Option<Member> {
    let parts: Vec<_> = values::text(node)?.split(',').collect();
    let [slot, ledger, _process, seen, _protocol, state, ..] = parts.as_slice() else { return None };
    let seen_millis = seen.parse().ok()?;
    Some(Member {
        name: values::text(name)?.to_owned(),
        slot: keys::number(slot)?,
        ledger: (*ledger).to_owned(),
        seen_millis,
        is_live: *state != "left" && now - seen_millis < gone(),
        forgotten_millis: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(slot: u32, is_live: bool) -> Member {
        let (name, ledger) = (format!("node {slot}"), format!("{slot:032x}"));
        Member { name, slot, ledger, seen_millis: 1_000, is_live, forgotten_millis: None }
    }

    fn live(members: &[Member]) -> Vec<u32> {
        members.iter().filter(|member| member.is_live).map(|member| member.slot).collect()
    }

    #[test]
    fn a_clock_that_was_set_is_told_from_one_that_goes() {
        let (at, passed) = (SystemTime::UNIX_EPOCH + Duration::from_secs(9), Duration::from_millis(500));
        assert!(!was_set(passed, at, at + passed));
        assert!(!was_set(passed, at, at + passed + SET_BY) && !was_set(passed, at, at + passed - SET_BY));
        assert!(was_set(passed, at, at + Duration::from_hours(1)));
        assert!(was_set(passed, at, at - Duration::from_secs(1)));
        assert!(was_set(passed, at, at + passed + SET_BY * 2));
    }

    #[test]
    fn those_whom_redis_has_lost_are_waited_for_until_they_are_gone() {
        let known = [member(1, true), member(2, true), member(3, false)];
        let back = 60_000;
        let first = with_forgotten(vec![member(1, true)], &known, back);
        assert_eq!(live(&first), [1, 2], "it was away for long, and who had gone before is gone");
        let again = with_forgotten(vec![member(1, true)], &first, back + gone() - 1);
        assert_eq!(live(&again), [1, 2]);
        let joined = with_forgotten(vec![member(1, true), member(2, true)], &again, back + 10_000);
        assert_eq!(joined, [member(1, true), member(2, true)], "once it is told nothing is forgotten");
        assert_eq!(live(&with_forgotten(vec![member(1, true)], &again, back + gone())), [1]);
        let left = with_forgotten(vec![member(1, true), member(2, false)], &known, back);
        assert_eq!(live(&left), [1], "who has left is not waited for");
    }
}
