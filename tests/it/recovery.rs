//! What a start makes of what the last run left.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use toml::Table;

use crate::harness::{Gateway, World, tollgate};

/// A segment's header; records begin behind it.
const HEADER_BYTES: usize = 128;
/// A record with one draw.
const RECORD_BYTES: usize = 120;

/// The segments of a ledger, oldest first.
fn segments(gateway: &Gateway) -> Vec<PathBuf> {
    let files = fs::read_dir(gateway.data_dir.join("ledger")).expect("a ledger");
    let mut segments: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    segments
}

/// The newest segment that holds records.
fn last_with_records(gateway: &Gateway) -> PathBuf {
    let holds_records =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() > HEADER_BYTES as u64);
    segments(gateway).into_iter().rfind(holds_records).expect("a segment with records")
}

/// Another configuration of the same gateway, with other values in `[server]`.
fn with_server(gateway: &Gateway, changes: &[(&str, String)]) -> PathBuf {
    let mut config: Table =
        fs::read_to_string(&gateway.config).expect("a file of the test").parse().expect("a file of the test");
    let server = config["server"].as_table_mut().expect("a file of the test");
    for (key, value) in changes {
        server.insert((*key).to_owned(), value.clone().into());
    }
    let path = gateway.config.with_file_name("another.toml");
    fs::write(&path, config.to_string()).expect("a file of the test");
    path
}

fn run(config: &Path) -> crate::harness::Ended {
    let folder = config.parent().expect("a folder");
    tollgate(folder, &["run", "--config", &config.display().to_string()], &[])
}

/// Damages one of ten records that were counted before the stop, and expects the start to fail for it.
async fn damage_is_told(record: usize) {
    let mut world = World::start().await;
    let customer = world.customer("acme");
    for _ in 0..10 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
    }
    world.gateway.stop().await;
    let segment = last_with_records(&world.gateway);
    let sound = fs::read(&segment).expect("a file of the test");
    let mut damaged = sound.clone();
    damaged[HEADER_BYTES + record * RECORD_BYTES + 20] ^= 0xff;
    fs::write(&segment, damaged).expect("a file of the test");

    let (code, last_words) = world.gateway.start_in_vain().await;
    assert_eq!(code, Some(1));
    let name = segment.file_name().expect("a file of the test").to_str().expect("a file of the test");
    assert!(last_words.contains(name) && last_words.contains("offset"), "{last_words}");

    fs::write(&segment, sound).expect("a file of the test");
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 50);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_ledgers_first_record_stops_the_start_and_names_the_segment() {
    damage_is_told(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_its_middle_stops_the_start_and_names_the_segment() {
    damage_is_told(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_last_record_before_the_recorded_sync_stops_the_start_and_names_the_segment() {
    damage_is_told(9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_missing_stops_the_start_and_is_named() {
    let mut world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.gateway.stop().await;
    let segment = last_with_records(&world.gateway);
    let aside = segment.with_extension("aside");
    fs::rename(&segment, &aside).expect("a file of the test");
    let (code, last_words) = world.gateway.start_in_vain().await;
    assert_eq!(code, Some(1));
    assert!(
        last_words
            .contains(segment.file_name().expect("a file of the test").to_str().expect("a file of the test")),
        "{last_words}"
    );
    fs::rename(&aside, &segment).expect("a file of the test");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_off_and_the_start_goes_on() {
    let mut world = World::start().await;
    let customer = world.customer("acme");
    for _ in 0..5 {
        assert_eq!(customer.get("/export/csv").await.charged(), 3);
    }
    world.gateway.kill9();
    let segment = last_with_records(&world.gateway);
    let whole = fs::read(&segment).expect("a file of the test");
    // Half a record, as a loss of power leaves it.
    let mut file = OpenOptions::new().append(true).open(&segment).expect("a file of the test");
    file.write_all(&whole[HEADER_BYTES..HEADER_BYTES + 50]).expect("a file of the test");
    drop(file);
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 15);
    assert!(world.gateway.log().contains("torn"), "{}", world.gateway.log());
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_on_one_data_dir_exits_1_and_harms_nothing() {
    let world = World::start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.charged(), 1);
    let free = || format!("127.0.0.1:{}", crate::harness::free_address().port());
    let elsewhere = with_server(&world.gateway, &[("listen", free()), ("admin_listen", free())]);
    for second in [&world.gateway.config, &elsewhere] {
        let ended = run(second);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("in use by another tollgate"), "{}", ended.stderr);
    }
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_exits_1_and_says_which() {
    let world = World::start().await;
    let data_dir = world.gateway.config.with_file_name("other-data").display().to_string();
    let second = with_server(&world.gateway, &[("data_dir", data_dir)]);
    let ended = run(&second);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let ports = [world.gateway.public.to_string(), world.gateway.admin.to_string()];
    assert!(ports.iter().any(|port| ended.stderr.contains(port)), "{}", ended.stderr);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stale_stands_in_the_way_after_a_kill() {
    let mut world = World::start().await;
    let customer = world.customer("acme");
    for round in 1..=3 {
        assert_eq!(customer.get("/export/pdf").await.charged(), 5);
        world.gateway.kill9();
        world.gateway.restart().await;
        assert_eq!(customer.used().await, 5 * round);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_delete_nothing_and_change_no_total() {
    let mut world = World::start().await;
    let (customer, _) = world.subscriber("acme", "pro").await;
    for _ in 0..20 {
        assert_eq!(customer.get("/signals/history/ACME").await.charged(), 2);
    }
    world.flush_all().await;
    let status = customer.status().await;
    for _ in 0..3 {
        let before = segments(&world.gateway);
        world.gateway.stop().await;
        world.gateway.restart().await;
        let after = segments(&world.gateway);
        assert!(before.iter().all(|segment| after.contains(segment)), "{before:?} became {after:?}");
        assert_eq!(customer.status().await, status);
        world.balance().await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_durability_power_the_books_balance_too() {
    let mut world = World::builder().config("[ledger]\ndurability = \"power\"").start().await;
    let customer = world.customer("careful");
    for _ in 0..10 {
        assert_eq!(customer.get("/signals").await.charged(), 1);
    }
    world.gateway.kill9();
    world.gateway.restart().await;
    assert_eq!(customer.used().await, 10);
    world.finish().await;
}
