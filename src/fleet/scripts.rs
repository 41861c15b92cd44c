//! The scripts that run in Redis. Each may run twice with what it was given: the second time changes nothing; of
//! a node's answers to a question the first counts.

use std::sync::LazyLock;

use redis::{Cmd, ToRedisArgs};

/// Named by its hash, so that scripts of two versions of this program live side by side.
pub(super) struct Script {
    code: &'static str,
    hash: LazyLock<String>,
}

/// A script with keys of one slot, and arguments.
pub(super) struct Run {
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Script {
    pub(super) fn key(&'static self, key: impl ToRedisArgs) -> Run {
        Run { script: self, keys: key.to_redis_args(), args: Vec::new() }
    }
}

impl Run {
    pub(super) fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    pub(super) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    /// Runs it where the server knows it.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// Runs it, and makes it known.
    pub(super) fn in_full(&self) -> Cmd {
        self.command("EVAL", self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        for part in self.keys.iter().chain(&self.args) {
            command.arg(part.as_slice());
        }
        command
    }
}

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(super) static $name: Script = {
            const CODE: &str =
                concat!(include_str!("scripts/prelude.lua"), include_str!(concat!("scripts/", $file)));
            Script { code: CODE, hash: LazyLock::new(|| redis::Script::new(CODE).get_hash().to_owned()) }
        };
    };
}

script!(LEASE, "lease.lua");
script!(BACK, "back.lua");
script!(NODES, "nodes.lua");
script!(PUT, "put.lua");
script!(FACTS, "facts.lua");
script!(NEWS, "news.lua");
script!(SCAN, "scan.lua");
script!(ANSWER, "answer.lua");
script!(CLAIM, "claim.lua");
script!(UNCLAIM, "unclaim.lua");
script!(UNCHARGE, "uncharge.lua");
script!(COPY, "copy.lua");
script!(FENCE, "fence.lua");
script!(FENCE_PUT, "fence_put.lua");
script!(NOTED, "noted.lua");
