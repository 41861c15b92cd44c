//! `[upstreams.NAME]` and `[meters.NAME]`.

use crate::config::containers::NonEmpty;
use crate::config::findings::At;
use crate::config::read::{Given, Keys, Section};
use crate::config::values::address::HostPort;
use crate::config::values::number::Number;
use crate::config::values::span::Span;
use crate::config::values::text::Text;

#[derive(Debug)]
pub(crate) struct Upstream {
    pub servers: Given<NonEmpty<HostPort>>,
    pub connect_timeout: At<Span<1>>,
    pub read_timeout: At<Span<1>>,
    pub write_timeout: At<Span<1>>,
    pub idle_timeout: At<Span<1>>,
    pub retries: At<Number<0, 10>>,
}

impl Section for Upstream {
    const ABOUT: &'static str = "[upstreams.NAME]: servers that answer the same requests.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            servers: keys.required("servers", "\"host:port\" of each server, reached over plain HTTP."),
            connect_timeout: keys.or("connect_timeout", "How long connecting may take.", "1s"),
            read_timeout: keys.or("read_timeout", "How long the server may be silent.", "60s"),
            write_timeout: keys.or("write_timeout", "How long the server may refuse to read.", "60s"),
            idle_timeout: keys.or("idle_timeout", "How long both sides of a WebSocket may be silent.", "5m"),
            retries: keys.or("retries", "Further tries when no connection can be made.", 1),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Meter {
    pub stripe_event_name: Given<Text>,
}

impl Section for Meter {
    const ABOUT: &'static str = "[meters.NAME]: counts units.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            stripe_event_name: keys.optional(
                "stripe_event_name",
                "The `event_name` of the meter at Stripe; left out: the meter's name.",
            ),
        }
    }
}
