//! `tollgate sync`.

use serde_json::{Value, json};

use super::{calls, subscribe, without_news};
use crate::harness::{Ended, World, tollgate};

fn run(world: &World, arguments: &[&str]) -> Ended {
    let config = world.gateway.config.display().to_string();
    let folder = world.gateway.config.parent().expect("a folder");
    tollgate(folder, &[&["sync", "--config", &config], arguments].concat(), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_gateway_the_command_has_it_done_there() {
    let world = without_news().await;
    subscribe(&world, 2).await;
    let before = calls(&world, "subscription_list").await;
    let ended = run(&world, &[]);
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "2 synced, 0 failed\n"), "{}", ended.stderr);
    assert_eq!(calls(&world, "subscription_list").await, before + 1, "by the gateway");
    assert_eq!(world.customer("customer_1").status().await["tier"], "pro", "and in force there");
    let one: Value = serde_json::from_str(&run(&world, &["--json", "--customer", "customer_1"]).stdout)
        .expect("one line of JSON");
    assert_eq!(one, json!({ "synced": 1, "failed": 0 }));
    let ended = run(&world, &["--customer", "nobody"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains("there is no customer of that name"), "{}", ended.stderr);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_the_command_does_it_itself() {
    let mut world = without_news().await;
    subscribe(&world, 2).await;
    world.gateway.stop().await;
    let ended = run(&world, &["--json"]);
    let synced: Value = serde_json::from_str(&ended.stdout).expect("one line of JSON");
    assert_eq!((ended.code, synced), (Some(0), json!({ "synced": 2, "failed": 0 })), "{}", ended.stderr);
    let ended = run(&world, &["--customer", "customer_0"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "1 synced, 0 failed\n"), "{}", ended.stderr);
    let ended = run(&world, &["--customer", "nobody"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    // Stripe has nothing more to say, and what the command has stored is there.
    let away = json!({ "operation": "subscriptions.*", "percent": 100, "status": 500 });
    world.stripe.hook("faults", away).await;
    world.gateway.restart().await;
    assert_eq!(world.customer("customer_1").status().await["tier"], "pro");
    world.stripe.forget_faults().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_what_to_do() {
    let world = without_news().await;
    let written = std::fs::read_to_string(&world.gateway.config).expect("a configuration");
    let changed = |name: &str, text: String| {
        let path = world.gateway.config.with_file_name(name);
        std::fs::write(&path, text).expect("a file");
        let folder = path.parent().expect("a folder");
        tollgate(folder, &["sync", "--config", &path.display().to_string()], &[])
    };
    let others: Vec<&str> = written.lines().filter(|line| !line.starts_with("admin_token")).collect();
    let ended = changed("token.toml", others.join("\n"));
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains("set server.admin_token"), "{}", ended.stderr);
    let data_dir = world.gateway.data_dir.display().to_string();
    let ended = changed("elsewhere.toml", written.replace(&data_dir, &format!("{data_dir}-elsewhere")));
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains("no gateway has run there"), "{}", ended.stderr);
    world.finish().await;
}
