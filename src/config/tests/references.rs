//! What must hold between values, mistake by mistake.

use super::{mistakes, read, with};

/// Place and sentence of each mistake, without excerpt and help.
fn headlines(text: &str) -> String {
    let mistakes = mistakes(text);
    mistakes.lines().filter(|line| line.starts_with("t.toml")).collect::<Vec<_>>().join("\n")
}

#[test]
fn keys_and_algorithms_must_fit() {
    let auth = |keys: &str| headlines(&with(&["auth"], &format!("[auth.jwt]\n{keys}\n")));
    let long = "secret = \"0123456789abcdef0123456789abcdef\"";
    let all = [
        auth("algorithms = []"),
        auth(&format!("algorithms = [\"none\", \"ES512\", \"RS255\"]\n{long}")),
        auth(&format!("algorithms = [\"HS256\", \"RS256\"]\n{long}")),
        auth("algorithms = [\"HS256\"]\nsecret = \"0123456789abcdef0123456789abcde\""),
        auth("algorithms = [\"HS256\"]\npublic_key = \"PEM\""),
        auth("algorithms = [\"HS256\"]\njwks_url = \"https://issuer.example/jwks\""),
        auth(&format!("algorithms = [\"EdDSA\"]\n{long}")),
        auth(&format!("algorithms = [\"HS256\"]\npublic_key = \"PEM\"\n{long}")),
        auth("algorithms = [\"RS256\"]\njwks_url = \"http://issuer.example/jwks\""),
        auth("algorithms = [\"RS256\"]\npublic_key = { file = \"/no/such.pem\" }"),
        auth(&format!("algorithms = [\"HS256\"]\ncustomer_claim = \"org..id\"\n{long}")),
    ];
    insta::assert_snapshot!(all.join("\n\n"), @r#"
    t.toml:1:1: error: auth.jwt: there is nothing to verify tokens with
    t.toml:2:14: error: auth.jwt.algorithms: the list is empty

    t.toml:2:15: error: auth.jwt.algorithms[0]: "none" would accept unsigned tokens
    t.toml:2:23: error: auth.jwt.algorithms[1]: ES512 is not offered: ring cannot verify signatures on the curve P-521
    t.toml:2:32: error: auth.jwt.algorithms[2]: unknown algorithm

    t.toml:2:14: error: auth.jwt.algorithms: HS* stands beside algorithms with a public key; whoever knows that key could sign as the issuer

    t.toml:3:10: error: auth.jwt.secret: the secret is shorter than 32 bytes and could be guessed

    t.toml:3:14: error: auth.jwt.public_key: HS* cannot be verified with public keys

    t.toml:3:12: error: auth.jwt.jwks_url: HS* cannot be verified with public keys

    t.toml:3:10: error: auth.jwt.secret: RS*, PS*, ES* and EdDSA cannot be verified with a secret

    t.toml:1:1: error: auth.jwt: there are several ways to verify tokens
    t.toml:3:14: error: auth.jwt.public_key: HS* cannot be verified with public keys

    t.toml:3:12: error: auth.jwt.jwks_url: keys that come over plain http can be exchanged on the way

    t.toml:3:23: error: auth.jwt.public_key.file: cannot read the file: No such file or directory (os error 2)

    t.toml:3:18: error: auth.jwt.customer_claim: a part of the path is empty
    "#);
    assert!(
        read(&with(
            &["auth"],
            "[auth.jwt]\nalgorithms = [\"RS256\"]\njwks_url = \"http://127.0.0.1:1/jwks\"\n"
        ))
        .is_ok()
    );
}

#[test]
fn routes_must_be_reachable_and_priced() {
    let text = with(
        &["routes"],
        r#"[[routes]]
path = "/signals"
[[routes]]
path = "signals"
cost = 1
[[routes]]
path = "/a/../b"
cost = 1
[[routes]]
path = "/users/{id}"
cost = 1
[[routes]]
path = "/users/{name}/"
cost = 1
methods = ["get"]
[[routes]]
path = "/users/{name}/"
cost = 1
methods = ["GET"]
[[routes]]
path = "/billing/extra"
cost = 1
[[routes]]
path = "/webhooks/stripe"
cost = 1
[[routes]]
path = "/public"
public = true
cost = 1
rate = "1/s"
requires = ["export"]
[[routes]]
path = "/limited"
cost = -1
burst = 0
charge_on = ["2xx", 404, "1xx", 700]
[[routes]]
path = "/limited/{*rest}"
cost = 1
burst = 5
[routes_default]
path = "/"
"#,
    );
    insta::assert_snapshot!(headlines(&text), @r#"
    t.toml:1:1: error: routes[0].cost: missing
    t.toml:4:8: error: routes[1].path: the path must start with a slash
    t.toml:7:8: error: routes[2].path: requests never arrive with this spelling, but as `/b`
    t.toml:13:8: error: routes[4].path: another route (`/users/{id}`) has the same path and method; leave one out, or give them different methods
    t.toml:15:12: error: routes[4].methods[0]: this is not a method that a route can have
    t.toml:17:8: error: routes[5].path: another route (`/users/{id}`) has the same path and method; leave one out, or give them different methods
    t.toml:21:8: error: routes[6].path: Tollgate answers this path itself (billing.paths.prefix)
    t.toml:24:8: error: routes[7].path: Tollgate answers this path itself (billing.paths.webhook)
    t.toml:29:8: error: routes[8].cost: a public route has no customer, so this cannot hold
    t.toml:30:8: error: routes[8].rate: a public route has no customer, so this cannot hold
    t.toml:31:12: error: routes[8].requires: a public route has no customer, so this cannot hold
    t.toml:31:13: error: routes[8].requires[0]: no tier offers the feature `export`
    t.toml:34:8: error: routes[9].cost: the number is out of range
    t.toml:35:9: error: routes[9].burst: the number is out of range
    t.toml:36:26: error: routes[9].charge_on[2]: this is not a status that an answer can have
    t.toml:36:33: error: routes[9].charge_on[3]: this is not a status that an answer can have
    t.toml:40:9: error: routes[10].burst: there is no rate that this is the burst of
    t.toml:41:1: error: routes_default.cost: missing
    t.toml:42:1: error: routes_default.path: unknown key
    "#);
    assert!(headlines(&with(&["routes"], "")).contains("there is no route"));
}

#[test]
fn tiers_must_be_unambiguous_and_complete() {
    let text = with(
        &["tiers", "billing"],
        r#"[tiers.free]
default = true
[tiers.Pro]
default = true
stripe_prices = ["price_1"]
price = { monthly = 99, yearly = "-1" }
included = { api_calls = 1, apicalls = 2 }
overage = { unit_amount = {}, cap = "0.0000000000001" }
trial = "36h"
rate = "0/s"
[tiers.max]
stripe_prices = ["price_1", ""]
price = { monthly = "99.00" }
included = { api_calls = 1 }
overage = { cap = "5" }
limits = { "a,b" = 1, seats = "many" }
rate = "1/d"
burst = 1000
[tiers.big]
included = { api_calls = 1 }
overage = { unit_amount = { api_calls = 0.02 } }
"#,
    );
    insta::assert_snapshot!(headlines(&text), @r#"
    t.toml:1:1: warning: tiers.free.included: nothing is said of the meter `api_calls`, so 0 units are included
    t.toml:1:1: error: billing.currency: missing, but tiers.Pro.overage is an amount of money
    t.toml:3:8: error: tiers.Pro: this name cannot be that of a tier
    t.toml:4:11: error: tiers.Pro.default: the tier `free` is the default already
    t.toml:6:21: error: tiers.Pro.price.monthly: expected a string, found an integer
    t.toml:6:34: error: tiers.Pro.price.yearly: an amount cannot be negative
    t.toml:7:29: error: tiers.Pro.included.apicalls: there is no meter `apicalls`
    t.toml:8:27: error: tiers.Pro.overage.unit_amount: overage of the meter `api_calls` has no price
    t.toml:8:37: error: tiers.Pro.overage.cap: an amount has at most 12 decimals
    t.toml:9:9: error: tiers.Pro.trial: a trial lasts whole days, at most 730
    t.toml:10:8: error: tiers.Pro.rate: this is not a rate
    t.toml:12:18: error: tiers.max.stripe_prices[0]: the tier `Pro` has this price already
    t.toml:12:29: error: tiers.max.stripe_prices[1]: it is empty
    t.toml:15:11: error: tiers.max.overage.unit_amount: missing
    t.toml:16:12: error: tiers.max.limits.a,b: this is not a name
    t.toml:16:31: error: tiers.max.limits.seats: this string has no meaning here
    t.toml:18:9: error: tiers.max.burst: at this rate the burst would take more than a year to earn back
    t.toml:21:41: error: tiers.big.overage.unit_amount.api_calls: expected a string, found a float
    "#);
}

#[test]
fn several_meters_and_upstreams_must_be_told_apart() {
    let text = with(
        &["upstreams", "meters"],
        r#"[upstreams.api]
servers = []
[upstreams.other]
servers = ["http://127.0.0.1", "127.0.0.1:0"]
[meters.api_calls]
stripe_event_name = ""
[meters."Bad Name"]
"#,
    );
    insta::assert_snapshot!(headlines(&text), @r#"
    t.toml:2:11: error: upstreams.api.servers: the list is empty
    t.toml:4:32: error: upstreams.other.servers[1]: the port is no number from 1 to 65535
    t.toml:6:21: error: meters.api_calls.stripe_event_name: it is empty
    t.toml:7:9: error: meters.Bad Name: this is not a name
    t.toml:16:1: error: routes[0].upstream: missing, as there are several upstreams
    t.toml:18:8: error: routes[0].cost: there are several meters, so a number alone says too little
    "#);
}

#[test]
fn stripe_needs_its_secrets_in_live_mode() {
    let stripe = |keys: &str| headlines(&with(&["stripe"], &format!("[stripe]\n{keys}\n")));
    let all = [
        headlines(&with(&["stripe"], "")),
        stripe(""),
        stripe("secret_key = \"\"\nwebhook_secrets = [\"\"]"),
        stripe("secret_key = \"sk_test_1\"\nwebhook_secrets = []"),
        stripe("mode = \"sandbox\"\napi_base = \"https://api.stripe.com\""),
    ];
    insta::assert_snapshot!(all.join("\n\n"), @r#"
    t.toml:1:1: error: stripe: missing

    t.toml:1:1: error: stripe.secret_key: missing
    t.toml:1:1: error: stripe.webhook_secrets: missing

    t.toml:2:14: error: stripe.secret_key: it is empty
    t.toml:3:20: error: stripe.webhook_secrets[0]: it is empty

    t.toml:3:19: error: stripe.webhook_secrets: the list is empty

    t.toml:3:12: error: stripe.api_base: in sandbox mode Stripe is always the local one
    "#);
}

#[test]
fn own_paths_have_no_parameters_in_any_spelling() {
    for path in ["/{id}", "/:id", "/pay/*rest"] {
        let billing = format!("[billing]\ncurrency = \"usd\"\npaths = {{ prefix = \"{path}\" }}\n");
        let found = headlines(&with(&["billing"], &billing));
        assert!(found.contains("billing.paths.prefix: there are no parameters here"), "{path}: {found}");
    }
}
