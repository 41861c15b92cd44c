//! Who may call, beside tokens, while everything runs.

use http::Method;
use serde_json::{Value, json};

use super::routes;
use crate::harness::{Customer, Reply, World};

/// The status that a key gets in a header.
async fn with_key(world: &World, header: &str, key: &str) -> u16 {
    world.ask(Method::GET, "/free", |request| request.header(header, key)).await.status
}

async fn make(world: &World, wanted: &Value) -> Reply {
    world.operate("/admin/keys", wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_switched_on_and_off_and_those_that_were_made_are_known_again() {
    let world = World::start().await;
    let base = world.configuration();
    let wanted = json!({ "customer": "acme", "name": "of a test" });
    assert_eq!(make(&world, &wanted).await.status, 409, "keys are off");
    world.reconfigure("[auth.keys]\nprefix = \"own\"").await;
    let made = make(&world, &wanted).await.json();
    let key = made["key"].as_str().expect("a key").to_owned();
    assert!(key.starts_with("own_"), "it has the prefix in force");
    assert_eq!(with_key(&world, "x-api-key", &key).await, 200);
    world.reconfigure("[auth.keys]\nheader = \"x-other\"").await;
    assert_eq!(
        (with_key(&world, "x-api-key", &key).await, with_key(&world, "x-other", &key).await),
        (401, 200)
    );
    world.configure_from(base, "");
    world.reloaded().await;
    assert_eq!(with_key(&world, "x-other", &key).await, 401);
    world.reconfigure("[auth.keys]\nenabled = true").await;
    assert_eq!(with_key(&world, "x-api-key", &key).await, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_a_route_asks_for_is_known_to_who_makes_keys() {
    let world = World::builder().config("[auth.keys]\nenabled = true").start().await;
    let wanted = json!({ "customer": "acme", "name": "of a test", "scopes": ["export"] });
    assert_eq!(make(&world, &wanted).await.status, 422);
    let scoped = r#"{ path = "/scoped", cost = 0, scopes = ["export"] }"#;
    world.reconfigure(&routes(scoped)).await;
    let narrow = json!({ "customer": "acme", "name": "of a test", "scopes": [] });
    let [wide, narrow] = [make(&world, &wanted).await, make(&world, &narrow).await].map(|made| {
        assert_eq!(made.status, 200, "{}", made.text());
        world.customer("acme").showing(made.json()["key"].as_str().expect("a key"))
    });
    assert_eq!((wide.get("/scoped").await.status, narrow.get("/scoped").await.status), (200, 403));
    // Another scope takes the first place in the file.
    let first = r#"{ path = "/first", cost = 0, scopes = ["another"] }"#;
    world.reconfigure(&routes(&format!("{first}, {scoped}"))).await;
    assert_eq!((wide.get("/scoped").await.status, wide.get("/first").await.status), (200, 403));
    assert_eq!(narrow.get("/scoped").await.status, 403);
    world.finish().await;
}

/// An anonymous caller, whose network has a name in the books.
async fn anonymous(world: &World) -> Reply {
    nobody(world).ask(Method::GET, "/signals", |request| request).await
}

fn nobody(world: &World) -> Customer {
    world.customer("ip 127.0.0.1").showing_nothing()
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_callers_get_another_tier_and_what_they_used_counts() {
    let signals = "routes = [{ path = \"/signals\", cost = 1, auth = \"optional\" }]\n";
    let tier = |tier: &str, units: u32| {
        format!(
            "{signals}[auth.anonymous]\ntier = \"{tier}\"\n\
            [tiers.{tier}]\nincluded = {{ api_calls = {units} }}\noverage = \"deny\"\n"
        )
    };
    let world = World::start().await;
    let usual = world.customer("usual");
    assert_eq!(anonymous(&world).await.status, 401);
    world.reconfigure(&tier("passers_by", 2)).await;
    assert_eq!([anonymous(&world).await.status, anonymous(&world).await.status], [200, 200]);
    assert_eq!(anonymous(&world).await.refusal(), (429, "quota_exceeded".to_owned()));
    world.reconfigure(&tier("passers_by", 3)).await;
    let third = anonymous(&world).await;
    assert_eq!((third.status, third.charged()), (200, 1), "two of the three are used");
    assert_eq!(anonymous(&world).await.status, 429);
    world.reconfigure(&tier("visitors", 5)).await;
    let fourth = anonymous(&world).await;
    assert_eq!(fourth.json()["headers"]["x-tollgate-tier"], json!(["visitors"]));
    assert_eq!([anonymous(&world).await.status, anonymous(&world).await.status], [200, 429]);
    for _ in 0..10 {
        assert_eq!(usual.get("/signals").await.charged(), 1, "the default tier is another one");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_go_on_counting_until_their_rate_is_another_one() {
    let world = World::builder().config("[auth]\nfailures = \"3/h\"").start().await;
    let fail =
        async || world.ask(Method::GET, "/free", |request| request.bearer_auth("a.b.c")).await.refusal().0;
    let known = world.customer("acme");
    assert_eq!(known.get("/free").await.status, 200);
    assert_eq!([fail().await, fail().await], [401, 401]);
    world.reconfigure("[auth.keys]\nenabled = true").await;
    assert_eq!([fail().await, fail().await], [401, 429]);
    assert_eq!(known.get("/free").await.status, 200, "a token that was verified is still known");
    world.reconfigure("[auth]\nfailures = \"2/h\"").await;
    assert_eq!([fail().await, fail().await, fail().await], [401, 401, 429]);
    world.finish().await;
}
