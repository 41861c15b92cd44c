//! `[fleet]`.

use serde_json::Value as Json;

use crate::config::findings::At;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::Node;
use crate::config::values::redis::Redis;
use crate::config::values::secret::Content;
use crate::config::values::span::Span;
use crate::config::values::text::Name;
use crate::config::values::{choose, one_of};

#[derive(Debug)]
pub(crate) struct Fleet {
    pub redis: Given<Redis>,
    pub redis_ca: Given<Content>,
    pub node: Given<Name>,
    pub on_redis_loss: At<OnRedisLoss>,
    pub redis_timeout: At<Span<5>>,
    pub lease_wait: At<Span<5>>,
    pub publish_interval: At<Span<50>>,
    pub take_over_after: At<Span<10_000>>,
}

/// What a node does while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRedisLoss {
    /// It goes on with what it has, and a bounded allowance.
    Degrade,
    /// It refuses what is charged.
    Deny,
}

impl Section for Fleet {
    const ABOUT: &'static str =
        "[fleet]: several gateways that share a Redis or Valkey; leave it out on one node.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            redis: keys.required("redis", "Its address: one server, a Cluster or Sentinels; rediss is with TLS."),
            redis_ca: keys.optional(
                "redis_ca",
                "With rediss: certificates (PEM) of who signs the servers'; left out: those that this machine trusts.",
            ),
            node: keys.required("node", "This gateway's own name; no two may be alive with the same."),
            on_redis_loss: keys.or(
                "on_redis_loss",
                "\"degrade\": go on with what is leased and a bounded allowance; \"deny\": refuse what is charged.",
                "degrade",
            ),
            redis_timeout: keys.or("redis_timeout", "An answer that takes longer counts as none.", "100ms"),
            lease_wait: keys.or("lease_wait", "The longest that a request waits for what it needs of the fleet.", "250ms"),
            publish_interval: keys.or(
                "publish_interval",
                "How often what has changed is told to the others; at most 1s.",
                "250ms",
            ),
            take_over_after: keys.or(
                "take_over_after",
                "A node not heard of for so long is taken for lost: another reports its usage.",
                "10m",
            ),
        }
    }
}

impl Read for OnRedisLoss {
    fn schema() -> Json {
        one_of(&["degrade", "deny"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("degrade", Self::Degrade), ("deny", Self::Deny)])
    }
}
