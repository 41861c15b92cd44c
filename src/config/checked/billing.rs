//! `[billing]`, but for what the catalogue holds of it.

use std::time::Duration;

use crate::config::findings::Findings;
use crate::config::written;
use crate::domain::idempotency::Limits;
use crate::domain::rate::Rate;

#[derive(Clone, Debug, PartialEq)]
pub struct Billing {
    pub flush_interval: Duration,
    pub reconcile_settle: Duration,
    pub paths: Paths,
    pub webhook_rate: Rate,
    pub idempotency: Limits,
}

/// Paths that Tollgate answers itself: in normal form, without a trailing slash, none below another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    pub prefix: String,
    pub pricing: String,
    pub webhook: String,
}

pub(crate) fn check(billing: &written::Billing, found: &mut Findings) -> Billing {
    let paths = &billing.paths.value;
    check_paths_differ(paths, found);
    Billing {
        flush_interval: billing.flush_interval.value.0,
        reconcile_settle: billing.reconcile_settle.value.0,
        paths: Paths {
            prefix: paths.prefix.value.0.clone(),
            pricing: paths.pricing.value.0.clone(),
            webhook: paths.webhook.value.0.clone(),
        },
        webhook_rate: billing.webhook_rate.value.rate(),
        idempotency: Limits {
            keys: u32::try_from(billing.idempotency_keys.value.0).unwrap_or(u32::MAX),
            repeats: u32::try_from(billing.idempotency_repeats.value.0).unwrap_or(u32::MAX),
        },
    }
}

fn check_paths_differ(paths: &written::Paths, found: &mut Findings) {
    let prefix = &paths.prefix.value.0;
    for path in [&paths.pricing, &paths.webhook] {
        let below = path.value.0.strip_prefix(prefix.as_str());
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            found.error(&path.place, "this lies below billing.paths.prefix", "choose a path of its own");
        }
    }
    if paths.pricing.value == paths.webhook.value {
        found.error(&paths.webhook.place, "this is also billing.paths.pricing", "choose a path of its own");
    }
}
