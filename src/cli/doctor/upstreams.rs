//! The servers behind the gateway, asked as the gateway itself asks them.

use crate::gateway::{ProbeFailed, Probed, probe};

use super::Site;
use super::check::{Check, Outcome};

const NAME: &str = "upstreams";

pub(super) async fn check(site: &Site) -> Vec<Check> {
    let probed = probe(&site.config.upstreams, super::ANSWER_WITHIN).await;
    let checks: Vec<_> = probed.iter().map(judge).collect();
    if checks.iter().all(|check| check.outcome == Outcome::Ok) {
        let said: Vec<_> = checks.iter().map(|check| check.said.as_str()).collect();
        return vec![Check::ok(NAME, said.join("; "))];
    }
    checks
}

fn judge(Probed { upstream, server, outcome }: &Probed) -> Check {
    let said = |what: &str| format!("{upstream}: {server} {what}");
    let error = match outcome {
        Ok(took) => return Check::ok(NAME, said(&format!("answers within {took:.1?}"))),
        Err(error) => error,
    };
    let advice = match error {
        ProbeFailed::Unresolved(_) => "check the name in `servers`, and this machine's DNS",
        ProbeFailed::Silent => "check that it runs, and that no firewall drops what is sent there",
        ProbeFailed::Tls(_) => {
            "check that its certificate holds and names the host, who signed it (`tls = { ca }`), and that it speaks \
             TLS at all"
        }
        ProbeFailed::Status(_) => {
            "mend the server, or health_check: the gateway sends it nothing while it answers so"
        }
        ProbeFailed::Other(_) => "start it, or correct its address in `servers`",
    };
    Check::failed(NAME, said(&error.to_string()), advice)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_way_to_fail_has_its_advice() {
        let judged = |outcome| judge(&Probed { upstream: "api".into(), server: "a:1".into(), outcome });
        assert_eq!(judged(Ok(Duration::from_millis(1))).outcome, Outcome::Ok);
        for (error, says, advises) in [
            (ProbeFailed::Unresolved("no such name".into()), "no such name", "DNS"),
            (ProbeFailed::Silent, "does not answer", "firewall"),
            (ProbeFailed::Tls("InvalidCert".into()), "TLS", "certificate"),
            (ProbeFailed::Status(503), "503", "health_check"),
            (ProbeFailed::Other("ConnectRefused".into()), "ConnectRefused", "start it"),
        ] {
            let check = judged(Err(error));
            assert!(check.outcome == Outcome::Failed && check.said.contains(says), "{}", check.said);
            assert!(check.advice.is_some_and(|advice| advice.contains(advises)), "{says}");
        }
    }
}
