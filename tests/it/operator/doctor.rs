//! `tollgate doctor`: what is well is said to be, and what is not has its advice.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::command;
use crate::fleet::redis::Redis;
use crate::harness::{
    Authority, Behaviour, Ended, Room, Sizes, World, config, fill, free_address, pem, tollgate,
};

/// What depends on the machine that the test runs on.
const OF_THE_MACHINE: [&str; 3] = ["disk", "disk speed", "open files"];

/// A world whose webhook endpoint at Stripe is as it should be; its id.
async fn world() -> (World, String) {
    let world = World::builder().without_webhooks().start().await;
    let url = format!("http://{}/webhooks/stripe", world.gateway.public);
    let kinds: Vec<_> = tollgate::billing::applied_kinds().map(|kind| ("enabled_events[]", kind)).collect();
    let form = [&[("url", url.as_str())], &*kinds].concat();
    let id =
        world.stripe.post("/v1/webhook_endpoints", &form).await["id"].as_str().expect("an id").to_owned();
    (world, id)
}

/// All checks of a run, which must end as they say.
fn checks(ended: &Ended) -> Vec<Value> {
    let said: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr));
    let checks = said["checks"].as_array().expect("checks").clone();
    let has_failed = checks.iter().any(|check| check["outcome"] == "failed");
    assert_eq!(ended.code, Some(i32::from(has_failed)), "{said:#}");
    checks
}

fn look(world: &World) -> Vec<Value> {
    checks(&command(world, &["doctor", "--json"]))
}

/// The same of another gateway, which does not run: with other ports, another folder, and these changes one after the
/// other.
fn look_at_another(world: &World, changes: &[&str]) -> Vec<Value> {
    let folder = world.gateway.config.parent().expect("a folder");
    let mut table = world.configuration();
    let (listen, admin) = (free_address(), free_address());
    let own = format!("[server]\nlisten = \"{listen}\"\nadmin_listen = \"{admin}\"\ndata_dir = \"another\"");
    for change in [own.as_str()].iter().chain(changes) {
        config::merge(&mut table, config::parse(change));
    }
    std::fs::create_dir_all(folder.join("another")).expect("a folder");
    std::fs::write(folder.join("another.toml"), table.to_string()).expect("a file");
    checks(&tollgate(folder, &["doctor", "--json", "--config", "another.toml"], &[]))
}

/// A check must fail, and say this, and advise that.
fn assert_fails(checks: &[Value], name: &str, said: &str, advice: &str) {
    let holds =
        |check: &Value, key: &str, part: &str| check[key].as_str().is_some_and(|text| text.contains(part));
    let found = checks.iter().any(|check| {
        check["name"] == name
            && check["outcome"] == "failed"
            && holds(check, "said", said)
            && holds(check, "advice", advice)
    });
    assert!(found, "{name} says {said:?} and advises {advice:?}: {checks:#?}");
}

