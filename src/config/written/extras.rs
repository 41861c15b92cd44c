//! Those keys of a route that few routes have.

use serde_json::Value as Json;

use crate::config::findings::At;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::Node;
use crate::config::values::choose;
use crate::config::values::header::Header;
use crate::config::values::one_of;
use crate::config::values::path::{FixedPath, Pattern};
use crate::config::values::size::SizeOrNone;
use crate::config::values::span::Span;
use crate::config::values::text::{Name, Text};
use crate::domain::route::{Authentication, OnLimit};
use crate::domain::tier::Mode;

use super::edges::{Headers, RouteCors};

/// A part of [`super::Terms`].
#[derive(Debug)]
pub(crate) struct Extras {
    pub authentication: At<Authentication>,
    pub mode: At<Mode>,
    pub scopes: At<Vec<At<Name>>>,
    pub free_when: Given<FreeWhen>,
    pub on_limit: Given<OnLimit>,
    pub strip_prefix: Given<FixedPath>,
    pub rewrite: Given<Pattern>,
    pub host: Given<Text>,
    pub timeout: At<RouteTimeouts>,
    pub max_body: Given<SizeOrNone>,
    pub encoded_slashes: At<bool>,
    pub keep_method_override: At<bool>,
    pub cors: Given<RouteCors>,
    pub headers: Given<Headers>,
}

impl Extras {
    pub fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            authentication: keys.or("auth", AUTH, "required"),
            mode: keys.or("mode", MODE, "enforce"),
            scopes: keys.or("scopes", "What a key or token that is bound to scopes must hold.", []),
            free_when: keys.optional("free_when", FreeWhen::ABOUT),
            on_limit: keys.optional("on_limit", ON_LIMIT),
            strip_prefix: keys.optional("strip_prefix", "What servers do not see of the path."),
            rewrite: keys.optional("rewrite", "The path that servers see, with the parameters of `path`."),
            host: keys.optional("host", "Instead of the upstream's `host`."),
            timeout: keys.section("timeout"),
            max_body: keys.optional("max_body", "Instead of server.max_body; 0: no limit."),
            encoded_slashes: keys.or("encoded_slashes", "Whether %2F in the path is passed on.", false),
            keep_method_override: keys.or("keep_method_override", KEEP_METHOD_OVERRIDE, false),
            cors: keys.optional("cors", "Instead of [cors]; or false: upstreams answer."),
            headers: keys.optional("headers", "On top of [headers]."),
        }
    }
}

const AUTH: &str = "\"required\", or \"optional\": who shows no token has the tier of [auth.anonymous].";
pub(super) const MODE: &str =
    "\"enforce\", or \"shadow\": what limits would refuse is served, noted, and never billed.";
const ON_LIMIT: &str = "What a limit does to an exchange that is open: \"cut\" or \"finish\"; \
     left out: it cuts what is billed by time or message.";
const KEEP_METHOD_OVERRIDE: &str = "Whether headers pass that make a server take one method for another.";

#[derive(Debug)]
pub(crate) struct FreeWhen {
    pub header: Given<Header>,
    pub contains: Given<Text>,
}

impl Section for FreeWhen {
    const ABOUT: &'static str = "Answers that cost nothing, such as those from a cache.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            header: keys.required("header", "A header of the answer."),
            contains: keys.required("contains", "What its value must contain, in any case of letters."),
        }
    }
}

#[derive(Debug)]
pub(crate) struct RouteTimeouts {
    pub read: Given<Span<1>>,
    pub total: Given<Span<1>>,
    pub idle: Given<Span<1>>,
}

impl Section for RouteTimeouts {
    const ABOUT: &'static str = "Instead of the upstream's timeouts.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            read: keys.optional("read", "How long the server may be silent."),
            total: keys.optional("total", "How long an answer may take with all attempts."),
            idle: keys
                .optional("idle", "How long both sides of an open exchange may be silent; left out: 5m."),
        }
    }
}

impl Read for Authentication {
    fn schema() -> Json {
        one_of(&["required", "optional"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("required", Self::Required), ("optional", Self::Optional)])
    }
}

impl Read for OnLimit {
    fn schema() -> Json {
        one_of(&["cut", "finish"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("cut", Self::Cut), ("finish", Self::Finish)])
    }
}
