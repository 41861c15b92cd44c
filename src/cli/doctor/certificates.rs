//! The certificates of the public port: how long they hold, whom they name, who vouches for them.

use crate::clock;
use crate::config;
use crate::domain::period::rfc3339;

use super::Site;
use super::check::{Check, Outcome};

const NAME: &str = "certificates";
const A_DAY: i64 = 86_400;
/// Who renews by itself has done so long before.
const SOON: i64 = 14 * A_DAY;

pub(super) fn check(site: &Site) -> Vec<Check> {
    let server = &site.config.server;
    let public = server.public_url.as_deref();
    let Some(tls) = &server.doors.tls else {
        return vec![Check::skipped(NAME, "server.tls is not set: whoever is in front speaks TLS")];
    };
    let now = clock::now().seconds();
    let mut checks: Vec<_> = tls.certificates.iter().map(|listed| judge(&Seen::of(listed), now)).collect();
    let names: Vec<&str> =
        tls.certificates.iter().flat_map(|listed| &listed.names).map(String::as_str).collect();
    checks.extend(public.and_then(host).and_then(|host| judge_name(host, &names)));
    if checks.iter().any(|check| check.outcome != Outcome::Ok) {
        checks.retain(|check| check.outcome != Outcome::Ok);
    }
    checks
}

/// What of a certificate is judged.
struct Seen {
    names: String,
    begins: i64,
    ends: i64,
    is_chained: bool,
}

impl Seen {
    fn of(listed: &config::Certificate) -> Self {
        let certificate = &listed.certificate;
        Self {
            names: listed.names.join(", "),
            begins: certificate.begins(),
            ends: certificate.ends(),
            is_chained: certificate.is_chained(),
        }
    }
}

fn judge(Seen { names, begins, ends, is_chained }: &Seen, now: i64) -> Check {
    let until = format!("{names}: until {}", rfc3339(*ends));
    let renew = "renew it and write the files anew: the gateway takes them up by itself";
    if *ends < now {
        return Check::failed(NAME, format!("{until}, which is over: clients refuse it"), renew);
    }
    if *begins > now {
        let said = format!("{names}: holds from {} on, and clients refuse it before", rfc3339(*begins));
        return Check::failed(NAME, said, "set the clock, or use the certificate before it");
    }
    if !is_chained {
        let said = format!("{names}: those behind it in the file do not vouch for one another");
        let advice = "write the certificate first, then the one that signed it, and so on (fullchain.pem)";
        return Check::failed(NAME, said, advice);
    }
    if ends - now < SOON {
        return Check::warning(NAME, format!("{until}, in {} days", (ends - now) / A_DAY), renew);
    }
    Check::ok(NAME, until)
}

/// The host of an https URL.
fn host(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("https://")?.split('/').next()?;
    let host = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    Some(host.map_or(authority, |(host, _)| host))
}

fn judge_name(host: &str, names: &[&str]) -> Option<Check> {
    let host = host.to_ascii_lowercase();
    let below = host.split_once('.').map(|(_, below)| format!("*.{below}"));
    let is_named = names.iter().any(|name| *name == host || Some(*name) == below.as_deref());
    let said = format!("no certificate names {host}, the host of server.public_url");
    let advice = "use one that does, or write the URL that clients call";
    (!is_named).then(|| Check::failed(NAME, said, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_must_hold_now_and_for_a_while() {
        let now = 1_800_000_000;
        for (begins, ends, is_chained, outcome) in [
            (0, now + SOON, true, Outcome::Ok),
            (0, now + SOON - 1, true, Outcome::Warning),
            (0, now - 1, true, Outcome::Failed),
            (now + 1, now + 2 * SOON, true, Outcome::Failed),
            (0, now + SOON, false, Outcome::Failed),
        ] {
            let seen = Seen { names: "a.example".into(), begins, ends, is_chained };
            assert_eq!(judge(&seen, now).outcome, outcome, "{begins} {ends} {is_chained}");
        }
    }

    #[test]
    fn the_public_url_must_be_named_by_one_of_them() {
        assert_eq!(host("https://api.example.com:8443/base"), Some("api.example.com"));
        assert_eq!((host("https://[::1]:1"), host("http://a")), (Some("[::1]"), None));
        assert!(judge_name("API.example.com", &["api.example.com"]).is_none());
        assert!(judge_name("api.example.com", &["x", "*.example.com"]).is_none());
        assert!(judge_name("a.b.example.com", &["*.example.com"]).is_some(), "a star stands for one label");
        assert!(judge_name("example.com", &["*.example.com"]).is_some());
    }
}
