//! `ledger verify` and `ledger export`.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{command, json};
use crate::harness::{Behaviour, World};

/// The oldest segment: whatever the world did first is in it.
fn first_segment(world: &World) -> PathBuf {
    world.gateway.data_dir.join("ledger/0000000000000001.seg")
}

/// A world with some usage, all of it counted.
async fn used() -> World {
    let world = World::start().await;
    let customer = world.customer("acme");
    for _ in 0..10 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    world.flush().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_ledger_is_whole_and_its_totals_are_equal_while_the_gateway_runs_and_after_a_kill() {
    let mut world = used().await;
    let expect_whole = |world: &World, records: u64| {
        let found = json(world, &["ledger", "verify"]);
        assert_eq!((&found["whole"], &found["records"]), (&json!(true), &json!(records)), "{found}");
        assert_eq!((&found["faults"], &found["lost"]), (&json!([]), &json!([])));
        assert_eq!(found["totals"]["equal"], true, "{found}");
    };
    expect_whole(&world, 10);
    world.gateway.kill9();
    expect_whole(&world, 10);
    world.gateway.restart().await;
    assert_eq!(world.customer("acme").get("/signals").await.charged(), 1);
    world.flush().await;
    expect_whole(&world, 11);
    let shown = command(&world, &["ledger", "verify"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("equal\nthe ledger is whole\n"), "{}", shown.stdout);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_under_load_is_whole_at_every_look() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 100000 }").start().await;
    let customer = world.customer("acme");
    let load = tokio::spawn(async move {
        for _ in 0..400 {
            assert_eq!(customer.get("/signals").await.charged(), 1);
        }
    });
    while !load.is_finished() {
        let found = tokio::task::block_in_place(|| json(&world, &["ledger", "verify"]));
        assert_eq!(found["totals"]["equal"], true, "{found}");
        assert_eq!(found["lost"], json!([]), "{found}");
    }
    load.await.expect("the load");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_exits_1_naming_segment_and_offset_and_run_refuses_likewise() {
    let mut world = used().await;
    world.gateway.stop().await;
    let segment = first_segment(&world);
    let sound = fs::read(&segment).expect("a segment");
    let mut damaged = sound.clone();
    damaged[128 + 3 * 120 + 40] ^= 1;
    fs::write(&segment, damaged).expect("a segment");
    let (place, name) = (128 + 3 * 120, "0000000000000001.seg");
    let ended = command(&world, &["ledger", "verify"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("{name} at {place}: records 4 to 4")), "{}", ended.stdout);
    let ended = command(&world, &["ledger", "verify", "--json"]);
    let found: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((ended.code, &found["whole"]), (Some(1), &json!(false)));
    assert_eq!(
        (&found["faults"][0]["segment"], &found["faults"][0]["offset"]),
        (&json!(name), &json!(place))
    );
    let exported = command(&world, &["ledger", "export"]);
    assert_eq!((exported.code, exported.stdout.lines().count()), (Some(1), 9), "all that is left");
    assert!(exported.stderr.contains("records 4 to 4 are missing"), "{}", exported.stderr);
    let asked = command(&world, &["explain", "0193f000-0000-7000-8000-000000000000"]);
    assert!(
        asked.code == Some(1) && asked.stderr.contains("damaged"),
        "it may have been there: {}",
        asked.stderr
    );
    let (code, last_words) = world.gateway.start_in_vain().await;
    assert_eq!(code, Some(1));
    assert!(last_words.contains(name) && last_words.contains(&place.to_string()), "{last_words}");
    fs::write(&segment, sound).expect("a segment");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_segment_that_was_emptied_stops_the_start() {
    let mut world = used().await;
    world.gateway.stop().await;
    world.gateway.restart().await;
    world.gateway.stop().await;
    let segment = first_segment(&world);
    let sound = fs::read(&segment).expect("a segment");
    fs::write(&segment, []).expect("a segment");
    assert_eq!(command(&world, &["ledger", "verify"]).code, Some(1));
    let (code, last_words) = world.gateway.start_in_vain().await;
    assert!(code == Some(1) && last_words.contains("damaged"), "{last_words}");
    fs::write(&segment, sound).expect("a segment");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_store_that_lies_still_makes_nothing_beside_it() {
    let mut world = used().await;
    world.gateway.stop().await;
    let files = || {
        let names = fs::read_dir(&world.gateway.data_dir).expect("a folder");
        let mut names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    for arguments in [&["ledger", "verify"][..], &["ledger", "export"], &["outbox", "list"]] {
        assert_eq!(command(&world, arguments).code, Some(0), "{arguments:?}");
    }
    assert_eq!(files(), before);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_not_the_sum_of_its_records_is_shown() {
    let mut world = used().await;
    world.gateway.stop().await;
    let change = |units: i64| {
        let store = Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
        store.execute("UPDATE totals SET included = included + ?1", [units]).expect("changes");
    };
    change(7);
    let ended = command(&world, &["ledger", "verify", "--json"]);
    let found: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((ended.code, &found["whole"]), (Some(1), &json!(true)), "{found}");
    let difference = json!({
        "customer": "acme", "meter": "api_calls", "included": 7, "extra": 0, "credits": 0, "overage": 0,
        "uncovered": 0,
    });
    assert_eq!(found["totals"]["differences"], json!([difference]));
    change(-7);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_has_run_commands_say_so_and_make_nothing() {
    let mut world = used().await;
    world.gateway.stop().await;
    let aside = world.gateway.data_dir.with_extension("aside");
    fs::rename(&world.gateway.data_dir, &aside).expect("a folder");
    let commands = [
        &["ledger", "verify"][..],
        &["ledger", "export"],
        &["outbox", "list"],
        &["outbox", "retry"],
        &["explain", "x"],
    ];
    for arguments in commands {
        let ended = command(&world, arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("data"), "{arguments:?}: {}", ended.stderr);
        assert!(!world.gateway.data_dir.exists(), "{arguments:?} made a data_dir");
    }
    fs::rename(&aside, &world.gateway.data_dir).expect("a folder");
    let (ledger, ledger_aside) = (world.gateway.data_dir.join("ledger"), aside);
    fs::rename(&ledger, &ledger_aside).expect("a folder");
    let ended = command(&world, &["ledger", "verify"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("ledger") && !ledger.exists(), "{}", ended.stderr);
    fs::rename(&ledger_aside, &ledger).expect("a folder");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_what_clients_saw_corrections_included() {
    let world = World::start().await;
    let (acme, other) =
        (world.customer("acme"), world.customer("other, \"quoted\"".replace(' ', "_").as_str()));
    for path in ["/signals", "/signals/history/ACME", "/export/csv"] {
        acme.get(path).await;
    }
    assert_eq!(other.get("/export/pdf").await.charged(), 5);
    world.upstream.on("/export/pdf", Behaviour::CutMidBody);
    assert!(acme.try_get("/export/pdf").await.is_err(), "the upstream dies in mid-body");
    world.flush_all().await;

    let ended = command(&world, &["ledger", "export", "--since", "1h"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let units = |customer: &str| -> i64 {
        let of_customer = lines.iter().filter(|line| line["customer"] == customer);
        of_customer.map(|line| line["units"].as_i64().expect("units")).sum()
    };
    assert_eq!((units("acme"), units(&other.name)), (6, 5));
    let correction = lines.iter().find(|line| line["kind"] == "correction").expect("a correction");
    let charge =
        lines.iter().find(|line| line["record"] == correction["corrects"]).expect("what it corrects");
    assert_eq!((&charge["units"], &correction["units"]), (&json!(5), &json!(-5)));
    assert_eq!(charge["request_id"], correction["request_id"]);
    assert_eq!(
        (&lines[0]["route"], &lines[0]["method"], &lines[0]["status"]),
        (&json!("/signals"), &json!("GET"), &json!(200))
    );

    let csv = command(&world, &["ledger", "export", "--format", "csv", "--customer", &other.name]);
    let rows: Vec<&str> = csv.stdout.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 2, "a header and one row: {}", csv.stdout);
    assert!(rows[1].contains(r#""other,_""quoted""""#) && rows[1].ends_with(",5,0,0,0,0,5"), "{}", rows[1]);
    assert_eq!(command(&world, &["ledger", "export", "--until", "1h"]).stdout, "", "nothing is so old");
    let unknown = command(&world, &["ledger", "export", "--customer", "nobody"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(1), ""));
    assert_eq!(command(&world, &["ledger", "export", "--since", "yesterday"]).code, Some(2));
    world.finish().await;
}
