//! Redis, which a fleet meets at.

use std::time::Duration;

use crate::fleet::{RedisSeen, probe};
use crate::server;

use super::Site;
use super::check::{Check, Outcome};

const NAME: &str = "redis";
/// The functions that the fleet's scripts use came with it.
const OLDEST: u32 = 7;
/// Leases end by the clock of Redis.
const CLOCK: Duration = Duration::from_secs(1);

pub(super) async fn check(site: &Site) -> Vec<Check> {
    let Some(fleet) = &site.config.fleet else { return vec![Check::skipped(NAME, "[fleet] is not set")] };
    let mut checks = Vec::new();
    for (server, found) in probe(&server::redis_address(fleet), super::ANSWER_WITHIN).await {
        match found {
            Ok(seen) => checks.extend(judge(&server, &seen, fleet.redis_timeout)),
            Err(error) => checks.push(judge_error(&server, &error)),
        }
    }
    if checks.iter().any(|check| check.outcome != Outcome::Ok) {
        checks.retain(|check| check.outcome != Outcome::Ok);
    }
    checks
}

/// What Redis says of a mistake stands at the beginning, as a word in capitals.
fn judge_error(server: &str, error: &str) -> Check {
    let advice = if ["WRONGPASS", "NOAUTH", "Password authentication failed"]
        .iter()
        .any(|word| error.contains(word))
    {
        "correct user and password in fleet.redis; a \"/\" in the password is \"%2F\" there"
    } else if error.contains("NOPERM") {
        "give the account the rights of deploy/fleet/users.acl"
    } else if ["certificate", "TLS", "tls"].iter().any(|word| error.contains(word)) {
        "use rediss:// where it speaks TLS and redis:// where it does not, and name who signed it as fleet.redis_ca"
    } else {
        "start it, correct fleet.redis, and let this machine connect there"
    };
    Check::failed(NAME, format!("{server}: {error}"), advice)
}

fn judge(server: &str, seen: &RedisSeen, timeout: Duration) -> Vec<Check> {
    let RedisSeen { version, latency, evicts, is_persistent, ahead, cluster_is_well } = seen;
    let mut checks = Vec::new();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < OLDEST) {
        let said = format!("{server}: version {version}");
        checks.push(Check::failed(NAME, said, "use Redis 7.0 or newer, or Valkey"));
    }
    if *evicts {
        let said = format!("{server}: maxmemory-policy lets it forget keys, and with them what was lent");
        checks.push(Check::failed(NAME, said, "set maxmemory-policy noeviction"));
    }
    if *cluster_is_well == Some(false) {
        let said = format!("{server}: cluster_state is not ok: a part of the customers is not served by it");
        checks.push(Check::failed(NAME, said, "see `redis-cli CLUSTER INFO` and `CLUSTER NODES`"));
    }
    if *ahead > CLOCK {
        let said = format!("{server}: its clock is {:.1} s off ours", ahead.as_secs_f64());
        checks.push(Check::warning(NAME, said, "set both clocks: run chrony or systemd-timesyncd"));
    }
    if *latency * 2 > timeout {
        let said =
            format!("{server}: answers within {latency:.1?}, and fleet.redis_timeout is {timeout:.0?}");
        checks.push(Check::warning(NAME, said, "put Redis nearer, or raise fleet.redis_timeout"));
    }
    if !checks.is_empty() {
        return checks;
    }
    let kept =
        if *is_persistent { "" } else { "; it keeps nothing on disk: nodes put back what a restart loses" };
    vec![Check::ok(NAME, format!("{server}: version {version}, answers within {latency:.1?}{kept}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_lose_leases_fails() {
        let good = RedisSeen {
            version: "7.2.4".into(),
            latency: Duration::from_millis(1),
            evicts: false,
            is_persistent: true,
            ahead: Duration::ZERO,
            cluster_is_well: None,
        };
        let judged = |seen: &RedisSeen| {
            let checks = judge("a:1", seen, Duration::from_millis(100));
            checks.into_iter().map(|check| check.outcome).collect::<Vec<_>>()
        };
        assert_eq!(judged(&good), [Outcome::Ok]);
        assert_eq!(judged(&RedisSeen { version: "6.2.1".into(), ..good.clone() }), [Outcome::Failed]);
        assert_eq!(judged(&RedisSeen { evicts: true, ..good.clone() }), [Outcome::Failed]);
        assert_eq!(judged(&RedisSeen { cluster_is_well: Some(false), ..good.clone() }), [Outcome::Failed]);
        assert_eq!(judged(&RedisSeen { ahead: Duration::from_secs(2), ..good.clone() }), [Outcome::Warning]);
        let slow = RedisSeen { latency: Duration::from_millis(60), ..good };
        assert_eq!(judged(&slow), [Outcome::Warning]);
    }

    #[test]
    fn each_refusal_has_its_advice() {
        for (error, advises) in [
            ("WRONGPASS invalid username-password pair", "password"),
            ("NOPERM this user has no permissions", "users.acl"),
            ("invalid peer certificate: UnknownIssuer", "redis_ca"),
            ("Connection refused (os error 111)", "start it"),
        ] {
            let advice = judge_error("a:1", error).advice.unwrap_or_default();
            assert!(advice.contains(advises), "{error}: {advice}");
        }
    }
}
