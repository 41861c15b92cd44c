//! The link to Redis: there, or away.
//!
//! # What it promises
//!
//! - A command is answered within the deadline, or counts as lost: nobody waits longer, and whoever comes while Redis is
//!   away is told so at once. There is never a queue of those who wait for it.
//! - What was lost may have happened: every script can be run twice.
//! - It comes back by itself, and says so to those who asked to be told.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::PubSub;
use redis::{RedisError, RedisResult};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;

use super::address::Address;
use super::servers::{Connection, Servers};
use crate::metrics::METRICS;

/// Between two tries to come back.
const RETRY: Duration = Duration::from_millis(100);
/// An idle link is tried so often, so that its loss is noticed before a request needs it.
const PROBE: Duration = Duration::from_secs(1);
/// Connecting takes several round trips: one name, one handshake, one slot map.
const CONNECT_DEADLINES: u32 = 4;

/// A command has no answer: Redis is away, slow, or does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct Away;

pub struct Link {
    servers: Mutex<Servers>,
    deadline: Duration,
    connection: ArcSwapOption<Connection>,
    lost: Notify,
    /// How often Redis has come; odd while it is there.
    changes: watch::Sender<u64>,
}

impl Link {
    /// Nothing is connected before [`Link::keep`] runs.
    pub fn new(redis: &Address, deadline: Duration) -> RedisResult<Self> {
        METRICS.fleet_redis_up.set(0);
        Ok(Self {
            servers: Mutex::new(Servers::new(redis, deadline)?),
            deadline,
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            changes: watch::Sender::new(0),
        })
    }

    pub fn is_up(&self) -> bool {
        self.connection.load().is_some()
    }

    /// Changes whenever Redis comes or goes; odd while it is there.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs a command or script.
    pub(super) async fn run<T>(
        &self,
        command: impl AsyncFnOnce(Connection) -> RedisResult<T>,
    ) -> Result<T, Away> {
        let Some(connection) = self.connection.load_full() else { return Err(Away) };
        match timeout(self.deadline, command((*connection).clone())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.lose(&connection, &error.to_string());
                Err(Away)
            }
            Err(_) => {
                self.lose(&connection, "no answer within the deadline");
                Err(Away)
            }
        }
    }

    /// A connection that hears what is published.
    pub async fn listen(&self) -> Result<PubSub, Away> {
        let mut servers = self.servers.lock().await;
        match timeout(self.deadline * CONNECT_DEADLINES, servers.listen()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(_)) | Err(_) => Err(Away),
        }
    }

    /// Keeps the link for ever.
    pub async fn keep(self: Arc<Self>) {
        loop {
            if !self.is_up() {
                match self.connect().await {
                    Ok(connection) => self.take(connection),
                    Err(error) => {
                        tracing::debug!(%error, "Redis is away");
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                }
            }
            if timeout(PROBE, self.lost.notified()).await.is_err() {
                // A loss is noted where it is found.
                let _ = self
                    .run(async |mut connection| redis::cmd("PING").exec_async(&mut connection).await)
                    .await;
            }
        }
    }

    /// Connected, and answering.
    async fn connect(&self) -> RedisResult<Connection> {
        let late = |_| RedisError::from((redis::ErrorKind::Io, "no connection within the deadline"));
        let mut servers = self.servers.lock().await;
        let connecting = timeout(self.deadline * CONNECT_DEADLINES, servers.connect(self.deadline));
        let mut connection = connecting.await.map_err(late)??;
        timeout(self.deadline, redis::cmd("PING").exec_async(&mut connection)).await.map_err(late)??;
        Ok(connection)
    }

    fn take(&self, connection: Connection) {
        self.connection.store(Some(Arc::new(connection)));
        METRICS.fleet_redis_up.set(1);
        self.changes.send_modify(|changes| *changes += 1);
        tracing::info!("redis_found");
    }

    /// Only the first to find that this connection is lost says so.
    fn lose(&self, connection: &Arc<Connection>, why: &str) {
        let known = self.connection.compare_and_swap(connection, None);
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, connection)) {
            METRICS.fleet_redis_up.set(0);
            self.changes.send_modify(|changes| *changes += 1);
            tracing::warn!(why, "redis_lost");
            self.lost.notify_one();
        }
    }
}
