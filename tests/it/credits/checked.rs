//! The commands that check the bill know what was drawn on credits.

use serde_json::{Value, json};

use super::{ON_CREDITS, grant, until_sum};
use crate::harness::{Behaviour, World, tollgate};

/// Runs a command that must end well; answers its output.
fn run(world: &World, arguments: &[&str]) -> String {
    let config = world.gateway.config.display().to_string();
    let folder = world.gateway.config.parent().expect("a folder");
    let ended = tollgate(folder, &[arguments, &["--config", &config]].concat(), &[]);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_names_the_grants_and_the_totals_are_the_records() {
    let world = World::builder().config(ON_CREDITS).start().await;
    let customer = world.customer("acme");
    grant(&world, &customer, 3).await;
    grant(&world, &customer, 7).await;
    let reply = customer.get("/export/pdf").await;
    let request = reply.header("x-request-id").expect("a request id").to_owned();
    world.upstream.in_turn("/export/csv", [Behaviour::CutMidBody]);
    assert!(customer.try_get("/export/csv").await.is_err());
    until_sum(&world, "acme", "returned", 3).await;
    until_sum(&world, "acme", "spent", -8).await;
    let receipt: Value = serde_json::from_str(&run(&world, &["explain", &request, "--json"])).expect("JSON");
    assert_eq!(
        receipt["drawn"]["api_calls"],
        json!({ "included": 0, "extra": 0, "credits": 5, "overage": 0 })
    );
    assert_eq!(receipt["grants"], json!([{ "grant": 1, "units": 3 }, { "grant": 2, "units": 2 }]));
    assert!(receipt["no_meter_event"].as_str().expect("a reason").contains("credits"), "{receipt}");
    assert!(run(&world, &["explain", &request]).contains("grant 1: 3, grant 2: 2"));
    let verified: Value = serde_json::from_str(&run(&world, &["ledger", "verify", "--json"])).expect("JSON");
    assert_eq!(
        (&verified["whole"], &verified["totals"]["equal"]),
        (&json!(true), &json!(true)),
        "{verified}"
    );
    let exported = run(&world, &["ledger", "export", "--format", "csv"]);
    assert!(exported.contains(",0,0,5,0,0,5\r\n") && exported.contains(",0,0,-3,0,0,-3\r\n"), "{exported}");
    world.finish().await;
}
