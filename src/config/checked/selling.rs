//! What `[billing]` says of selling: who may buy from where, and how much is asked at once.

use crate::config::findings::{At, Findings};
use crate::config::values::url::Url;
use crate::config::written;
use crate::domain::origin::Origin;
use crate::domain::rate::Rate;

use super::outgoing::check_url;

pub use crate::config::written::{Proration, WebhookMode};

#[derive(Clone, Debug, PartialEq)]
pub struct Selling {
    /// Where customers may be sent back to.
    pub return_origins: Vec<Origin>,
    /// Pages that may call from a browser.
    pub cors_origins: Vec<Origin>,
    /// Per customer and endpoint.
    pub read_rate: Rate,
    pub write_rate: Rate,
    pub proration: Proration,
    pub allow_promotion_codes: bool,
    /// Seconds since midnight, UTC: when all subscriptions are read again.
    pub sync_at: u32,
    /// Below so many a customer is told.
    pub credits_low: u64,
    pub webhook_mode: WebhookMode,
    /// The handler that was there before.
    pub forward_webhooks_to: Option<String>,
    pub page: Page,
}

/// What the usage page shows beside usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub title: String,
    pub app_url: Option<String>,
}

pub(crate) fn check(billing: &written::Billing, public_url: Option<&Url>, found: &mut Findings) -> Selling {
    let origins = |list: &[At<Origin>]| list.iter().map(|origin| origin.value.clone()).collect::<Vec<_>>();
    let mut return_origins = origins(&billing.return_origins.value);
    if return_origins.is_empty() {
        return_origins.extend(public_url.and_then(|url| Origin::of(&url.to_text())));
    }
    let forward = billing.forward_webhooks_to.at();
    if let Some(url) = forward {
        check_url(url, found);
    }
    if billing.webhook_mode.value == WebhookMode::Shadow && forward.is_none() {
        let help = "name the old handler, or make sure that Stripe sends to it as well";
        found.warning(
            &billing.webhook_mode.place,
            "nothing is changed by webhooks, and nobody else is told of them",
            help,
        );
    }
    let page = &billing.page.value;
    Selling {
        return_origins,
        cors_origins: origins(&billing.cors_origins.value),
        read_rate: billing.read_rate.value.rate(),
        write_rate: billing.write_rate.value.rate(),
        proration: billing.proration.value,
        allow_promotion_codes: billing.allow_promotion_codes.value,
        sync_at: billing.sync_at.value.0,
        credits_low: billing.credits_low.value.0,
        webhook_mode: billing.webhook_mode.value,
        forward_webhooks_to: forward.map(|url| url.value.to_text()),
        page: Page { title: page.title.value.0.clone(), app_url: page.app_url.get().map(Url::to_text) },
    }
}
