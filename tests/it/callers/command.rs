//! `tollgate keys`, beside a gateway and without one.

use serde_json::Value;

use super::{KEYS, refused};
use crate::harness::{Customer, Ended, World, tollgate};

fn run(world: &World, arguments: &[&str]) -> Ended {
    let config = world.gateway.config.display().to_string();
    let folder = world.gateway.config.parent().expect("a folder");
    tollgate(folder, &[&["keys"], arguments, &["--config", &config]].concat(), &[])
}

/// What a command prints that must end well.
fn said(world: &World, arguments: &[&str]) -> String {
    let ended = run(world, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

fn json(world: &World, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(world, &[arguments, &["--json"]].concat())).expect("JSON")
}

fn with(world: &World, key: &str) -> Customer {
    world.customer("acme").showing(key)
}

fn id_of(key: &str) -> &str {
    key.split('_').nth(1).expect("an id")
}

/// A life of a key: made, replaced, ended.
fn act(world: &World) -> [String; 2] {
    let made = said(world, &["create", "--name", "shop", "--customer", "acme", "--ttl", "30d"]);
    let first = made.strip_suffix('\n').expect("a line").to_owned();
    let rotated = json(world, &["rotate", id_of(&first), "--overlap", "0s"]);
    let second = rotated["key"].as_str().expect("a key").to_owned();
    let third = said(world, &["create", "--name", "other", "--customer", "acme"]);
    let third_id = id_of(third.trim()).to_owned();
    assert_eq!(said(world, &["revoke", &third_id]), format!("{third_id} is revoked\n"));
    let listed = json(world, &["list", "--customer", "acme"]);
    let states: Vec<&str> =
        listed["data"].as_array().expect("rows").iter().filter_map(|row| row["state"].as_str()).collect();
    assert_eq!(states, ["expired", "active", "revoked"]);
    assert!(rotated["expires_at"].is_string(), "it lives as long as the one before");
    let table = said(world, &["list"]);
    assert!(table.contains("shop") && !table.contains(&second), "{table}");
    [first, second]
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_gateway_what_the_command_does_is_in_force_at_once() {
    let world = World::builder().config(KEYS).start().await;
    let [old, new] = act(&world);
    assert_eq!(with(&world, &old).get("/signals").await.refusal(), refused("token_invalid"));
    assert_eq!(with(&world, &new).get("/signals").await.charged(), 1);
    said(&world, &["revoke", id_of(&new)]);
    assert_eq!(with(&world, &new).get("/signals").await.refusal(), refused("token_invalid"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_the_command_does_it_and_the_next_gateway_knows() {
    let mut world = World::builder().config(KEYS).start().await;
    world.gateway.stop().await;
    let [old, new] = act(&world);
    world.gateway.restart().await;
    assert_eq!(with(&world, &old).get("/signals").await.refusal(), refused("token_invalid"));
    assert_eq!(with(&world, &new).get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_on_stderr_and_end_with_1() {
    let mut world = World::builder().config(KEYS).start().await;
    for is_running in [true, false] {
        if !is_running {
            world.gateway.stop().await;
        }
        for (arguments, said) in [
            (&["create", "--name", "x", "--customer", "two words"][..], "without spaces"),
            (&["create", "--name", "x", "--scope", "read"], "no route asks for a scope"),
            (&["revoke", "nobodys0"], "there is no key of this id"),
            (&["rotate", "nobodys0"], "there is no key of this id"),
        ] {
            let ended = run(&world, arguments);
            assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{arguments:?}");
            assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
        }
        assert_eq!(said(&world, &["list"]), "there are no keys\n");
    }
    assert_eq!(run(&world, &["create", "--name", "x", "--ttl", "soon"]).code, Some(2));
    world.finish().await;
}
