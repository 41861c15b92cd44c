//! What a client is told of its limits: the `RateLimit` headers of draft-ietf-httpapi-ratelimit-headers-10, and
//! refusals in words.

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::domain::account::{Policy, PolicyName};
use crate::domain::catalogue::Catalogue;
use crate::domain::period;
use crate::domain::refusal::Refusal;
use crate::domain::route::Route;
use crate::domain::units::MeterId;
use crate::domain::usage::{Charge, Now};
use crate::problem::{Code, Problem};

use super::Parts;
use super::headers::{lasting, value};

/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// How a member's own limits are called.
const MEMBER: &str = "member-";
const MEMBER_RATE: &str = "rate-member";

/// `RateLimit-Policy` and `RateLimit`; none where nothing limits the request.
pub(super) type LimitHeaders = SmallVec<[(HeaderName, HeaderValue); 2]>;

/// The costs of routes as headers show them, made once: by route.
pub(super) fn usage_costs(catalogue: &Catalogue) -> Vec<HeaderValue> {
    let cost = |route: &Route| lasting(dictionary(catalogue, route.cost.iter(), &[]));
    catalogue.routes.by_number().iter().map(cost).collect()
}

impl Parts {
    /// The value of `x-usage-cost`: a structured-field dictionary of what was charged; of a repeat, and of what was
    /// served in shadow, that it was nothing.
    /// Units that are held until the exchange ends are marked as such.
    pub(super) fn usage_cost(&self, route: &Route, charge: &Charge, held: &[MeterId]) -> HeaderValue {
        if charge.is_repeat() || charge.in_shadow {
            return value(dictionary(&self.catalogue, route.meters().map(|meter| (meter, 0)), &[]));
        }
        let drawn = charge.draws.iter().map(|draw| (draw.meter, draw.units()));
        if held.is_empty() && drawn.clone().eq(route.cost.iter()) {
            return self.usage_costs[route.id.index()].clone();
        }
        value(dictionary(&self.catalogue, drawn, held))
    }

    /// The headers that every answer of a charged route carries.
    pub(super) fn limit_headers(&self, policies: &SmallVec<[Policy; 4]>) -> LimitHeaders {
        if policies.is_empty() {
            return LimitHeaders::new();
        }
        let (mut shown, mut state) = (String::with_capacity(96), String::with_capacity(64));
        for policy in policies {
            begin_item(&mut shown, self, policy.name);
            parameter(&mut shown, ";q=", policy.quota);
            parameter(&mut shown, ";w=", policy.window_seconds);
            begin_item(&mut state, self, policy.name);
            parameter(&mut state, ";r=", policy.remaining);
            parameter(&mut state, ";t=", policy.resets_in);
        }
        [(POLICY, value(shown)), (STATE, value(state))].into()
    }
}

/// A structured-field dictionary of units by meter.
fn dictionary(
    catalogue: &Catalogue,
    units: impl Iterator<Item = (MeterId, u64)>,
    held: &[MeterId],
) -> String {
    let mut text = String::with_capacity(24);
    for (meter, units) in units {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&catalogue.meter(meter).name);
        parameter(&mut text, "=", units);
        if held.contains(&meter) {
            text.push_str(";held");
        }
    }
    text
}

fn begin_item(list: &mut String, parts: &Parts, name: PolicyName) {
    list.push_str(if list.is_empty() { "\"" } else { ", \"" });
    match name {
        PolicyName::Rate => list.push_str("rate"),
        PolicyName::MemberRate => list.push_str(MEMBER_RATE),
        PolicyName::MemberQuota(meter) => {
            list.push_str(MEMBER);
            list.push_str(&parts.catalogue.meter(meter).name);
        }
        PolicyName::Quota(meter) => {
            list.push_str("quota-");
            list.push_str(&parts.catalogue.meter(meter).name);
        }
        PolicyName::Cap => list.push_str("cap"),
        PolicyName::Credits => list.push_str("credits"),
    }
    list.push('"');
}