fn assert_well(checks: &[Value]) {
    let ours = checks.iter().filter(|check| !OF_THE_MACHINE.iter().any(|name| check["name"] == *name));
    let unwell: Vec<_> =
        ours.filter(|check| !["ok", "skipped"].iter().any(|well| check["outcome"] == *well)).collect();
    assert!(unwell.is_empty(), "{unwell:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_world_is_well_while_the_gateway_runs_and_when_it_does_not() {
    let (mut world, _) = world().await;
    assert_eq!(world.customer("acme").get("/signals").await.charged(), 1);
    world.flush_all().await;
    let running = look(&world);
    assert_well(&running);
    let said = |name: &str| {
        running.iter().find(|check| check["name"] == name).map(|check| check["said"].to_string())
    };
    assert!(said("ports").is_some_and(|said| said.contains("held by the gateway")), "{running:#?}");
    assert!(said("data_dir").is_some_and(|said| said.contains("a gateway runs")), "{running:#?}");
    world.gateway.stop().await;
    let files = || std::fs::read_dir(&world.gateway.data_dir).expect("a folder").count();
    let before = files();
    let stopped = look(&world);
    assert_well(&stopped);
    assert_eq!(files(), before, "nothing is left behind");
    assert!(
        stopped.iter().any(|check| check["name"] == "ports" && check["said"].to_string().contains("free"))
    );
    let text = command(&world, &["doctor"]).stdout;
    assert!(text.contains("ok       configuration") && text.contains(" failed, "), "{text}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_stripe_has_its_advice() {
    let (world, endpoint) = world().await;
    let path = format!("/v1/webhook_endpoints/{endpoint}");
    world
        .stripe
        .post(&path, &[("enabled_events[]", "customer.created"), ("enabled_events[]", "invoice.created")])
        .await;
    let checks = look(&world);
    assert_fails(&checks, "stripe webhooks", "customer.subscription.updated", "add these events");
    let more =
        checks.iter().find(|check| check["outcome"] == "warning" && check["name"] == "stripe webhooks");
    assert!(more.is_some_and(|check| check["said"].to_string().contains("three days")), "{checks:#?}");
    world.stripe.post(&path, &[("disabled", "true")]).await;
    assert_fails(&look(&world), "stripe webhooks", "is disabled", "enable it");
    world.stripe.delete(&path).await;
    assert_fails(&look(&world), "stripe webhooks", "no endpoint of test mode", "stripe.webhook_secrets");

    world.stripe.hook("faults", json!({ "operation": "prices.list", "status": 403, "times": 100 })).await;
    assert_fails(&look(&world), "stripe", "may not read Prices", "restricted key");
    world.stripe.forget_faults().await;
    let checks = look_at_another(&world, &["[tiers.pro]\nstripe_prices = [\"price_of_nobody\"]"]);
    assert_fails(&checks, "stripe prices", "price_of_nobody is not at Stripe", "tiers apply");
    let checks = look_at_another(&world, &["[meters.api_calls]\nstripe_event_name = \"other_calls\""]);
    assert_fails(&checks, "stripe prices", "no meter at Stripe", "tiers apply");

    let url = format!("http://{}/webhooks/stripe", world.gateway.public);
    world.stripe.post("/v1/webhook_endpoints", &[("url", &url), ("enabled_events[]", "*")]).await;
    let live = look_at_another(&world, &["[stripe]\nsecret_key = \"rk_live_0nlyForThisTest\""]);
    assert_fails(
        &live,
        "stripe webhooks",
        "of test mode, and stripe.secret_key of live mode",
        "in the key's mode",
    );
    assert!(!live.iter().any(|check| check.to_string().contains("0nlyForThisTest")), "{live:#?}");
    let nobody = look_at_another(&world, &[&format!("[stripe]\napi_base = \"http://{}\"", free_address())]);
    assert_fails(&nobody, "stripe", "no answer from stripe", "stripe.api_base");
    world.stripe.hook("faults", json!({ "operation": "*", "status": 401, "times": 100 })).await;
    assert_fails(&look_at_another(&world, &[]), "stripe", "401", "stripe.secret_key");
    world.stripe.forget_faults().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_no_good_has_its_advice() {
    let (world, _) = world().await;
    let redis = Redis::start().await;
    redis.add_user().await;
    let fleet = |url: &str| format!("[fleet]\nnode = \"a\"\nredis = \"{url}\"");
    let by = |password: &str| fleet(&format!("redis://tollgate:{password}@{}", redis.at()));
    assert_well(&look_at_another(&world, &[&by("secret")]));
    let wrong = look_at_another(&world, &[&by("a-wrong-passw0rd")]);
    assert_fails(&wrong, "redis", &redis.at().to_string(), "password");
    assert!(!wrong.iter().any(|check| check.to_string().contains("a-wrong-passw0rd")), "{wrong:#?}");
    let nobody = fleet(&format!("redis://{}", free_address()));
    assert_fails(&look_at_another(&world, &[&nobody]), "redis", "refused", "start it");
    for (key, value) in [("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")] {
        let () = redis.ask(&["CONFIG", "SET", key, value]).await;
    }
    assert_fails(&look_at_another(&world, &[&by("secret")]), "redis", "forget keys", "noeviction");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_and_servers_that_cannot_be_used_have_their_advice() {
    let (world, _) = world().await;
    let jwks =
        format!("[auth.jwt]\nalgorithms = [\"RS256\"]\njwks_url = \"http://{}/missing\"", free_address());
    let silent = look_at_another(&world, &["[auth.jwt]", &jwks]);
    assert_fails(&silent, "issuer", "its keys cannot be had", "auth.jwt.jwks_url");
    world.upstream.on("/jwks", Behaviour::Status(404));
    let at = world.upstream.address;
    let missing = format!("[auth.jwt]\nalgorithms = [\"RS256\"]\njwks_url = \"http://{at}/jwks\"");
    assert_fails(&look_at_another(&world, &["[auth.jwt]", &missing]), "issuer", "answered 404", "jwks_uri");

    let servers = |server: &str| format!("[upstreams.api]\nservers = [\"{server}\"]");
    let down = look_at_another(&world, &[&servers(&free_address().to_string())]);
    assert_fails(&down, "upstreams", "ConnectRefused", "start it");
    let nameless = look_at_another(&world, &[&servers("no-such-host.invalid:80")]);
    assert_fails(&nameless, "upstreams", "cannot be resolved", "DNS");
    let plain = format!("https://localhost:{}", world.upstream.address.port());
    assert_fails(&look_at_another(&world, &[&servers(&plain)]), "upstreams", "TLS", "certificate");
    let ill = format!(
        "{}\nhealth_check = {{ path = \"/free\", expect = [\"5xx\"] }}",
        servers(&world.upstream.address.to_string())
    );
    assert_fails(&look_at_another(&world, &[&ill]), "upstreams", "with 200", "health_check");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_certificates_and_disks_have_their_advice() {
    let (world, _) = world().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("a port");
    let used = look_at_another(&world, &[&format!("[server]\nlisten = \"{port}\"")]);
    assert_fails(&used, "ports", &format!("{port}: another program listens"), "ss -ltnp");

    let over = Authority::new("ours").sign_with(&["api.test"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let tls = format!(
        "[server]\npublic_url = \"https://other.test\"\ntls = {{ certificate = {}, private_key = {} }}",
        pem(&over.certificate),
        pem(&over.key)
    );
    let expired = look_at_another(&world, &[&tls]);
    assert_fails(&expired, "certificates", "2021-01-01", "renew it");
    assert_fails(&expired, "certificates", "no certificate names other.test", "use one that does");

    let sealed = look_at_another(&world, &["[server]\ndata_dir = \"/proc/self\""]);
    assert_fails(&sealed, "disk speed", "cannot be written to", "let the user");
    let inside = world.gateway.config.with_file_name("small");
    if let Some(room) = Room::mount(&inside, Sizes::Together { mebibytes: 1 }) {
        let small = room.outside(&inside);
        fill(&small);
        let full = look_at_another(&world, &[&format!("[server]\ndata_dir = \"{}\"", small.display())]);
        assert_fails(&full, "disk", "0 MiB free", "make room");
        assert_fails(&full, "disk speed", "cannot be written to", "make room");
    } else {
        eprintln!("this machine forbids mounts: no disk was filled");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_mistakes_is_told_like_check_does() {
    let (world, _) = world().await;
    world.write_configuration("[server]\nlisten = 7");
    let ended = command(&world, &["doctor"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("error"), "{}", ended.stderr);
    world.finish().await;
}
