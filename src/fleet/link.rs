//! The link to Redis: there, or away.
//!
//! # What it promises
//!
//! - A command is answered within the deadline, or counts as lost: nobody waits longer, and whoever comes while Redis
//!   is away is told so at once. There is never a queue of those who wait for it.
//! - What was lost may have happened: every script can be run twice.
//! - One late answer may be bad luck; a second one in a row, or a connection that ends, and Redis is away. A Cluster is
//!   away when the heartbeat is; of its servers one may be, and what lies on the others goes on.
//! - What Redis refuses to do for one key is no loss: others may be served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::PubSub;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Mutex, Notify, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use super::address::{Address, Layout};
use super::scripts::Run;
use super::servers::{Connection, Servers};
use super::{Away, LinkState};
use crate::metrics::METRICS;

/// Connecting takes several round trips: one name, one handshake, one slot map.
const CONNECT_DEADLINES: u32 = 4;
/// Commands under way at once. What comes beyond them is told that Redis is away.
const PERMITS: usize = 256;
/// Answers in a row that are too late before Redis is away.
const LATE: u32 = 2;
/// A bucket that did not answer is not asked for so long.
const REST: Duration = Duration::from_millis(250);
/// What is refused again and again is said so often.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Whom a command concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// This node's membership, without which there is no link.
    Heart,
    /// The fleet as a whole.
    Whole,
    Bucket(u8),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Away,
    /// Redis is there, and does not do this.
    Refused,
}

pub(super) struct Link {
    servers: Mutex<Servers>,
    is_cluster: bool,
    deadline: Duration,
    connection: ArcSwapOption<Connection>,
    permits: Semaphore,
    late: AtomicU32,
    state: watch::Sender<LinkState>,
    /// How often Redis has come, and when it last did, in milliseconds since the start.
    turn: AtomicU64,
    came: AtomicU64,
    pub(super) lost: Notify,
    /// Until when each bucket rests, in milliseconds since the start.
    resting: [AtomicU64; 16],
    said: AtomicU64,
    start: Instant,
}

impl Link {
    /// Nothing is connected yet.
    pub(super) fn new(redis: &Address, deadline: Duration) -> RedisResult<Self> {
        METRICS.fleet_member.set(1);
        METRICS.fleet_redis_up.set(0);
        Ok(Self {
            servers: Mutex::new(Servers::new(redis, deadline)?),
            is_cluster: redis.layout == Layout::Cluster,
            deadline,
            connection: ArcSwapOption::empty(),
            permits: Semaphore::new(PERMITS),
            late: AtomicU32::new(0),
            state: watch::Sender::new(LinkState::Unknown),
            turn: AtomicU64::new(0),
            came: AtomicU64::new(0),
            lost: Notify::new(),
            resting: Default::default(),
            said: AtomicU64::new(0),
            start: Instant::now(),
        })
    }

    pub(super) fn state(&self) -> LinkState {
        *self.state.borrow()
    }

    /// How long Redis has been there without a break.
    pub(super) fn here_for(&self) -> Duration {
        match self.state() {
            LinkState::Here | LinkState::Rejoining => {
                Duration::from_millis(self.millis().saturating_sub(self.came.load(Ordering::Relaxed)))
            }
            LinkState::Away | LinkState::Unknown => Duration::ZERO,
        }
    }

    /// To wait for its changes.
    pub(super) fn states(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.load().is_some()
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// Runs a script.
    pub(super) async fn script(&self, lane: Lane, script: &Run) -> Result<Value, Away> {
        self.try_script(lane, script).await.map_err(|_| Away)
    }

    /// Runs a script, and tells refusals apart.
    pub(super) async fn try_script(&self, lane: Lane, script: &Run) -> Result<Value, Failed> {
        let (connection, _permit) = self.enter(lane).map_err(|Away| Failed::Away)?;
        let mut asked = (*connection).clone();
        let asking = async {
            match script.by_hash().query_async(&mut asked).await {
                // It has been restarted, or is another one.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    script.in_full().query_async(&mut asked).await
                }
                answer => answer,
            }
        };
        let answer = timeout(self.deadline, asking).await;
        self.judge(lane, &connection, answer.unwrap_or_else(|_| Err(late())))
    }

    /// Runs a command.
    pub(super) async fn command(&self, lane: Lane, command: &Cmd) -> Result<Value, Away> {
        let (connection, _permit) = self.enter(lane)?;
        let mut asked = (*connection).clone();
        let answer = timeout(self.deadline, command.query_async(&mut asked)).await;
        self.judge(lane, &connection, answer.unwrap_or_else(|_| Err(late()))).map_err(|_| Away)
    }

