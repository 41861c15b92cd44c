//! Stripe: whether it answers, whether the key is good, and what the key may do.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::config::Mode;
use crate::stripe::{CallError, may_read};

use super::Site;
use super::check::Check;

const NAME: &str = "stripe";
/// What the gateway reads, as the dashboard calls it, and where it is.
const READ: [(&str, &str); 7] = [
    ("Customers", "/customers"),
    ("Subscriptions", "/subscriptions"),
    ("Invoices", "/invoices"),
    ("Prices", "/prices"),
    ("Billing Meters", "/billing/meters"),
    ("PaymentIntents", "/payment_intents"),
    ("Events", "/events"),
];

pub(super) async fn check(site: &Site) -> Vec<Check> {
    if !site.has_stripe() {
        return Site::without_stripe(NAME);
    }
    let began = Instant::now();
    let answers = join_all(READ.map(async |(what, path)| (what, may_read(&site.stripe, path).await))).await;
    let took = began.elapsed();
    let mut checks = judge(&answers, took, &kind_of(site));
    if site.config.stripe.mode == Mode::Live && is_unknown(site.config.stripe.secret_key.expose()) {
        let said = "the secret key is of no kind that is known: sk_test_, sk_live_, rk_test_, rk_live_";
        let advice =
            "copy the secret key, or a restricted one, from Stripe's dashboard; no publishable key (pk_)";
        checks.push(Check::warning(NAME, said, advice));
    }
    checks
}

/// Whether the key is one of live mode.
pub(super) fn is_live(site: &Site) -> bool {
    site.config.stripe.secret_key.expose().contains("_live_")
}

pub(super) fn mode(is_live: bool) -> &'static str {
    if is_live { "live" } else { "test" }
}

fn is_unknown(key: &str) -> bool {
    !["sk_test_", "sk_live_", "rk_test_", "rk_live_"].iter().any(|kind| key.starts_with(kind))
}

fn kind_of(site: &Site) -> String {
    let restricted =
        if site.config.stripe.secret_key.expose().starts_with("rk_") { "restricted " } else { "" };
    format!("a {restricted}key of {} mode", mode(is_live(site)))
}

/// What to do about a Stripe that does not answer as it should.
pub(super) fn advice_for(error: &CallError) -> &'static str {
    match error {
        CallError::Status(error) if error.status == 401 => {
            "correct stripe.secret_key: it was rolled, has expired, or is of another account"
        }
        CallError::Status(error) if error.status == 429 => "wait: this key, or the account, asks too much",
        CallError::Status(error) if error.status >= 500 => "wait, and see status.stripe.com",
        CallError::Unreachable { .. } | CallError::CircuitOpen => {
            "check DNS, the way out of this machine (HTTPS_PROXY), and stripe.api_base"
        }
        _ => "see what Stripe says, and whether stripe.api_base is right",
    }
}

fn judge(answers: &[(&str, Result<(), CallError>)], took: Duration, kind: &str) -> Vec<Check> {
    let errors: Vec<_> =
        answers.iter().filter_map(|(what, answer)| Some((what, answer.as_ref().err()?))).collect();
    let is_forbidden = |error: &CallError| matches!(error, CallError::Status(error) if error.status == 403);
    if let Some((_, error)) = errors.iter().find(|(_, error)| !is_forbidden(error)) {
        return vec![Check::failed(NAME, format!("{kind}: {error}"), advice_for(error))];
    }
    if errors.is_empty() {
        let said = format!("{kind}; {} answers within {took:.0?}", answers.len());
        return vec![Check::ok(NAME, said)];
    }
    let missing: Vec<_> = errors.iter().map(|(what, _)| **what).collect();
    let said = format!("{kind}, which may not read {}", missing.join(", "));
    let advice = "give the restricted key these permissions: Read, and Write for Customers, Subscriptions, Checkout \
                  Sessions, Customer portal and Billing Meter Events";
    vec![Check::failed(NAME, said, advice)]
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use crate::stripe::StatusError;

    fn refused(status: u16) -> Result<(), CallError> {
        Err(CallError::Status(Box::new(StatusError { status, ..StatusError::default() })))
    }

    #[test]
    fn what_a_restricted_key_lacks_is_named() {
        let judged = |answers: &[(&str, Result<(), CallError>)]| {
            judge(answers, Duration::from_millis(9), "a restricted key of live mode").remove(0)
        };
        assert_eq!(judged(&[("Customers", Ok(())), ("Prices", Ok(()))]).outcome, Outcome::Ok);
        let lacks = judged(&[("Customers", Ok(())), ("Prices", refused(403)), ("Events", refused(403))]);
        assert!(lacks.outcome == Outcome::Failed && lacks.said.ends_with("may not read Prices, Events"));
        let wrong = judged(&[("Customers", refused(403)), ("Prices", refused(401))]);
        assert!(wrong.advice.is_some_and(|advice| advice.contains("stripe.secret_key")));
        let away = Err(CallError::Unreachable { reason: "refused".into(), unsent: true });
        assert!(judged(&[("Customers", away)]).advice.is_some_and(|advice| advice.contains("DNS")));
    }

    #[test]
    fn a_publishable_key_is_no_secret_key() {
        assert!(
            is_unknown("pk_live_1") && is_unknown("") && !is_unknown("rk_test_1") && !is_unknown("sk_live_1")
        );
    }
}
