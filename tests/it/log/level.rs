//! How much the log tells, while everything runs.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, PATIENCE, World, until};

/// What the log says of requests of `acme`, line by line.
fn requests(world: &World) -> Vec<String> {
    let log = world.gateway.log();
    log.lines()
        .filter(|line| line.contains("gateway::debug: request ") && line.contains("customer=\"acme\""))
        .map(str::to_owned)
        .collect()
}

async fn delete(world: &World) -> Value {
    let reply = world.admin(Method::DELETE, "/admin/log", Some(ADMIN_TOKEN)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Waits for the line of a request that was just answered.
async fn line(world: &World, number: usize) -> String {
    until("a line", PATIENCE, async || requests(world).get(number - 1).cloned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_for_a_while_what_was_decided_and_why() {
    let world = World::start().await;
    let acme = world.customer("acme");
    assert_eq!(acme.get("/signals").await.charged(), 1);
    let usual = world.shown("/admin/log").await;
    assert_eq!(
        (&usual["level"], &usual["by"], &usual["ends_at"]),
        (&json!("info"), &json!("configuration"), &Value::Null)
    );

    let set = world.put("/admin/log", &json!({ "level": "debug", "for": "10m" })).await;
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!((set.json()["level"].clone(), set.json()["by"].clone()), (json!("debug"), json!("operator")));
    assert!(set.json()["ends_at"].is_string());
    assert_eq!(acme.get("/signals/history/X").await.charged(), 2);
    let said = line(&world, 1).await;
    let server = format!("server={}", world.upstream.address);
    for part in [
        "route=\"/signals/history/{symbol}\"",
        "customer=\"acme\"",
        "tier=\"free\"",
        "status=200",
        "cost={\"api_calls\":2}",
        "drawn=\"api_calls: 2 included\"",
        "upstream=\"api\"",
        &server,
        "decided_ms=",
        "upstream_ms=",
        "took_ms=",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let refused = acme.get("/premium").await;
    assert_eq!(refused.status, 403);
    let said = line(&world, 2).await;
    assert!(said.contains("status=403") && said.contains("code=") && said.contains("why="), "{said}");

    assert_eq!(delete(&world).await, usual);
    assert_eq!(acme.get("/signals").await.charged(), 1);
    assert_eq!(requests(&world).len(), 2, "nobody hears of the third");
    let trail = world.shown("/admin/audit").await;
    let acts: Vec<_> =
        trail["data"].as_array().expect("rows").iter().filter(|row| row["action"] == "log_level").collect();
    assert_eq!(acts.len(), 2, "{trail}");
    assert_eq!((&acts[1]["before"], &acts[1]["after"]), (&json!("info"), &json!("debug")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_level_or_no_while_changes_nothing() {
    let world = World::start().await;
    for wrong in [
        json!({ "level": "tollgate=loud" }),
        json!({ "level": "" }),
        json!({ "level": "debug", "for": "soon" }),
        json!({ "level": "debug", "for": "0s" }),
        json!({ "level": "debug", "for": "25h" }),
        json!({ "level": "debug", "until": "later" }),
        json!({}),
    ] {
        let reply = world.put("/admin/log", &wrong).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{wrong}");
    }
    assert_eq!(world.shown("/admin/log").await["level"], "info");
    assert_eq!(world.admin(Method::GET, "/admin/log", None).await.status, 401);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_for_a_while_ends_by_itself() {
    let world = World::start().await;
    let set = world.put("/admin/log", &json!({ "level": "tollgate=debug", "for": "50ms" })).await;
    assert_eq!(set.status, 200, "{}", set.text());
    until("it has ended", PATIENCE, async || {
        (world.shown("/admin/log").await["by"] == "configuration").then_some(())
    })
    .await;
    assert_eq!(world.customer("acme").get("/signals").await.charged(), 1);
    assert!(requests(&world).iter().all(|line| !line.contains("customer=\"acme\"")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_switches_it_on_and_off() {
    let world = World::start().await;
    let switch = async |by: &str| {
        let id = world.gateway.id().to_string();
        assert!(Command::new("kill").args(["-USR1", &id]).status().expect("kill").success());
        until(by, PATIENCE, async || (world.shown("/admin/log").await["by"] == by).then_some(())).await;
    };
    switch("signal").await;
    assert_eq!(world.shown("/admin/log").await["level"], "debug");
    assert_eq!(world.customer("acme").get("/signals").await.charged(), 1);
    assert!(line(&world, 1).await.contains("customer=\"acme\""));
    switch("configuration").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_puts_another_level_in_force() {
    let world = World::start().await;
    world.reconfigure("[log]\nlevel = \"info,tollgate::gateway=debug\"").await;
    assert_eq!(world.shown("/admin/log").await["level"], "info,tollgate::gateway=debug");
    assert_eq!(world.customer("acme").get("/signals").await.charged(), 1);
    assert!(line(&world, 1).await.contains("customer=\"acme\""));
    world.finish().await;
}