    /// A connection that hears what is published.
    pub(super) async fn listen(&self) -> Result<PubSub, Away> {
        let mut servers = self.servers.lock().await;
        match timeout(self.deadline * CONNECT_DEADLINES, servers.listen()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(_)) | Err(_) => Err(Away),
        }
    }

    /// Connects anew. Nobody but the heart may use it before [`Link::come`].
    pub(super) async fn connect(&self) -> Result<(), Away> {
        let mut servers = self.servers.lock().await;
        let connecting = timeout(self.deadline * CONNECT_DEADLINES, servers.connect(self.deadline));
        match connecting.await.unwrap_or_else(|_| Err(late())) {
            Ok(connection) => {
                self.late.store(0, Ordering::Relaxed);
                self.connection.store(Some(Arc::new(connection)));
                Ok(())
            }
            Err(error) => {
                self.say("redis_away", &error.to_string());
                Err(Away)
            }
        }
    }

    /// Redis is there, and this node a member. Answers the number of this return, if it is one.
    pub(super) fn come(&self) -> Option<u64> {
        let mut turn = None;
        self.state.send_if_modified(|state| {
            // Lost again before it was noted: the next try will do.
            let is_new = !matches!(state, LinkState::Here | LinkState::Rejoining) && self.is_connected();
            if is_new {
                *state = LinkState::Rejoining;
                self.came.store(self.millis(), Ordering::Relaxed);
                turn = Some(self.turn.fetch_add(1, Ordering::Relaxed) + 1);
            }
            is_new
        });
        if turn.is_some() {
            METRICS.fleet_redis_up.set(1);
            for resting in &self.resting {
                resting.store(0, Ordering::Relaxed);
            }
            tracing::info!("redis_found");
        }
        turn
    }

    /// What waited for this return has been told.
    pub(super) fn settle_in(&self, turn: u64) {
        self.state.send_if_modified(|state| {
            let is_it = *state == LinkState::Rejoining && self.turn.load(Ordering::Relaxed) == turn;
            if is_it {
                *state = LinkState::Here;
            }
            is_it
        });
    }

    /// Redis does not let this node be a member now.
    pub(super) fn give_up(&self) {
        if let Some(connection) = self.connection.load_full() {
            self.lose(&connection, "the heartbeat is refused");
        }
    }

    fn enter(&self, lane: Lane) -> Result<(Arc<Connection>, Option<SemaphorePermit<'_>>), Away> {
        let is_member = matches!(self.state(), LinkState::Here | LinkState::Rejoining);
        if lane != Lane::Heart && !is_member || !self.may_ask(lane) {
            return Err(Away);
        }
        let connection = self.connection.load_full().ok_or(Away)?;
        // The heart finds out for all others.
        let needs_permit = lane != Lane::Heart;
        let permit = needs_permit.then(|| self.permits.try_acquire().map_err(|_| Away)).transpose()?;
        Ok((connection, permit))
    }

    /// Not while its bucket rests; of those who come then, the first may try.
    fn may_ask(&self, lane: Lane) -> bool {
        let Lane::Bucket(bucket) = lane else { return true };
        let resting = &self.resting[usize::from(bucket % 16)];
        let (until, now) = (resting.load(Ordering::Relaxed), self.millis());
        let next = now + millis(REST);
        until == 0
            || until <= now
                && resting.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn judge<T>(
        &self,
        lane: Lane,
        connection: &Arc<Connection>,
        answer: RedisResult<T>,
    ) -> Result<T, Failed> {
        let error = match answer {
            Ok(answer) => {
                self.answered(lane);
                return Ok(answer);
            }
            Err(error) => error,
        };
        match (lane, loss(&error)) {
            (_, Loss::None) => {
                self.answered(lane);
                self.say("redis_refuses", &error.to_string());
                return Err(Failed::Refused);
            }
            (Lane::Bucket(_) | Lane::Whole, _) if self.is_cluster => {
                if let Lane::Bucket(bucket) = lane {
                    let until = self.millis() + millis(REST);
                    self.resting[usize::from(bucket % 16)].store(until, Ordering::Relaxed);
                }
                self.say("redis_partly_away", &error.to_string());
            }
            (_, Loss::Late) if self.late.fetch_add(1, Ordering::Relaxed) + 1 < LATE => {}
            (_, Loss::Late | Loss::Certain) => self.lose(connection, &error.to_string()),
        }
        Err(Failed::Away)
    }

    fn answered(&self, lane: Lane) {
        self.late.store(0, Ordering::Relaxed);
        if let Lane::Bucket(bucket) = lane
            && self.is_cluster
        {
            self.resting[usize::from(bucket % 16)].store(0, Ordering::Relaxed);
        }
    }

    /// Only the first to find that this connection is lost says so.
    fn lose(&self, connection: &Arc<Connection>, why: &str) {
        let known = self.connection.compare_and_swap(connection, None);
        if !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, connection)) {
            return;
        }
        METRICS.fleet_redis_up.set(0);
        let was_there = self.state.send_if_modified(|state| {
            let was_there = matches!(state, LinkState::Here | LinkState::Rejoining);
            if was_there {
                *state = LinkState::Away;
            }
            was_there
        });
        if was_there {
            tracing::warn!(why, "redis_lost");
        } else {
            self.say("redis_away", why);
        }
        self.lost.notify_one();
    }

    /// Logs what may happen a thousand times a second, now and then.
    pub(super) fn say(&self, what: &'static str, why: &str) {
        let (last, now) = (self.said.load(Ordering::Relaxed), self.millis() + 1);
        let is_due = last == 0 || now >= last + millis(SAID_EVERY);
        if is_due && self.said.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(what, why, "redis_trouble");
        }
    }

    fn millis(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn late() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

/// What an error says about the link.
enum Loss {
    /// Redis is there, and does not do this.
    None,
    Late,
    Certain,
}

fn loss(error: &RedisError) -> Loss {
    use ServerErrorKind as Refused;
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => Loss::Late,
        // Another server is the master now, or this one is not ready.
        ErrorKind::Server(
            Refused::ReadOnly | Refused::BusyLoading | Refused::MasterDown | Refused::ClusterDown,
        ) => Loss::Certain,
        ErrorKind::Server(_) => Loss::None,
        ErrorKind::Extension if !matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Loss::None,
        _ => Loss::Certain,
    }
}