fn parameter(item: &mut String, name: &str, value: u64) {
    item.push_str(name);
    item.push_str(itoa::Buffer::new().format(value.min(MAX_INTEGER)));
}

/// What a refusal is called.
pub fn code_of(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::PaymentRequired => Code::PaymentRequired,
        Refusal::SubscriptionPaused => Code::SubscriptionPaused,
        Refusal::Blocked => Code::CustomerBlocked,
        Refusal::FeatureNotIncluded { .. } => Code::FeatureNotIncluded,
        Refusal::RateLimited { .. } | Refusal::MemberRateLimited { .. } => Code::RateLimited,
        Refusal::QuotaExceeded { .. } | Refusal::MemberQuotaExceeded { .. } => Code::QuotaExceeded,
        Refusal::CreditsExhausted => Code::CreditsExhausted,
        Refusal::SpendCapReached => Code::SpendCapReached,
    }
}

/// A refusal as the client reads it.
pub(super) fn refusal(
    parts: &Parts,
    refusal: &Refusal,
    policies: &SmallVec<[Policy; 4]>,
    now: Now,
) -> Problem {
    let code = code_of(refusal);
    let mut problem = match refusal {
        Refusal::PaymentRequired => Problem::new(
            code,
            "the subscription is not paid for; pay the open invoice or choose a tier, then try again",
        ),
        Refusal::SubscriptionPaused => {
            Problem::new(code, "the subscription is paused; resume it, then try again")
        }
        Refusal::Blocked => {
            Problem::new(code, "an operator has blocked this customer; ask the provider of this API why")
        }
        Refusal::FeatureNotIncluded { feature } => {
            let feature = parts.catalogue.features.get(*feature).map_or("required", String::as_str);
            let detail = format!("this route needs the feature \"{feature}\"; choose a tier that has it");
            Problem::new(code, detail)
        }
        Refusal::RateLimited { wait_nanos } => rate_limited(*wait_nanos, "rate"),
        Refusal::MemberRateLimited { wait_nanos } => rate_limited(*wait_nanos, MEMBER_RATE),
        Refusal::MemberQuotaExceeded { meter } => {
            let meter = &parts.catalogue.meter(*meter).name;
            let detail = format!(
                "the units of {meter} that each member may use of this period are used up; wait for the next one"
            );
            violated(code, detail, format!("{MEMBER}{meter}"))
        }
        Refusal::QuotaExceeded { meter } => {
            let meter = &parts.catalogue.meter(*meter).name;
            let detail = format!(
                "the included units of {meter} are used up; wait for the next period or choose a larger tier"
            );
            violated(code, detail, format!("quota-{meter}"))
        }
        Refusal::CreditsExhausted => {
            let detail = "the credits are used up; buy more, or wait for the next paid period".to_owned();
            violated(code, detail, "credits".to_owned())
        }
        Refusal::SpendCapReached => {
            let detail =
                "the period's spend cap is reached; wait for the next period or raise the cap".to_owned();
            violated(code, detail, "cap".to_owned())
        }
    };
    let is_window = |policy: &&Policy| {
        matches!(policy.name, PolicyName::Quota(_) | PolicyName::MemberQuota(_) | PolicyName::Cap)
    };
    let window = policies.iter().find(is_window);
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

fn rate_limited(wait_nanos: u64, policy: &str) -> Problem {
    let seconds = wait_nanos.div_ceil(1_000_000_000).max(1);
    let detail = format!("too many requests at once; try again in {seconds} s");
    let problem = violated(Code::RateLimited, detail, policy.to_owned());
    Problem { retry_after: Some(seconds), ..problem }
}

fn violated(code: Code, detail: String, policy: String) -> Problem {
    Problem { violated_policies: vec![policy], ..Problem::new(code, detail) }
}
