//! `[server]`, `[log]` and `[ledger]`.

use std::net::SocketAddr;

use serde_json::Value as Json;

use crate::config::containers::OneOrMany;
use crate::config::findings::At;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::Node;
use crate::config::values::cidr::Cidr;
use crate::config::values::number::Number;
use crate::config::values::secret::Secret;
use crate::config::values::size::Size;
use crate::config::values::span::Span;
use crate::config::values::text::{HostName, LogFilter, Text};
use crate::config::values::url::Url;
use crate::config::values::{choose, one_of, words};

use super::doors::Doors;

#[derive(Debug)]
pub(crate) struct Server {
    pub listen: Given<OneOrMany<SocketAddr>>,
    pub admin_listen: At<SocketAddr>,
    pub admin_token: Given<Secret>,
    pub admin_hosts: At<Vec<At<HostName>>>,
    pub encryption_key: Given<OneOrMany<Secret>>,
    pub threads: At<Number<0, 1024>>,
    pub data_dir: At<Text>,
    pub public_url: Given<Url>,
    pub max_body: At<Size>,
    pub drain_delay: At<Span<0>>,
    pub drain_timeout: At<Span<0>>,
    pub keepalive_timeout: At<Span<1>>,
    pub trusted_proxies: At<Vec<At<Cidr>>>,
    pub forwarded: At<Forwarded>,
    pub watch: At<Span<0>>,
    pub doors: Doors,
}

words! {
    /// Which headers say where a request came from.
    Forwarded {
        /// `X-Forwarded-*`.
        X "x",
        /// `Forwarded` (RFC 7239).
        Standard "standard",
        Both "both",
        None "none",
    }
}

impl Section for Server {
    const ABOUT: &'static str = "[server]: where Tollgate listens and keeps its data.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            listen: keys.required("listen", "Addresses of the public port: one, or a list."),
            admin_listen: keys.or(
                "admin_listen",
                "Address for /metrics, health and /admin; never the public one.",
                "127.0.0.1:9090",
            ),
            admin_token: keys
                .optional("admin_token", "What /admin asks for, at least 16 bytes; left out: /admin is off."),
            admin_hosts: keys.or(
                "admin_hosts",
                "Names, beside localhost and addresses, under which browsers may ask for the admin port's pages.",
                [],
            ),
            encryption_key: keys.optional(
                "encryption_key",
                "Seals webhook payloads at rest, at least 32 bytes; of a list the first seals and all open.",
            ),
            threads: keys.or("threads", "Worker threads; 0: one per core.", 0),
            data_dir: keys.or(
                "data_dir",
                "Where the ledger and the store live, from the working directory.",
                "data",
            ),
            public_url: keys.optional("public_url", "The URL under which clients reach the gateway."),
            max_body: keys.or("max_body", "The largest request body.", "10MiB"),
            drain_delay: keys.or(
                "drain_delay",
                "How long the port stays open at a stop, unready, until load balancers have noticed.",
                "0s",
            ),
            drain_timeout: keys.or(
                "drain_timeout",
                "How long requests in flight may take to finish at a stop.",
                "30s",
            ),
            keepalive_timeout: keys.or(
                "keepalive_timeout",
                "How long an idle client connection is kept.",
                "75s",
            ),
            trusted_proxies: keys.or(
                "trusted_proxies",
                "Address ranges whose x-request-id and x-forwarded-for are believed.",
                [],
            ),
            forwarded: keys.or(
                "forwarded",
                "Which headers say where a request came from: \"x\", \"standard\", \"both\" or \"none\".",
                "x",
            ),
            watch: keys.or("watch", "How often this file is looked at; 0s: at SIGHUP only.", "2s"),
            doors: Doors::read_keys(keys),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    pub format: At<LogFormat>,
    pub level: At<LogFilter>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Section for Log {
    const ABOUT: &'static str = "[log]: what is logged, to standard error.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            format: keys.or("format", "\"text\" for people, \"json\" for programs.", "text"),
            level: keys.or("level", "The least level, or directives by module.", "info"),
        }
    }
}

impl Read for LogFormat {
    fn schema() -> Json {
        one_of(&["text", "json"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("text", Self::Text), ("json", Self::Json)])
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub durability: At<Durability>,
    pub sync_interval: At<Span<1>>,
    pub retention: At<Span<3_600_000>>,
}

/// What a usage record survives once its answer has gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The process's death; power loss takes at most `sync_interval`.
    Process,
    /// Power loss as well: the answer waits for the disk.
    Power,
}

impl Section for Ledger {
    const ABOUT: &'static str = "[ledger]: how usage is recorded on disk.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            durability: keys.or(
                "durability",
                "\"process\" survives kill -9; \"power\" also power loss, and each answer waits for the disk.",
                "process",
            ),
            sync_interval: keys.or("sync_interval", "With \"process\": the most that power loss can take.", "200ms"),
            retention: keys.or("retention", "How long the receipts of single requests are kept.", "40d"),
        }
    }
}

impl Read for Durability {
    fn schema() -> Json {
        one_of(&["process", "power"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("process", Self::Process), ("power", Self::Power)])
    }
}
