//! `[billing]`.

use serde_json::Value as Json;

use super::selling::{Page, Proration, WebhookMode};
use crate::config::findings::At;
use crate::config::read::{Given, Keys, Read, Reader, Section};
use crate::config::tree::Node;
use crate::config::values::daytime::Daytime;
use crate::config::values::number::Number;
use crate::config::values::pace::Pace;
use crate::config::values::path::FixedPath;
use crate::config::values::span::Span;
use crate::config::values::url::Url;
use crate::config::values::{choose, one_of};
use crate::domain::catalogue::Report;
use crate::domain::money::Currency;
use crate::domain::origin::Origin;

#[derive(Debug)]
pub(crate) struct Billing {
    pub currency: Given<Currency>,
    pub report: At<Report>,
    pub flush_interval: At<Span<100>>,
    pub past_due_grace: At<Span<0>>,
    pub reconcile_settle: At<Span<0>>,
    pub paths: At<Paths>,
    pub webhook_rate: At<Pace>,
    pub idempotency_keys: At<Number<1, 1_000_000>>,
    pub idempotency_repeats: At<Number<0, 1_000_000>>,
    pub silence_grace: At<Span<0>>,
    pub return_origins: At<Vec<At<Origin>>>,
    pub cors_origins: At<Vec<At<Origin>>>,
    pub read_rate: At<Pace>,
    pub write_rate: At<Pace>,
    pub proration: At<Proration>,
    pub allow_promotion_codes: At<bool>,
    pub sync_at: At<Daytime>,
    pub credits_low: At<Number<0, 1_000_000_000_000>>,
    pub webhook_mode: At<WebhookMode>,
    pub forward_webhooks_to: Given<Url>,
    pub page: At<Page>,
}

impl Section for Billing {
    const ABOUT: &'static str = "[billing]: how usage becomes a bill.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            currency: keys.optional("currency", "The currency of all amounts, such as \"usd\"."),
            report: keys.or("report", REPORT, "all"),
            flush_interval: keys.or(
                "flush_interval",
                "How often usage is sent to Stripe; at least 100ms.",
                "60s",
            ),
            past_due_grace: keys.or("past_due_grace", "How long a failed payment leaves the tier.", "7d"),
            silence_grace: keys.or("silence_grace", SILENCE_GRACE, "3d"),
            reconcile_settle: keys.or("reconcile_settle", RECONCILE_SETTLE, "1h"),
            paths: keys.section("paths"),
            webhook_rate: keys.or("webhook_rate", "The most webhooks.", "100/s"),
            idempotency_keys: keys.or("idempotency_keys", IDEMPOTENCY_KEYS, 10_000),
            idempotency_repeats: keys.or("idempotency_repeats", "Free repeats of a charged request.", 100),
            return_origins: keys.or("return_origins", RETURN_ORIGINS, []),
            cors_origins: keys.or(
                "cors_origins",
                "Pages that may call the billing endpoints from a browser.",
                [],
            ),
            read_rate: keys.or("read_rate", "What a customer may read, for each billing endpoint.", "10/s"),
            write_rate: keys.or("write_rate", "What a customer may change, for each one.", "30/m"),
            proration: keys.or("proration", PRORATION, "create_prorations"),
            allow_promotion_codes: keys.or("allow_promotion_codes", "Whether checkouts ask for one.", true),
            sync_at: keys.or("sync_at", "When all subscriptions are read again, in UTC.", "03:00"),
            credits_low: keys.or("credits_low", "Credits below which a message is sent.", 100),
            webhook_mode: keys.or("webhook_mode", WEBHOOK_MODE, "primary"),
            forward_webhooks_to: keys
                .optional("forward_webhooks_to", "Another handler that gets each event as it came."),
            page: keys.section("page"),
        }
    }
}

const REPORT: &str =
    "\"all\": every unit goes to Stripe, whose graduated price holds the included ones; or \"overage\".";
const SILENCE_GRACE: &str =
    "How long a tier is kept behind its paid period while Stripe cannot be asked whether it goes on.";
const RECONCILE_SETTLE: &str =
    "How long Stripe gets to add up what it has accepted, before its sums are believed.";
const IDEMPOTENCY_KEYS: &str = "How many charged Idempotency-Keys are remembered per customer, for 24 hours.";
const RETURN_ORIGINS: &str = "Where customers may be sent back to after paying, beside public_url's origin.";
const PRORATION: &str = "What a change of tier in mid-period does: \"create_prorations\", \"always_invoice\"; \
     or \"none\": then Stripe bills nothing, not even what was used before.";
const WEBHOOK_MODE: &str =
    "\"primary\": Stripe's events take effect; \"shadow\": they are compared, and change nothing.";

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
