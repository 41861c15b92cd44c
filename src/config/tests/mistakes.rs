//! Mistakes as people see them.

use super::{mistakes, read, with};

/// Mistakes without their excerpts.
fn without_excerpts(text: &str) -> String {
    let mistakes = mistakes(text);
    let spoken = |line: &&str| line.starts_with("t.toml") || line.starts_with("help");
    mistakes.lines().filter(spoken).collect::<Vec<_>>().join("\n")
}

const OF_EVERY_KIND: &str = r#"[server]
listn = "0.0.0.0:8080"
drain_timeout = "30 seconds"
thread = 4

[[routes]]
path = "/signals"
cost = { api_cals = 1 }
upstream = "apy"

[[routes]]
path = "//export"
cots = 1

[tiers.free]
included = { api_calls = "100" }
"#;

#[test]
fn every_mistake_shows_at_once() {
    let text = with(&["server", "routes", "tiers"], OF_EVERY_KIND);
    insta::assert_snapshot!(mistakes(&text), @r#"
    t.toml:2:1: error: server.listn: unknown key
     2 | listn = "0.0.0.0:8080"
       | ^^^^^
    help: did you mean `listen`?

    t.toml:3:17: error: server.drain_timeout: this is not a duration
     3 | drain_timeout = "30 seconds"
       |                 ^^^^^^^^^^^^
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"

    t.toml:4:1: error: server.thread: unknown key
     4 | thread = 4
       | ^^^^^^
    help: did you mean `threads`?

    t.toml:8:10: error: routes[0].cost.api_cals: there is no meter `api_cals`
     8 | cost = { api_cals = 1 }
       |          ^^^^^^^^
    help: did you mean `api_calls`?

    t.toml:9:12: error: routes[0].upstream: there is no upstream `apy`
     9 | upstream = "apy"
       |            ^^^^^
    help: did you mean `api`?

    t.toml:11:1: error: routes[1].cost: missing
     11 | [[routes]]
        | ^^^^^^^^^^
    help: add `cost = 1` or another number of units; 0 is free, `public = true` needs no token

    t.toml:12:8: error: routes[1].path: requests never arrive with this spelling, but as `/export`
     12 | path = "//export"
        |        ^^^^^^^^^^
    help: write a path such as "/signals", "/signals/{symbol}" or "/files/{*rest}"

    t.toml:13:1: error: routes[1].cots: unknown key
     13 | cots = 1
        | ^^^^
    help: did you mean `cost`?

    t.toml:15:2: warning: tiers: no tier is the default: who has no subscription is refused
     15 | [tiers.free]
        |  ^^^^^
    help: write `default = true` in one of them if that is not meant

    t.toml:16:26: error: tiers.free.included.api_calls: this string has no meaning here
     16 | included = { api_calls = "100" }
        |                          ^^^^^
    help: write a whole number, or "unlimited"

    9 errors, 1 warning
    "#);
}

#[test]
fn a_syntax_error_stands_alone() {
    insta::assert_snapshot!(mistakes("[server]\nlisten = \"0.0.0.0:8080\nthreads = 1\n"), @r#"
    t.toml:2:23: error: not valid TOML: invalid basic string, expected `"`
     2 | listen = "0.0.0.0:8080
       |                       ^
    help: mend this first; what else is wrong shows afterwards

    1 error
    "#);
    insta::assert_snapshot!(mistakes("[server]\nthreads = 1\nthreads = 2\n"), @r#"
    t.toml:3:1: error: not valid TOML: duplicate key
     3 | threads = 2
       | ^^^^^^^
    help: mend this first; what else is wrong shows afterwards

    1 error
    "#);
}

const WRONG_VALUES: &str = r#"[server]
listen = ["localhost:8080", 8080]
admin_listen = "127.0.0.1"
admin_token = "short"
threads = -1
data_dir = ""
public_url = "api.example.com"
max_body = "10 megabytes"
drain_timeout = 3
keepalive_timeout = 75
trusted_proxies = ["10.0.0.0/33"]
[log]
format = "xml"
level = "tollgate=loud"
[ledger]
durability = "disk"
retention = "1m"
[billing]
currency = "dollars"
report = true
flush_interval = "99ms"
webhook_rate = "100"
paths = { prefix = "/", pricing = "/billing/prices", webhook = "/billing" }
"#;

#[test]
fn wrong_values_say_what_to_write() {
    let text = with(&["server", "billing"], WRONG_VALUES);
    insta::assert_snapshot!(without_excerpts(&text), @r#"
    t.toml:2:11: error: server.listen[0]: this is not an address with a port
    help: write an IP address and a port, such as "0.0.0.0:8080" or "[::]:8080"
    t.toml:2:29: error: server.listen[1]: expected a string, found an integer
    help: write an IP address and a port, such as "0.0.0.0:8080" or "[::]:8080"
    t.toml:3:16: error: server.admin_listen: this is not an address with a port
    help: write an IP address and a port, such as "0.0.0.0:8080" or "[::]:8080"
    t.toml:4:15: error: server.admin_token: the token is shorter than 16 bytes and could be guessed
    help: write a random one, such as `openssl rand -hex 16` prints, or leave it out: then /admin is off
    t.toml:5:11: error: server.threads: the number is out of range
    help: write a whole number from 0 to 1024
    t.toml:6:12: error: server.data_dir: it is empty
    help: write something between the quotes, or leave the key out
    t.toml:7:14: error: server.public_url: this is not an http or https URL
    help: write an absolute URL, such as "https://api.example.com"
    t.toml:8:12: error: server.max_body: this is not a size
    help: write "10MiB", "512KiB", "10MB" or a number of bytes
    t.toml:9:17: error: server.drain_timeout: expected a string, found an integer
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"
    t.toml:10:21: error: server.keepalive_timeout: expected a string, found an integer
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"
    t.toml:11:20: error: server.trusted_proxies[0]: this is not an address range
    help: write a range such as "10.0.0.0/8" or "2001:db8::/32", or one address
    t.toml:13:10: error: log.format: this word has no meaning here
    help: write "text" or "json"
    t.toml:14:9: error: log.level: this is not a log filter
    help: write "error", "warn", "info", "debug" or "trace", or directives such as "info,tollgate=debug"
    t.toml:16:14: error: ledger.durability: this word has no meaning here
    help: write "process" or "power"
    t.toml:17:13: error: ledger.retention: too short, it must be at least 1h
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"
    t.toml:19:12: error: billing.currency: this is not a currency
    help: write the three letters of ISO 4217, such as "usd"
    t.toml:20:10: error: billing.report: expected a string, found a boolean
    help: write "all" or "overage"
    t.toml:21:18: error: billing.flush_interval: too short, it must be at least 100ms
    help: write a number and a unit: "250ms", "30s", "5m", "24h" or "7d"
    t.toml:22:16: error: billing.webhook_rate: this is not a rate
    help: write requests per second, minute, hour or day: "5/s", "600/m", "1000/h" or "50000/d"
    t.toml:23:20: error: billing.paths.prefix: the root cannot be taken from the API
    help: write a path without parameters, such as "/billing"
    t.toml:23:35: error: billing.paths.pricing: this lies below billing.paths.prefix
    help: choose a path of its own
    t.toml:23:64: error: billing.paths.webhook: this lies below billing.paths.prefix
    help: choose a path of its own
    "#);
}

#[test]
fn warnings_come_with_a_configuration() {
    let config = read(&with(&["tiers"], "[tiers.free]\nrate = \"10/s\"\n")).expect("no mistake");
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n\n"), @r#"
    t.toml:1:1: warning: tiers.free.included: nothing is said of the meter `api_calls`, so 0 units are included
     1 | [tiers.free]
       | ^^^^^^^^^^^^
    help: write `included = { api_calls = 0 }` if that is meant

    t.toml:1:2: warning: tiers: no tier is the default: who has no subscription is refused
     1 | [tiers.free]
       |  ^^^^^
    help: write `default = true` in one of them if that is not meant
    "#);
}
