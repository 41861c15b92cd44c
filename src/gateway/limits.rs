//! What a client is told of its limits: the `RateLimit` headers of draft-ietf-httpapi-ratelimit-headers-10, and
//! refusals in words.

use std::borrow::Cow;
use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::domain::account::{Policy, PolicyName};
use crate::domain::period;
use crate::domain::refusal::Refusal;
use crate::domain::route::Route;
use crate::domain::units::MeterId;
use crate::domain::usage::{Charge, Now};
use crate::problem::{Code, Problem};

use super::Parts;

/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// The values of `RateLimit-Policy` and `RateLimit`.
pub(super) struct LimitHeaders {
    pub policy: String,
    pub state: String,
}

/// None where nothing limits the request.
pub(super) fn headers(parts: &Parts, policies: &SmallVec<[Policy; 4]>) -> Option<LimitHeaders> {
    if policies.is_empty() {
        return None;
    }
    let mut headers = LimitHeaders { policy: String::with_capacity(96), state: String::with_capacity(64) };
    for policy in policies {
        let separator = if headers.policy.is_empty() { "" } else { ", " };
        let name = name(parts, policy.name);
        let (q, w) = (bounded(policy.quota), bounded(policy.window_seconds));
        let (r, t) = (bounded(policy.remaining), bounded(policy.resets_in));
        // Writing to a string cannot fail.
        let _ = write!(headers.policy, "{separator}\"{name}\";q={q};w={w}");
        let _ = write!(headers.state, "{separator}\"{name}\";r={r};t={t}");
    }
    Some(headers)
}

/// The value of `x-usage-cost`: a structured-field dictionary of what was charged; of a repeat, that it was nothing.
pub(super) fn usage_cost(parts: &Parts, route: &Route, charge: &Charge) -> String {
    let mut cost = String::with_capacity(24);
    let mut add = |meter: MeterId, units: u64| {
        let separator = if cost.is_empty() { "" } else { ", " };
        let meter = &parts.catalogue.meter(meter).name;
        let _ = write!(cost, "{separator}{meter}={}", bounded(units));
    };
    if charge.is_repeat() {
        route.cost.iter().for_each(|(meter, _)| add(meter, 0));
    }
    charge.draws.iter().for_each(|draw| add(draw.meter, draw.units()));
    cost
}

/// A refusal as the client reads it.
pub(super) fn refusal(
    parts: &Parts,
    refusal: &Refusal,
    policies: &SmallVec<[Policy; 4]>,
    now: Now,
) -> Problem {
    let mut problem = match refusal {
        Refusal::PaymentRequired => Problem::new(
            Code::PaymentRequired,
            "the subscription is not paid for; pay the open invoice or choose a tier, then try again",
        ),
        Refusal::SubscriptionPaused => {
            Problem::new(Code::SubscriptionPaused, "the subscription is paused; resume it, then try again")
        }
        Refusal::FeatureNotIncluded { feature } => {
            let feature = parts.catalogue.features.get(*feature).map_or("required", String::as_str);
            let detail = format!("this route needs the feature \"{feature}\"; choose a tier that has it");
            Problem::new(Code::FeatureNotIncluded, detail)
        }
        Refusal::RateLimited { wait_nanos } => rate_limited(*wait_nanos),
        Refusal::QuotaExceeded { meter } => {
            let meter = &parts.catalogue.meter(*meter).name;
            let detail = format!(
                "the included units of {meter} are used up; wait for the next period or choose a larger tier"
            );
            violated(Code::QuotaExceeded, detail, format!("quota-{meter}"))
        }
        Refusal::SpendCapReached => {
            let detail =
                "the period's spend cap is reached; wait for the next period or raise the cap".to_owned();
            violated(Code::SpendCapReached, detail, "cap".to_owned())
        }
    };
    let window = policies.iter().find(|policy| !matches!(policy.name, PolicyName::Rate));
    if let (Code::QuotaExceeded | Code::SpendCapReached, Some(window)) = (problem.code, window) {
        problem.retry_after = Some(window.resets_in.max(1));
        let resets_in = i64::try_from(window.resets_in).unwrap_or(i64::MAX);
        problem.reset_at = Some(period::rfc3339(now.seconds().saturating_add(resets_in)));
    }
    if problem.code != Code::RateLimited {
        problem.upgrade_url.clone_from(&parts.settings.upgrade_url);
    } else if let Some(after) = problem.retry_after {
        problem.reset_at = Some(period::rfc3339(now.seconds().saturating_add_unsigned(after)));
    }
    problem
}

fn rate_limited(wait_nanos: u64) -> Problem {
    let seconds = wait_nanos.div_ceil(1_000_000_000).max(1);
    let detail = format!("too many requests at once; try again in {seconds} s");
    let problem = violated(Code::RateLimited, detail, "rate".to_owned());
    Problem { retry_after: Some(seconds), ..problem }
}

fn violated(code: Code, detail: String, policy: String) -> Problem {
    Problem { violated_policies: vec![policy], ..Problem::new(code, detail) }
}

fn name(parts: &Parts, name: PolicyName) -> Cow<'static, str> {
    match name {
        PolicyName::Rate => "rate".into(),
        PolicyName::Cap => "cap".into(),
        PolicyName::Quota(meter) => format!("quota-{}", parts.catalogue.meter(meter).name).into(),
    }
}

fn bounded(value: u64) -> u64 {
    value.min(MAX_INTEGER)
}
