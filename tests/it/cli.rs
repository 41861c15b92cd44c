//! Commands and exit codes.

use std::path::Path;

use serde_json::Value;

use crate::harness::{World, tollgate};

const USAGE: Option<i32> = Some(2);
const BAD_CONFIGURATION: Option<i32> = Some(64);

fn shipped(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name).display().to_string()
}

#[test]
fn wrong_usage_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["nonsense"], &["run"], &["check", "--config"], &["check", "--wrong"]] {
        let ended = tollgate(folder.path(), arguments, &[]);
        assert_eq!(ended.code, USAGE, "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}: mistakes go to stderr");
    }
}

#[test]
fn help_and_version_exit_0() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let ended = tollgate(folder.path(), arguments, &[]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!ended.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_missing_file_exits_64_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["run"][..], &["check"], &["token", "--customer", "acme"]] {
        let arguments = [command, &["--config", "not-there.toml"]].concat();
        let ended = tollgate(folder.path(), &arguments, &[]);
        assert_eq!(ended.code, BAD_CONFIGURATION, "{command:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("not-there.toml"), "{}", ended.stderr);
    }
}

#[test]
fn the_shipped_files_are_good() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("TOLLGATE_ADMIN_TOKEN", "an-admin-token-for-this-check"),
        ("JWT_SECRET", "a-secret-of-more-than-32-bytes-for-this-check"),
        ("STRIPE_SECRET_KEY", "sk_test_check"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_check"),
    ];
    for name in ["tollgate.toml", "demo.toml"] {
        let ended = tollgate(folder.path(), &["check", "--config", &shipped(name)], &environment);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        assert!(ended.stdout.contains("4 tiers"), "{name}: {}", ended.stdout);
    }
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ended = tollgate(folder.path(), &["check", "--config", &shipped("tollgate.toml")], &[]);
    assert_eq!(ended.code, BAD_CONFIGURATION);
    assert!(ended.stderr.contains("TOLLGATE_ADMIN_TOKEN"), "{}", ended.stderr);
}

#[test]
fn check_shows_every_mistake_at_once_with_its_place_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let broken = r#"[server]
listen = "nowhere"
admin_token = "short-secret"
colour = "red"

[auth.jwt]
algorithms = ["none"]
secret = "too-short-a-secret"

[[routes]]
path = "/signals"
cost = -1
"#;
    std::fs::write(folder.path().join("broken.toml"), broken).unwrap();
    for command in ["check", "run"] {
        let ended = tollgate(folder.path(), &[command, "--config", "broken.toml"], &[]);
        assert_eq!(ended.code, BAD_CONFIGURATION, "{command}");
        for place in
            ["broken.toml:2:", "broken.toml:3:", "broken.toml:4:", "broken.toml:7:", "broken.toml:12:"]
        {
            assert!(ended.stderr.contains(place), "{command}: nothing about {place}:\n{}", ended.stderr);
        }
        assert_eq!(ended.stdout, "", "diagnostics go to stderr");
        for secret in ["short-secret", "too-short-a-secret"] {
            assert!(!ended.stderr.contains(secret), "{command} shows a secret:\n{}", ended.stderr);
        }
    }
}

#[test]
fn the_schema_is_json_and_describes_the_sections() {
    let folder = tempfile::tempdir().unwrap();
    let ended = tollgate(folder.path(), &["schema"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let schema: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    for section in ["server", "auth", "routes", "tiers", "stripe", "billing"] {
        assert!(schema["properties"][section].is_object(), "no {section}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_the_command_line_is_good_at_the_gateway() {
    let world = World::start().await;
    let config = world.gateway.config.display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let subscribed = world.stripe.subscribe("pro", None);
    let customer = ["token", "--config", &config, "--customer", "acme"];
    let linked = [&customer[..], &["--stripe-customer", &subscribed.customer, "--ttl", "5m"]].concat();
    for arguments in [&customer[..], &linked] {
        let ended = tollgate(folder.path(), arguments, &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let token = ended.stdout.strip_suffix('\n').expect("one line");
        let reply = world.ask(http::Method::GET, "/free", |request| request.bearer_auth(token)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["headers"]["x-tollgate-customer"], serde_json::json!(["acme"]));
    }
    world.customer("acme").until_status("tier", "pro").await;
    world.finish().await;
}

#[test]
fn token_refuses_a_configuration_without_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(shipped("demo.toml")).unwrap();
    let jwks = "algorithms = [\"RS256\"]\njwks_url = \"https://issuer.test/jwks.json\"";
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("secret = ")).collect();
    let text = without.join("\n").replace("algorithms = [\"HS256\"]", jwks);
    std::fs::write(folder.path().join("jwks.toml"), text).unwrap();
    let ended = tollgate(folder.path(), &["token", "--config", "jwks.toml", "--customer", "acme"], &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("secret"), "{}", ended.stderr);
}
