//! The clock, against those of Stripe and the issuer as their answers' `Date` tells.

use std::time::{Duration, Instant};

use reqwest::header::DATE;

use crate::clock;
use crate::config::KeySource;
use crate::stripe::TOLERANCE_SECONDS;

use super::Site;
use super::check::Check;

const NAME: &str = "clock";
/// A `Date` has no fractions, and an answer takes its time.
const UNSURE_SECONDS: u64 = 2;
const ADVICE: &str = "set the clock: run chrony or systemd-timesyncd";

pub(super) async fn check(site: &Site) -> Vec<Check> {
    let mut asked = Vec::new();
    if site.has_stripe() {
        asked.push(("Stripe", site.config.stripe.api_base.clone()));
    }
    if let KeySource::Jwks(url) = &site.config.auth.key {
        asked.push(("the issuer", url.clone()));
    }
    for (who, url) in asked {
        // Who does not answer, or tells no time, is looked at by a check of its own.
        if let Some(ahead) = ahead_of(&site.http, &url).await {
            return vec![judge(who, ahead, site.config.auth.leeway)];
        }
    }
    vec![Check::skipped(NAME, "nobody has told the time")]
}

/// How many seconds our clock is ahead of somebody's.
async fn ahead_of(http: &reqwest::Client, url: &str) -> Option<i64> {
    let (began, asked) = (clock::now().seconds(), Instant::now());
    let answer = http.head(url).send().await.ok()?;
    let halfway = i64::try_from(asked.elapsed().as_secs() / 2).ok()?;
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    Some(began + halfway - date)
}

fn judge(who: &str, ahead: i64, leeway: Duration) -> Check {
    let off = ahead.unsigned_abs();
    let said = match ahead {
        _ if off <= UNSURE_SECONDS => return Check::ok(NAME, format!("as {who}'s, to {UNSURE_SECONDS} s")),
        1.. => format!("{off} s ahead of {who}'s"),
        _ => format!("{off} s behind {who}'s"),
    };
    if off > TOLERANCE_SECONDS {
        let said = format!("{said}: every webhook is refused, beyond {TOLERANCE_SECONDS} s");
        return Check::failed(NAME, said, ADVICE);
    }
    if off > leeway.as_secs() {
        let said = format!("{said}: more than auth.jwt.leeway, so that good tokens are refused");
        return Check::failed(NAME, said, ADVICE);
    }
    Check::warning(NAME, said, ADVICE)
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_it_breaks() {
        let judged = |ahead| judge("Stripe", ahead, Duration::from_secs(30));
        for (ahead, outcome) in [
            (0, Outcome::Ok),
            (-2, Outcome::Ok),
            (3, Outcome::Warning),
            (-30, Outcome::Warning),
            (31, Outcome::Failed),
            (-301, Outcome::Failed),
        ] {
            assert_eq!(judged(ahead).outcome, outcome, "{ahead}");
        }
        assert!(judged(-31).said.contains("31 s behind Stripe's") && judged(-31).said.contains("leeway"));
        assert!(judged(301).said.contains("webhook"));
    }
}
