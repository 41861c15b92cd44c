//! How often a customer may ask, for each endpoint.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use smol_str::SmolStr;

use crate::domain::rate::Rate;
use crate::problem::{Code, Problem};

/// A customer's number, and the endpoint's path.
type Key = (u32, SmolStr);

/// Reads and changes have rates of their own.
pub struct BillingLimits {
    reads: DefaultKeyedRateLimiter<Key>,
    changes: DefaultKeyedRateLimiter<Key>,
    asked: AtomicU32,
}

/// Who has earned everything back is forgotten once in so many calls: what is kept follows those who call.
const SWEEP_EVERY: u32 = 4_096;

impl BillingLimits {
    pub fn new(reads: Rate, changes: Rate) -> Self {
        Self {
            reads: RateLimiter::keyed(quota(reads)),
            changes: RateLimiter::keyed(quota(changes)),
            asked: AtomicU32::new(0),
        }
    }

    /// Counts one call, or says when to come back.
    pub fn spend(&self, customer: u32, parts: &Parts) -> Result<(), Problem> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.reads.retain_recent();
            self.changes.retain_recent();
        }
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        // A link to the portal makes a page at Stripe.
        let reads = matches!(parts.method, Method::GET | Method::HEAD) && !path.ends_with("/portal");
        let limiter = if reads { &self.reads } else { &self.changes };
        limiter.check_key(&(customer, path.into())).map_err(|until| {
            let wait = until.wait_time_from(limiter.clock().now());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let problem = Problem::new(Code::RateLimited, "this is asked too often; come back later");
            Problem { retry_after: Some(seconds.max(1)), ..problem }
        })
    }
}

fn quota(rate: Rate) -> Quota {
    let burst = NonZeroU32::new(rate.burst()).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(burst)).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn what_is_kept_follows_those_who_call() {
        let one_a_nanosecond = Rate::new(NonZeroU32::MAX, NonZeroU32::MIN, NonZeroU32::MIN);
        let limits = BillingLimits::new(one_a_nanosecond, one_a_nanosecond);
        let (parts, ()) = Request::new(()).into_parts();
        for customer in 0..3 * SWEEP_EVERY {
            limits.spend(customer, &parts).expect("a first call");
        }
        assert!(limits.reads.len() <= SWEEP_EVERY as usize, "{}", limits.reads.len());
    }
}
