//! What somebody who looks after Redis asks of it. Nothing is changed there.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError, RedisResult};
use tokio::time::timeout;

use super::address::{Address, Layout};
use super::servers::{Connection, Servers, client};
use crate::clock;

/// Questions whose quickest answer is the latency.
const PINGS: usize = 5;

/// What was seen of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSeen {
    pub version: String,
    /// Of the quickest answer.
    pub latency: Duration,
    /// Keys may be evicted when its memory is full.
    pub evicts: bool,
    /// It writes what it knows to disk.
    pub is_persistent: bool,
    /// How far its clock and ours are apart.
    pub ahead: Duration,
    /// Of a Cluster, whether it serves all slots.
    pub cluster_is_well: Option<bool>,
}

/// Looks at each server that is named, or at the master that the Sentinels name. An error is a sentence.
pub async fn probe(address: &Address, within: Duration) -> Vec<(String, Result<RedisSeen, String>)> {
    if matches!(address.layout, Layout::Sentinel { .. }) {
        let name = "the master that the Sentinels name".to_owned();
        return vec![(name, limited(within, master(address, within)).await)];
    }
    let mut found = Vec::new();
    for (host, port) in &address.servers {
        let seen = limited(within, server(address, host, *port, within)).await;
        found.push((format!("{host}:{port}"), seen));
    }
    found
}

async fn limited(
    within: Duration,
    seen: impl Future<Output = RedisResult<RedisSeen>>,
) -> Result<RedisSeen, String> {
    match timeout(within, seen).await {
        Ok(seen) => seen.map_err(|error| said(&error)),
        Err(_) => Err(format!("no answer within {} s", within.as_secs())),
    }
}

/// Neither names an address with a password in it.
fn said(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    let text = error.to_string();
    if code.is_empty() || text.contains(code) { text } else { format!("{code}: {text}") }
}

async fn server(address: &Address, host: &str, port: u16, within: Duration) -> RedisResult<RedisSeen> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(within)).set_response_timeout(None);
    let client = client(address, host, port)?;
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    look(connection, address.layout == Layout::Cluster).await
}

/// One Sentinel after the other is asked.
async fn master(address: &Address, within: Duration) -> RedisResult<RedisSeen> {
    let mut servers = Servers::new(address, within)?;
    let mut tries = address.servers.len();
    loop {
        tries = tries.saturating_sub(1);
        match servers.connect(within).await {
            Ok(Connection::Single(connection)) => return look(connection, false).await,
            Ok(Connection::Cluster(_)) => return Err(super::servers::no_server()),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

async fn look(mut connection: MultiplexedConnection, is_cluster: bool) -> RedisResult<RedisSeen> {
    let mut latency = Duration::MAX;
    for _ in 0..PINGS {
        let asked = Instant::now();
        let _pong: String = redis::cmd("PING").query_async(&mut connection).await?;
        latency = latency.min(asked.elapsed());
    }
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
    let theirs = Duration::from_secs(seconds) + Duration::from_micros(micros);
    let ours = Duration::from_nanos(clock::now().nanos());
    let about = |section: &'static str| {
        let mut asked = redis::cmd("INFO");
        asked.arg(section);
        asked
    };
    let server: String = about("server").query_async(&mut connection).await?;
    let memory: String = about("memory").query_async(&mut connection).await?;
    let kept: String = about("persistence").query_async(&mut connection).await?;
    let saves = field(&kept, "rdb_last_save_time").is_some() && field(&kept, "rdb_saves") != Some("0");
    let cluster_is_well = if is_cluster {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await?;
        Some(field(&info, "cluster_state") == Some("ok"))
    } else {
        None
    };
    Ok(RedisSeen {
        version: field(&server, "redis_version").unwrap_or("unknown").to_owned(),
        latency,
        evicts: field(&memory, "maxmemory") != Some("0")
            && field(&memory, "maxmemory_policy").is_some_and(|policy| policy != "noeviction"),
        is_persistent: saves || field(&kept, "aof_enabled") == Some("1"),
        ahead: theirs.abs_diff(ours),
        cluster_is_well,
    })
}

/// `name:value`, one a line.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
