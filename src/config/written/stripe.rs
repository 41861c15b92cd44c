//! `[stripe]`.

use std::net::SocketAddr;

use serde_json::Value as Json;

use crate::config::containers::NonEmpty;
use crate::config::findings::{At, Place};
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::Node;
use crate::config::values::number::Number;
use crate::config::values::secret::Secret;
use crate::config::values::url::Url;
use crate::config::values::{choose, one_of};

#[derive(Debug)]
pub(crate) struct Stripe {
    pub place: Place,
    pub mode: At<Mode>,
    pub secret_key: Given<Secret>,
    pub webhook_secrets: Given<NonEmpty<Secret>>,
    pub api_base: Given<Url>,
    pub max_requests_per_second: At<Number<1, 10_000>>,
    pub meter_events_per_second: At<Number<1, 10_000>>,
    pub sandbox_listen: At<SocketAddr>,
}

impl Section for Stripe {
    const ABOUT: &'static str =
        "[stripe]: the account that bills; write mode = \"sandbox\" in it for a trial without one.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            mode: keys.or("mode", "\"live\" talks to Stripe; \"sandbox\" runs a local one.", "live"),
            secret_key: keys.optional("secret_key", "The secret or restricted API key; needed in live mode."),
            webhook_secrets: keys.optional(
                "webhook_secrets",
                "The webhook endpoint's signing secret, several while one is being rolled; needed in live mode.",
            ),
            api_base: keys.optional("api_base", "Another base for tests; left out: https://api.stripe.com."),
            max_requests_per_second: keys.or("max_requests_per_second", "The most calls to Stripe.", 80),
            meter_events_per_second: keys.or("meter_events_per_second", "The most meter events to Stripe.", 900),
            sandbox_listen: keys.or("sandbox_listen", "Where the local Stripe listens.", "127.0.0.1:12111"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Live,
    Sandbox,
}

impl Read for Mode {
    fn schema() -> Json {
        one_of(&["live", "sandbox"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("live", Self::Live), ("sandbox", Self::Sandbox)])
    }
}
