//! What the commands and price lists show of costs that are measured.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::{ROUTES, held};
use crate::harness::{Behaviour, World, tollgate};

fn run(world: &World, arguments: &[&str]) -> String {
    let config = world.gateway.config.display().to_string();
    let folder: &Path = world.gateway.config.parent().expect("a folder");
    let ended = tollgate(folder, &[arguments, &["--config", &config]].concat(), &[]);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_shows_what_was_held_and_what_it_came_to() {
    let deny = "[tiers.starter]\nincluded = { api_calls = 6 }\noverage = \"deny\"\n[billing]\nflush_interval = \"1h\"";
    let world = World::builder().config(ROUTES).config(deny).start().await;
    let (customer, _) = world.subscriber("acme", "starter").await;
    world.upstream.on("/sized", Behaviour::Large(8 << 10));
    let reply = customer.get("/sized").await;
    assert_eq!(held(&reply), Some(5));
    customer.owes("api_calls=8");
    customer.until_used(8).await;
    world.flush().await;
    let request = reply.header("x-request-id").expect("an id");
    let receipt: Value = serde_json::from_str(&run(&world, &["explain", request, "--json"])).expect("JSON");
    assert_eq!((&receipt["kind"], &receipt["cost"]), (&json!("estimate"), &json!({ "api_calls": 5 })));
    let drawn = json!({ "included": 6, "extra": 0, "credits": 0, "overage": 0, "uncovered": 2 });
    assert_eq!(receipt["corrected"]["drawn"]["api_calls"], drawn, "{receipt}");
    assert_eq!(receipt["corrected"]["cost"], json!({ "api_calls": 8 }));
    world.flush_all().await;
    let receipt: Value = serde_json::from_str(&run(&world, &["explain", request, "--json"])).expect("JSON");
    assert_eq!((&receipt["meter_event"]["value"], &receipt["no_meter_event"]), (&json!(6), &Value::Null));
    let shown = run(&world, &["explain", request]);
    assert!(
        shown.contains("api_calls=5 (estimate)") && shown.contains("corrected to api_calls=8"),
        "{shown}"
    );
    assert!(shown.contains("2 covered by nothing"), "{shown}");
    let lines = run(&world, &["ledger", "export"]);
    assert!(lines.contains("\"kind\":\"estimate\"") && lines.contains("\"uncovered\":2"), "{lines}");
    let verified: Value = serde_json::from_str(&run(&world, &["ledger", "verify", "--json"])).expect("JSON");
    assert_eq!((&verified["estimates"], &verified["corrections"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&verified["whole"], &verified["totals"]["equal"]),
        (&json!(true), &json!(true)),
        "{verified}"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_list_says_how_a_cost_is_measured() {
    let world = World::builder().config(ROUTES).start().await;
    let list = world.ask(Method::GET, "/pricing", |request| request).await.json();
    let cost = |path: &str| {
        let mut routes = list["routes"].as_array().expect("a list").iter();
        routes.find(|route| route["path"] == path).expect("the route")["cost"]["api_calls"].clone()
    };
    assert_eq!(cost("/sized"), json!({ "measured": "response_bytes", "hold": 5 }));
    assert_eq!(cost("/told"), json!({ "measured": "header", "hold": 5 }));
    assert_eq!(cost("/signals"), json!(1));
    world.finish().await;
}
