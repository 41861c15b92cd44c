//! `[fleet]`.

use std::time::Duration;

use crate::config::findings::Findings;
use crate::config::values::redis::Redis;
use crate::config::written;

pub use crate::config::written::OnRedisLoss;

/// Several gateways that share a Redis.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub redis: Redis,
    /// This one's name.
    pub node: String,
    pub on_redis_loss: OnRedisLoss,
    /// A slower answer of Redis counts as none.
    pub redis_timeout: Duration,
    /// The longest that a request waits for what it needs of the fleet.
    pub lease_wait: Duration,
    /// How often what has changed is told to the others.
    pub publish_interval: Duration,
    /// A node not heard of for so long is lost.
    pub take_over_after: Duration,
}

pub(crate) fn check(fleet: &written::Fleet, found: &mut Findings) -> Option<Fleet> {
    let redis = fleet.redis.at()?;
    let exposed = redis.value.password.is_some() && !redis.value.tls;
    let is_here = |(host, _): &(String, u16)| matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if exposed && !redis.value.servers.iter().all(is_here) {
        let what = "the password and all usage would travel without TLS";
        found.warning(&redis.place, what, "write rediss instead of redis, unless the network is your own");
    }
    if fleet.publish_interval.value.0 > Duration::from_secs(1) {
        let what = "totals would be older than a second";
        found.error(&fleet.publish_interval.place, what, "write at most \"1s\"");
    }
    Some(Fleet {
        redis: redis.value.clone(),
        node: fleet.node.get()?.0.clone(),
        on_redis_loss: fleet.on_redis_loss.value,
        redis_timeout: fleet.redis_timeout.value.0,
        lease_wait: fleet.lease_wait.value.0,
        publish_interval: fleet.publish_interval.value.0,
        take_over_after: fleet.take_over_after.value.0,
    })
}
