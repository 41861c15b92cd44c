//! What servers are made of, and what outlasts a change of them.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;
use crate::config::parse;
use crate::domain::balance::health::CheckRules;

fn authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate").pem()
}

/// `[upstreams.api]` with these keys.
fn plan(keys: &str) -> config::Upstream {
    let text = format!(
        r#"
        server = {{ listen = "127.0.0.1:1" }}
        auth.jwt = {{ algorithms = ["HS256"], secret = "0123456789abcdef0123456789abcdef" }}
        meters.api_calls = {{}}
        stripe = {{ mode = "sandbox" }}
        tiers.free = {{ default = true, overage = "deny" }}
        routes = [{{ path = "/a", cost = 1 }}]
        [upstreams.api]
        {keys}
        "#
    );
    let config = parse(&text, Path::new("t.toml"), &|_| None);
    let mut upstreams = config.unwrap_or_else(|mistakes| panic!("{mistakes}")).upstreams;
    upstreams.remove(0)
}

fn at(addresses: &[&str]) -> Addresses {
    addresses.iter().map(|address| vec![address.parse().expect("an address")]).collect()
}

fn set(keys: &str, addresses: &[&str], before: Option<&Set>) -> Set {
    let came = before.map(|_| Instant::now());
    Set::new(&plan(keys), at(addresses), before, came)
}

#[test]
fn who_stays_keeps_its_life_and_who_comes_begins_slowly() {
    let before = set(r#"servers = ["10.0.0.1:1", "10.0.0.2:1"]"#, &["10.0.0.1:1", "10.0.0.2:1"], None);
    let after = set(
        r#"servers = ["10.0.0.2:1", "10.0.0.3:1"]
        read_timeout = "1s""#,
        &["10.0.0.2:1", "10.0.0.3:1"],
        Some(&before),
    );
    assert!(Arc::ptr_eq(&before.servers[1].life, &after.servers[0].life));
    let back = |server: &Server| server.candidate(&[], millis(Instant::now())).back_for_ms;
    assert_eq!((back(&after.servers[0]), back(&after.servers[1]).is_some()), (None, true));
    assert_eq!(after.servers[0].peer.options.read_timeout, Some(Duration::from_secs(1)));
}

#[test]
fn what_checks_have_said_is_forgotten_when_there_are_none_any_more() {
    let checked = r#"servers = ["10.0.0.1:1"]
        health_check = {}"#;
    let addresses = || vec![at(&["10.0.0.1:1"])];
    let before = Upstreams::new(&[plan(checked)], addresses(), None);
    let well = |upstreams: &Upstreams| upstreams.all[0].set.load().well(millis(Instant::now()));
    let rules = CheckRules { rise: 1, fall: 1 };
    before.all[0].set.load().servers[0].life.checked(false, rules, 1);
    let kept = Upstreams::new(&[plan(checked)], addresses(), Some(&before));
    assert_eq!((well(&before), well(&kept)), (0, 0));
    let unchecked = Upstreams::new(&[plan(r#"servers = ["10.0.0.1:1"]"#)], addresses(), Some(&kept));
    assert_eq!(well(&unchecked), 1);
    // One that was under way.
    before.all[0].set.load().servers[0].life.checked(false, rules, 1);
    assert_eq!(well(&unchecked), 1);
}

#[test]
fn connections_are_shared_by_those_alone_who_trust_and_show_the_same() {
    let servers = r#"servers = ["https://10.0.0.1:1"]"#;
    let trusting = |ca: &str| format!("{servers}\ntls = {{ ca = \"\"\"{ca}\"\"\" }}");
    let (ours, others) = (trusting(&authority()), trusting(&authority()));
    let named = format!("{servers}\ntls = {{ sni = \"a.example\" }}");
    let h2 = format!("{servers}\nhttp = \"auto\"");
    let before = set(servers, &["10.0.0.1:1"], None);
    let mut groups = vec![before.servers[0].peer.group_key];
    for keys in [&ours, &others, &named, &h2, "servers = [\"10.0.0.1:1\"]"] {
        let other = set(keys, &["10.0.0.1:1"], Some(&before));
        assert!(!Arc::ptr_eq(&before.servers[0].life, &other.servers[0].life), "{keys}");
        groups.push(other.servers[0].peer.group_key);
    }
    groups.sort_unstable();
    groups.dedup();
    assert_eq!(groups.len(), 6, "each is a group of its own");
    assert_eq!(set(&ours, &["10.0.0.1:1"], None).servers[0].life.group, {
        set(&ours, &["10.0.0.1:1"], None).servers[0].life.group
    });
}

#[test]
fn a_server_with_tls_is_always_verified_by_a_name() {
    for (server, sni) in
        [("https://10.0.0.1", "10.0.0.1"), ("https://[::1]:1", "::1"), ("https://a.b", "a.b")]
    {
        for http in ["1", "2", "auto"] {
            let set = set(&format!("servers = [\"{server}\"]\nhttp = \"{http}\""), &["10.0.0.1:1"], None);
            let server = &set.servers[0];
            for peer in [Some(&server.peer), server.h2.as_ref()].into_iter().flatten() {
                assert!(peer.is_tls() && peer.options.verify_cert && peer.options.verify_hostname);
                assert_eq!(peer.sni, sni);
            }
            assert_eq!(server.h2.is_some(), http != "1");
        }
    }
}

#[test]
#[should_panic(expected = "a server with TLS has a name")]
fn a_server_with_tls_and_without_a_name_cannot_be_made() {
    let mut plan = plan(r#"servers = ["https://10.0.0.1"]"#);
    plan.servers[0].address.host.clear();
    Set::new(&plan, at(&["10.0.0.1:443"]), None, None);
}

#[test]
fn a_servers_own_host_has_its_port_unless_that_is_the_usual_one() {
    for (server, host) in [
        ("http://a.b", "a.b"),
        ("http://a.b:443", "a.b:443"),
        ("https://a.b:443", "a.b"),
        ("https://[::1]:8443", "[::1]:8443"),
    ] {
        let set = set(&format!("servers = [\"{server}\"]"), &["10.0.0.1:1"], None);
        assert_eq!(set.servers[0].host, host);
    }
}

#[tokio::test]
async fn a_name_that_is_resolved_no_more_keeps_its_addresses() {
    let named = plan(r#"servers = ["no-such-host.invalid:80", "10.0.0.2:1"]"#);
    assert!(resolve(std::slice::from_ref(&named), None).await.is_err());
    let known = at(&["10.0.0.1:80", "10.0.0.2:1"]);
    let before = Upstreams::new(&[named], vec![known], None);
    let changed = plan(r#"servers = ["10.0.0.3:1", "no-such-host.invalid:80"]"#);
    let found = resolve(&[changed], Some(&before)).await.expect("it is known");
    assert_eq!(found, [at(&["10.0.0.3:1", "10.0.0.1:80"])]);
    let other = plan(r#"servers = ["no-such-host.invalid:81"]"#);
    assert!(resolve(&[other], Some(&before)).await.is_err(), "another port is another server");
}
