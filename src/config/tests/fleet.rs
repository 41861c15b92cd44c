//! `[fleet]`: mistakes as people see them, and what it asks of other sections.

use std::time::Duration;

use super::{mistakes, read, with};
use crate::config::{Config, OnRedisLoss};
use crate::domain::tier::TierId;

const NEEDED: &str = "[fleet]\nredis = \"redis://127.0.0.1\"\nnode = \"a\"\n";

/// Of all gateways.
const STRIPE: &str = "[stripe]\nsecret_key = \"sk_test_1\"\nwebhook_secrets = [\"whsec_1\"]\n";

/// A configuration with these lines before all others.
fn beside(text: &str) -> String {
    with(&["stripe"], &format!("{text}{STRIPE}"))
}

fn warnings(config: &Config) -> String {
    config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn an_address_and_a_name_are_enough() {
    let config = read(&beside(NEEDED)).expect("no mistake");
    assert_eq!(warnings(&config), "");
    let fleet = config.fleet.expect("a section");
    assert_eq!((fleet.node.as_str(), fleet.on_redis_loss), ("a", OnRedisLoss::Degrade));
    assert_eq!(fleet.redis_timeout, Duration::from_millis(100));
    assert_eq!(
        (fleet.lease_wait, fleet.publish_interval),
        (Duration::from_millis(250), Duration::from_millis(250))
    );
    assert_eq!(fleet.take_over_after, Duration::from_mins(10));
    assert_eq!(config.catalogue.tier(TierId(0)).degraded_allowance, 100);
    let alone = read(&beside("")).expect("no mistake");
    assert!(alone.fleet.is_none());
}

#[test]
fn what_is_missing_or_misspelt_says_what_to_write() {
    let text = "[fleet]\nredis = \"tcp://cache:6379\"\nredis_ca = { file = \"no-such.pem\" }\non_redis_lost = \"deny\"\n";
    insta::assert_snapshot!(mistakes(&beside(text)), @r#"
    t.toml:1:1: error: fleet.node: missing
     1 | [fleet]
       | ^^^^^^^
    help: add `node`: This gateway's own name; no two may be alive with the same.

    t.toml:2:9: error: fleet.redis: this is not an address of Redis
     2 | redis = "tcp://cache:6379"
       |         ^^^^^^^^^^^^^^^^^^
    help: write "rediss://USER:PASSWORD@HOST:PORT", "rediss+cluster://HOST:PORT,HOST:PORT" or "rediss+sentinel://HOST:PORT,HOST:PORT/MASTER"; redis instead of rediss is without TLS

    t.toml:3:21: error: fleet.redis_ca.file: cannot read the file: No such file or directory (os error 2)
     3 | redis_ca = { file = "no-such.pem" }
       |                     ^^^^^^^^^^^^^
    help: name a readable text file, relative to the configuration's folder

    t.toml:4:1: error: fleet.on_redis_lost: unknown key
     4 | on_redis_lost = "deny"
       | ^^^^^^^^^^^^^
    help: did you mean `on_redis_loss`?

    4 errors
    "#);
    let text = "[fleet]\nnode = \"two words\"\non_redis_loss = \"refuse\"\nredis_timeout = \"1ms\"\nlease_wait = 250\n\
                publish_interval = \"2s\"\ntake_over_after = \"5s\"\n";
    insta::assert_snapshot!(mistakes(&beside(text)), @r#"
    t.toml:1:1: error: fleet.redis: missing
     1 | [fleet]
       | ^^^^^^^
    help: add `redis`: Its address: one server, a Cluster or Sentinels; rediss is with TLS.

    t.toml:2:8: error: fleet.node: this is not a name
     2 | node = "two words"
       |        ^^^^^^^^^^^
    help: use 1 to 64 letters, digits, `_`, `-` and `.`

    t.toml:3:17: error: fleet.on_redis_loss: this word has no meaning here
     3 | on_redis_loss = "refuse"
       |                 ^^^^^^^^
    help: write "degrade" or "deny"

    t.toml:4:17: error: fleet.redis_timeout: too short, it must be at least 5ms
     4 | redis_timeout = "1ms"
       |                 ^^^^^
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"

    t.toml:5:14: error: fleet.lease_wait: expected a string, found an integer
     5 | lease_wait = 250
       |              ^^^
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"

    t.toml:6:20: error: fleet.publish_interval: totals would be older than a second
     6 | publish_interval = "2s"
       |                    ^^^^
    help: write at most "1s"

    t.toml:7:19: error: fleet.take_over_after: too short, it must be at least 10s
     7 | take_over_after = "5s"
       |                   ^^^^
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"

    7 errors
    "#);
}

#[test]
fn an_address_says_why_it_is_none() {
    let text = |address: &str| mistakes(&beside(&format!("[fleet]\nnode = \"a\"\nredis = \"{address}\"\n")));
    let all =
        ["redis://a,b", "rediss+sentinel://a,b", "redis+cluster://a/2", "redis://user:hidden@a:b"].map(text);
    insta::assert_snapshot!(all.join("\n\n"), @r#"
    t.toml:3:9: error: fleet.redis: several servers are a Cluster or Sentinels
     3 | redis = "redis://a,b"
       |         ^^^^^^^^^^^^^
    help: write "rediss://USER:PASSWORD@HOST:PORT", "rediss+cluster://HOST:PORT,HOST:PORT" or "rediss+sentinel://HOST:PORT,HOST:PORT/MASTER"; redis instead of rediss is without TLS

    1 error

    t.toml:3:9: error: fleet.redis: the name of the master is missing
     3 | redis = "rediss+sentinel://a,b"
       |         ^^^^^^^^^^^^^^^^^^^^^^^
    help: write "rediss://USER:PASSWORD@HOST:PORT", "rediss+cluster://HOST:PORT,HOST:PORT" or "rediss+sentinel://HOST:PORT,HOST:PORT/MASTER"; redis instead of rediss is without TLS

    1 error

    t.toml:3:9: error: fleet.redis: a Cluster has no databases
     3 | redis = "redis+cluster://a/2"
       |         ^^^^^^^^^^^^^^^^^^^^^
    help: write "rediss://USER:PASSWORD@HOST:PORT", "rediss+cluster://HOST:PORT,HOST:PORT" or "rediss+sentinel://HOST:PORT,HOST:PORT/MASTER"; redis instead of rediss is without TLS

    1 error

    t.toml:3:9: error: fleet.redis: a server is a host, or a host and its port
     3 | redis = ***
       |         ^^^
    help: write "rediss://USER:PASSWORD@HOST:PORT", "rediss+cluster://HOST:PORT,HOST:PORT" or "rediss+sentinel://HOST:PORT,HOST:PORT/MASTER"; redis instead of rediss is without TLS

    1 error
    "#);
}

#[test]
fn spans_fit_each_other() {
    let text = format!("{NEEDED}redis_timeout = \"1s\"\nlease_wait = \"500ms\"\ntake_over_after = \"31d\"\n");
    insta::assert_snapshot!(mistakes(&beside(&text)), @r#"
    t.toml:5:14: error: fleet.lease_wait: requests would give up before a slow answer of Redis counts as none
     5 | lease_wait = "500ms"
       |              ^^^^^^^
    help: write at least what fleet.redis_timeout says

    t.toml:6:19: error: fleet.take_over_after: Stripe would no longer take the usage of a lost machine: 35 days is the oldest it takes
     6 | take_over_after = "31d"
       |                   ^^^^^
    help: write at most "30d"

    2 errors
    "#);
}

#[test]
fn certificates_are_for_tls() {
    let text = format!("{NEEDED}redis_ca = \"-----BEGIN CERTIFICATE-----\"\n");
    insta::assert_snapshot!(mistakes(&beside(&text)), @r#"
    t.toml:4:12: error: fleet.redis_ca: there is no TLS whose certificates this could be for
     4 | redis_ca = "-----BEGIN CERTIFICATE-----"
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write rediss instead of redis in fleet.redis, or leave this out

    1 error
    "#);
    let text = text.replace("redis://", "rediss://");
    let fleet = read(&beside(&text)).expect("no mistake").fleet.expect("a section");
    assert_eq!(fleet.redis_ca.as_deref(), Some("-----BEGIN CERTIFICATE-----"));
    insta::assert_snapshot!(mistakes(&beside(&text.replace("CERTIFICATE", "PRIVATE KEY"))), @r#"
    t.toml:4:12: error: fleet.redis_ca: there is no certificate in it
     4 | redis_ca = ***
       |            ^^^
    help: name a file in PEM: fleet.redis_ca = { file = "redis-ca.pem" }

    1 error
    "#);
}

#[test]
fn a_cap_can_be_shared_out() {
    let tier = |cap: &str, price: &str| {
        let overage = format!("overage = {{ unit_amount = {{ api_calls = \"{price}\" }}, cap = \"{cap}\" }}");
        let tiers =
            format!("[tiers.free]\ndefault = true\nincluded = {{ api_calls = 1 }}\n{overage}\n{NEEDED}");
        with(&["tiers", "stripe"], &format!("{tiers}{STRIPE}"))
    };
    insta::assert_snapshot!(mistakes(&tier("9000.00", "0.000000000001")), @r#"
    t.toml:4:67: error: tiers.free.overage.cap: a fleet cannot share out so much in parts of 0.000000000001, the smallest price
     4 | overage = { unit_amount = { api_calls = "0.000000000001" }, cap = "9000.00" }
       |                                                                   ^^^^^^^^^
    help: write less than 9000

    1 error
    "#);
    assert!(read(&tier("8999.999999999999", "0.000000000001")).is_ok());
    assert!(read(&tier("9000.00", "0.000000000010")).is_ok(), "a last zero makes no price smaller");
    assert!(read(&tier("999999999.00", "0.0200")).is_ok());
    assert!(
        read(&tier("9000.00", "0.000000000001").replace(NEEDED, "")).is_ok(),
        "alone nothing is shared out"
    );
}

#[test]
fn a_password_without_tls_and_a_stripe_for_each_are_warned_of() {
    let config =
        read(&beside(&NEEDED.replace("127.0.0.1", "tollgate:secret@cache.internal"))).expect("no mistake");
    insta::assert_snapshot!(warnings(&config), @r"
    t.toml:2:9: warning: fleet.redis: the password and all usage would travel without TLS
     2 | redis = ***
       |         ^^^
    help: write rediss instead of redis, unless the network is your own
    ");
    let config = with(&["stripe"], &format!("{NEEDED}[stripe]\nmode = \"sandbox\"\n"));
    insta::assert_snapshot!(warnings(&read(&config).expect("no mistake")), @r#"
    t.toml:3:8: warning: fleet.node: in sandbox mode each gateway has a Stripe of its own, so the others' news never comes
     3 | node = "a"
       |        ^^^
    help: run one `tollgate sandbox`, and name it in stripe.api_base
    "#);
}
