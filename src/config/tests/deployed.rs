//! The files in `deploy/fleet` fit each other, and say what a fleet needs.

use std::path::Path;
use std::time::Duration;

use crate::config::{Config, OnRedisLoss, parse};

const GATEWAY: &str = include_str!("../../../deploy/fleet/tollgate.toml");
const COMPOSE: &str = include_str!("../../../deploy/fleet/compose.yml");
const BALANCER: &str = include_str!("../../../deploy/fleet/haproxy.cfg");
const REDIS: &str = include_str!("../../../deploy/fleet/redis.conf");
const USERS: &str = include_str!("../../../deploy/fleet/users.acl");

/// What compose.yml gives to a gateway.
fn environment(name: &str) -> Option<String> {
    let line = COMPOSE.lines().find(|line| line.trim_start().starts_with(&format!("{name}:")))?;
    let usual = line.split_once(":-").and_then(|(_, usual)| usual.split_once('}'));
    Some(usual.map_or("0123456789abcdef0123456789abcdef", |(usual, _)| usual).to_owned())
}

fn config() -> Config {
    let environment =
        |name: &str| if name == "TOLLGATE_NODE" { Some("gateway-1".into()) } else { environment(name) };
    match parse(GATEWAY, Path::new("deploy/fleet/tollgate.toml"), &environment) {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

#[test]
fn the_gateways_file_loads_and_warns_of_what_is_for_trials() {
    let config = config();
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n\n"), @r#"
    deploy/fleet/tollgate.toml:55:12: warning: stripe.api_base: the secret key would travel over plain http
     55 | api_base = "http://stripe:12111" # the local one, for trials; left out: Stripe's own
        |            ^^^^^^^^^^^^^^^^^^^^^
    help: write an https URL, unless this is a test

    deploy/fleet/tollgate.toml:58:9: warning: fleet.redis: the password and all usage would travel without TLS
     58 | redis = ***
        |         ^^^
    help: write rediss instead of redis, unless the network is your own
    "#);
    let fleet = config.fleet.expect("a section");
    assert_eq!((fleet.node.as_str(), fleet.on_redis_loss), ("gateway-1", OnRedisLoss::Degrade));
    let (user, password) = (fleet.redis.user.expect("a user"), fleet.redis.password.expect("a password"));
    assert!(
        USERS.starts_with(&format!("user {user} on >{} ", password.expose())),
        "Redis knows another password"
    );
}

#[test]
fn compose_starts_two_gateways_under_names_of_their_own() {
    for node in ["gateway-1", "gateway-2"] {
        assert!(COMPOSE.contains(&format!("\n  {node}:\n    <<: *gateway\n")), "{node}");
        assert!(COMPOSE.contains(&format!("TOLLGATE_NODE: {node} }}")), "{node}");
        assert!(COMPOSE.contains(&format!("- {node}:/var/lib/tollgate")), "{node} has a folder of its own");
        assert!(BALANCER.contains(&format!("server {node} {node}:8080")), "{node}");
    }
    let named = COMPOSE
        .split("[\"./")
        .flat_map(|part| part.split("- ./"))
        .skip(1)
        .filter_map(|rest| rest.split_once(':'))
        .map(|(file, _)| file);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet");
    let files: Vec<_> = named.filter(|file| !file.contains('/')).collect();
    assert_eq!(files, ["tollgate.toml", "tollgate.toml", "haproxy.cfg", "redis.conf", "users.acl"]);
    assert!(files.iter().all(|file| folder.join(file).is_file()), "{files:?}");
}

#[test]
fn the_balancer_notices_a_gateway_that_stops_before_its_port_closes() {
    let server = config().server;
    let check = BALANCER.lines().find(|line| line.contains("default-server check")).expect("health checks");
    let number = |key: &str| {
        let mut words = check.split_whitespace().skip_while(|word| *word != key);
        words.nth(1).and_then(|word| word.trim_end_matches('s').parse::<u64>().ok()).expect(key)
    };
    assert_eq!(number("port"), u64::from(server.admin_listen.port()));
    assert!(Duration::from_secs(number("inter") * (number("fall") + 1)) < server.drain_delay);
}

#[test]
fn redis_evicts_nothing_and_lets_nobody_else_in() {
    for line in
        ["maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec", "protected-mode yes"]
    {
        assert!(REDIS.lines().any(|written| written == line), "{line}");
    }
    assert!(USERS.contains("\nuser default off "), "{USERS}");
}
