//! `[billing]`.

use serde_json::Value as Json;

use crate::config::findings::At;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::Node;
use crate::config::values::number::Number;
use crate::config::values::pace::Pace;
use crate::config::values::path::FixedPath;
use crate::config::values::span::Span;
use crate::config::values::{choose, one_of};
use crate::domain::catalogue::Report;
use crate::domain::money::Currency;

#[derive(Debug)]
pub(crate) struct Billing {
    pub currency: Given<Currency>,
    pub report: At<Report>,
    pub flush_interval: At<Span<100>>,
    pub past_due_grace: At<Span<0>>,
    pub credits_expire_after: Given<Span<1_000>>,
    pub reconcile_settle: At<Span<0>>,
    pub paths: At<Paths>,
    pub webhook_rate: At<Pace>,
    pub idempotency_keys: At<Number<1, 1_000_000>>,
    pub idempotency_repeats: At<Number<0, 1_000_000>>,
}

impl Section for Billing {
    const ABOUT: &'static str = "[billing]: how usage becomes a bill.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            currency: keys.optional("currency", "The currency of all amounts, such as \"usd\"."),
            report: keys.or(
                "report",
                "\"all\": every unit goes to Stripe, whose graduated price holds the included ones; or \"overage\".",
                "all",
            ),
            flush_interval: keys.or("flush_interval", "How often usage is sent to Stripe; at least 100ms.", "60s"),
            past_due_grace: keys.or("past_due_grace", "How long a failed payment leaves the tier.", "7d"),
            credits_expire_after: keys.optional(
                "credits_expire_after",
                "How long bought and granted credits last; left out: for ever.",
            ),
            reconcile_settle: keys.or(
                "reconcile_settle",
                "How long Stripe gets to add up what it has accepted, before its sums are believed.",
                "1h",
            ),
            paths: keys.section("paths"),
            webhook_rate: keys.or("webhook_rate", "The most webhooks.", "100/s"),
            idempotency_keys: keys.or(
                "idempotency_keys",
                "How many charged Idempotency-Keys are remembered per customer, for 24 hours.",
                10_000,
            ),
            idempotency_repeats: keys.or(
                "idempotency_repeats",
                "How many repeats of a charged request are free.",
                100,
            ),
        }
    }
}

impl Read for Report {
    fn schema() -> Json {
        one_of(&["all", "overage"])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        choose(node, reader, &[("all", Self::All), ("overage", Self::Overage)])
    }
}

#[derive(Debug)]
pub(crate) struct Paths {
    pub prefix: At<FixedPath>,
    pub pricing: At<FixedPath>,
    pub webhook: At<FixedPath>,
}

impl Section for Paths {
    const ABOUT: &'static str = "Paths of the public port that Tollgate answers itself.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            prefix: keys.or(
                "prefix",
                "Everything a customer asks about the own subscription lies below.",
                "/billing",
            ),
            pricing: keys.or("pricing", "The tiers and prices, for everybody.", "/pricing"),
            webhook: keys.or("webhook", "Where Stripe sends its webhooks.", "/webhooks/stripe"),
        }
    }
}
