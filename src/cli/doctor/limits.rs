//! How many files may be open at once: a request that is forwarded holds two connections.

use rustix::process::{Resource, getrlimit};

use super::Site;
use super::check::Check;

const NAME: &str = "open files";
/// The ledger, the store, ports, Stripe, Redis.
const OWN: u64 = 256;
const FEW: u64 = 4_096;

pub(super) fn check(site: &Site) -> Vec<Check> {
    let limit = getrlimit(Resource::Nofile).current;
    vec![judge(limit, site.config.server.doors.limits.max_connections)]
}

/// No limit at all is the best.
fn judge(limit: Option<u64>, connections: Option<u64>) -> Check {
    let Some(limit) = limit else { return Check::ok(NAME, "no limit") };
    let served = limit.saturating_sub(OWN) / 2;
    let said = format!("{limit} here: about {served} connections at once");
    let advice = "raise `ulimit -n`, or LimitNOFILE= of the service, which has a limit of its own";
    if limit <= 2 * OWN {
        return Check::failed(NAME, said, advice);
    }
    match connections {
        Some(most) if most > served => {
            Check::warning(NAME, format!("{said}; server.max_connections is {most}"), advice)
        }
        None if limit < FEW => Check::warning(NAME, said, advice),
        _ => Check::ok(NAME, said),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn there_must_be_files_for_the_connections_that_are_allowed() {
        for (limit, connections, outcome) in [
            (None, None, Outcome::Ok),
            (Some(256), None, Outcome::Failed),
            (Some(1_024), None, Outcome::Warning),
            (Some(1_024), Some(300), Outcome::Ok),
            (Some(65_536), Some(50_000), Outcome::Warning),
            (Some(65_536), None, Outcome::Ok),
        ] {
            assert_eq!(judge(limit, connections).outcome, outcome, "{limit:?} {connections:?}");
        }
    }
}
