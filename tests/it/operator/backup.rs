//! Backups, made while everything runs, and what is made of them elsewhere: nothing is billed twice, and nothing is
//! lost up to the backup.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use toml::Table;

use super::command;
use crate::harness::{Ended, Load, PATIENCE, Room, Sizes, World, tollgate, unix_now, until};

/// Some time is passed over by hand: the gateway waits a minute between two readings of Stripe's sum.
const NO_SETTLING: &str = "[billing]\nreconcile_settle = \"0s\"";

fn beside(world: &World, name: &str) -> PathBuf {
    world.gateway.config.with_file_name(name)
}

fn back_up(world: &World, to: &Path) -> Ended {
    command(world, &["backup", "--to", &to.display().to_string()])
}

/// Another `data_dir`, named in the configuration from now on.
fn elsewhere(world: &World) -> PathBuf {
    let mut configuration: Table = world.configuration();
    let elsewhere = beside(world, "elsewhere");
    let server = configuration["server"].as_table_mut().expect("a file of the test");
    server.insert("data_dir".to_owned(), elsewhere.display().to_string().into());
    world.write_configuration(&configuration.to_string());
    elsewhere
}

/// Ends the gateway as a machine that is lost, and lets the world go on with what a backup restores elsewhere.
fn restore_elsewhere(world: &mut World, from: &Path) -> Ended {
    if world.gateway.is_running() {
        world.gateway.kill9();
    }
    let elsewhere = elsewhere(world);
    let ended = command(world, &["restore", "--from", &from.display().to_string()]);
    if ended.code == Some(0) {
        world.gateway.data_dir = elsewhere;
    }
    ended
}

/// Lets the pauses between two readings of Stripe's sum pass, until no restored row waits.
async fn looked_for(world: &World) {
    until("restored usage has been looked for", 3 * PATIENCE, async || {
        world.flush().await;
        let store = world.store();
        // As if it had been restored when this minute began, unless it was used in this one.
        store
            .execute(
                "UPDATE outbox SET compared_at = compared_at - 61, next_try_at = 0,
                        sought_until = max(sought_from, min(sought_until, unixepoch() / 60 * 60 - 1))
                 WHERE state = 'pending' AND sought_until > 0",
                [],
            )
            .expect("rows");
        let waiting: i64 = store
            .query_row(
                "SELECT (SELECT count(*) FROM outbox WHERE state = 'pending')
                      + (SELECT count(*) FROM totals WHERE sealable AND restored > 0)",
                [],
                |row| row.get(0),
            )
            .expect("a number");
        (waiting == 0).then_some(())
    })
    .await;
}

/// Stripe's sums are of whole minutes: what has been sent until now is in them once this one has ended.
async fn the_minute_has_ended() {
    let now = unix_now() / 60;
    until("another minute", Duration::from_secs(70), async || (unix_now() / 60 > now).then_some(())).await;
}

/// Units of `acme` in the store of a `data_dir`.
fn counted(data_dir: &Path) -> i64 {
    let store = Connection::open(data_dir.join("tollgate.db")).expect("a store");
    let query = "SELECT coalesce(sum(included + overage + credits + extra), 0) FROM totals
                 WHERE customer = (SELECT number FROM customers WHERE name = 'acme')";
    store.query_row(query, [], |row| row.get(0)).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_after_a_backup_under_load_is_not_billed_again_and_nothing_before_it_is_lost() {
    let mut world = World::builder().config(NO_SETTLING).start().await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    let load = Load::start(std::slice::from_ref(&acme), 4);
    load.answers(200).await;
    let newcomers: Vec<_> = (0..1_000).map(|at| world.customer(&format!("new-{at}"))).collect();
    let newcomers = tokio::spawn(async move {
        for newcomer in newcomers {
            newcomer.get("/signals").await;
        }
    });
    let to = beside(&world, "backup");
    let made = back_up(&world, &to);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    load.answers(200).await;
    // Once more into the same folder: only what is new is copied.
    assert_eq!(back_up(&world, &to).code, Some(0));
    load.answers(200).await;
    newcomers.abort();
    load.end().await;
    world.flush_all().await;
    let used = world.seen_of("acme").0;
    let at_stripe = || world.stripe.units_of(&subscribed.customer);
    assert_eq!(at_stripe().await, used);

    let restored = restore_elsewhere(&mut world, &to);
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    assert!(restored.stdout.contains("the ledger is whole"), "{}", restored.stdout);
    the_minute_has_ended().await;
    let store = Connection::open(world.gateway.data_dir.join("tollgate.db")).expect("a store");
    let unknown = "SELECT count(DISTINCT customer) FROM totals
                   WHERE customer NOT IN (SELECT number FROM customers WHERE name NOT LIKE 'unknown %')";
    let unknown: i64 = store.query_row(unknown, [], |row| row.get(0)).expect("a number");
    assert_eq!(unknown, 0, "whoever came while the backup was made is known");
    drop(store);
    let kept = counted(&world.gateway.data_dir);
    assert!(kept >= 400 && kept < i64::try_from(used).expect("some units"), "{kept} of {used}");
    world.gateway.restart().await;
    world.until_synced().await;
    looked_for(&world).await;
    let at_stripe = || world.stripe.units_of(&subscribed.customer);
    assert_eq!(at_stripe().await, used, "nothing was billed twice");

    // It goes on from there: what is used now is billed.
    let before = acme.used().await;
    assert_eq!(acme.get("/export/pdf").await.charged(), 5);
    assert_eq!(acme.used().await, before + 5);
    world.flush_all().await;
    assert_eq!(at_stripe().await, used + 5);
    let compared = command(&world, &["reconcile"]);
    assert!(!compared.stdout.contains("run with --repair"), "{}", compared.stdout);
    world.gateway.stop().await;
    world.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_before_the_machine_was_lost_is_sent_by_the_restored_one() {
    let unsent = format!("{NO_SETTLING}\nflush_interval = \"1h\"");
    let mut world = World::builder().config(&unsent).start().await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(acme.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    for _ in 0..7 {
        assert_eq!(acme.get("/export/csv").await.charged(), 3);
    }
    let to = beside(&world, "backup");
    assert_eq!(back_up(&world, &to).code, Some(0));
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    assert_eq!(restore_elsewhere(&mut world, &to).code, Some(0));
    world.gateway.restart().await;
    world.until_synced().await;
    world.flush().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5, "not before it has been looked for");
    looked_for(&world).await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 26);
    assert_eq!(acme.used().await, 26);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_earlier_usage_nor_others_of_the_same_stripe_customer_stand_in_for_what_was_not_sent() {
    let unsent = format!("{NO_SETTLING}\nflush_interval = \"1h\"");
    let mut world = World::builder().config(&unsent).start().await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    assert_eq!(acme.get("/export/pdf").await.charged(), 5);
    world.flush_all().await;
    the_minute_has_ended().await;
    assert_eq!(acme.get("/export/csv").await.charged(), 3);
    // What the backup's store has not counted may have been sent since what it has: in the minute before, too.
    until("it is counted", PATIENCE, async || (counted(&world.gateway.data_dir) == 8).then_some(())).await;
    let to = beside(&world, "backup");
    assert_eq!(back_up(&world, &to).code, Some(0));
    assert_eq!(restore_elsewhere(&mut world, &to).code, Some(0));
    let forgotten = world.store().execute("DELETE FROM outbox WHERE state = 'delivered'", []);
    assert_eq!(forgotten.expect("rows"), 1, "its receipts have had their time");
    world.gateway.restart().await;
    world.until_synced().await;
    // Of another customer something is accepted all the time.
    let other = world.claiming("other", Some(&subscribed.customer));
    other.until_status("tier", "pro").await;
    let load = Load::start(std::slice::from_ref(&other), 1);
    looked_for(&world).await;
    load.end().await;
    world.flush_all().await;
    let others = world.seen_of("other").0;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5 + 3 + others);
    world.gateway.stop().await;
    world.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_new_after_a_restore_is_not_charged_for_those_whom_the_ledger_alone_knew() {
    let mut world = World::start().await;
    assert_eq!(world.customer("acme").get("/signals").await.charged(), 1);
    let to = beside(&world, "backup");
    assert_eq!(back_up(&world, &to).code, Some(0));
    let (store, kept) = (to.join("tollgate.db"), beside(&world, "kept"));
    std::fs::copy(&store, &kept).expect("a file of the test");
    assert_eq!(world.customer("bob").get("/export/pdf").await.charged(), 5);
    assert_eq!(back_up(&world, &to).code, Some(0));
    // As if it had been cut off when the ledger was copied.
    std::fs::copy(&kept, &store).expect("a file of the test");
    assert_eq!(restore_elsewhere(&mut world, &to).code, Some(0));
    world.gateway.restart().await;
    let carol = world.customer("carol");
    assert_eq!(carol.get("/export/csv").await.charged(), 3);
    assert_eq!(carol.used().await, 3);
    world.gateway.stop().await;
    world.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_of_the_ledgers_folder_is_told_before_anything_is_copied() {
    let mut world = World::start().await;
    let to = beside(&world, "backup");
    assert_eq!(back_up(&world, &to).code, Some(0));
    world.gateway.stop().await;
    let data_dir = elsewhere(&world);
    let is_refused = |ended: &Ended| {
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("take the mount or the link away"), "{}", ended.stderr);
        assert!(!data_dir.join("restoring").exists());
    };
    let (link, target) = (data_dir.join("ledger"), beside(&world, "large"));
    std::fs::create_dir_all(&data_dir).expect("a folder of the test");
    std::fs::create_dir_all(&target).expect("a folder of the test");
    std::os::unix::fs::symlink(&target, &link).expect("a link of the test");
    let named = to.display().to_string();
    is_refused(&command(&world, &["restore", "--from", &named]));
    assert!(link.is_symlink() && target.is_dir(), "all is as it was");
    std::fs::remove_file(&link).expect("a link of the test");
    if let Some(room) = Room::mount(&data_dir, Sizes::Apart { store_mebibytes: 8, ledger_mebibytes: 8 }) {
        let config = world.gateway.config.display().to_string();
        let mut restore = room.command(env!("CARGO_BIN_EXE_tollgate"));
        let ended = restore.args(["restore", "--from", &named, "--config", &config]).output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        is_refused(&Ended {
            code: ended.status.code(),
            stdout: text(&ended.stdout),
            stderr: text(&ended.stderr),
        });
    } else {
        eprintln!("this machine forbids mounts: none was in the way");
    }
    assert_eq!(command(&world, &["restore", "--from", &named]).code, Some(0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_lost_machine_sent_after_the_backup_counts_once_under_its_name() {
    let unsent = format!("{NO_SETTLING}\nflush_interval = \"1h\"");
    let mut world = World::builder().config(&unsent).by_road().start().await;
    let (acme, subscribed) = world.subscriber("acme", "pro").await;
    world.road().close().await;
    assert_eq!(acme.get("/export/pdf").await.charged(), 5);
    assert_eq!(world.flush().await, 1, "sealed, and not sent");
    let to = beside(&world, "backup");
    assert_eq!(back_up(&world, &to).code, Some(0));
    world.road().reopen().await;
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    assert_eq!(restore_elsewhere(&mut world, &to).code, Some(0));
    world.gateway.restart().await;
    world.until_synced().await;
    world.drain().await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_linked_after_the_backup_is_not_billed_again_for_what_was_used_before() {
    let mut world = World::builder().config(NO_SETTLING).start().await;
    let acme = world.customer("acme");
    assert_eq!(acme.get("/export/pdf").await.charged(), 5);
    let to = beside(&world, "backup");
    assert_eq!(back_up(&world, &to).code, Some(0));
    let subscribed = world.stripe.subscribe("pro", Some("acme"));
    let linked = world.claiming("acme", Some(&subscribed.customer));
    linked.until_status("tier", "pro").await;
    world.flush_all().await;
    let billed = world.stripe.units_of(&subscribed.customer).await;
    the_minute_has_ended().await;
    assert_eq!(restore_elsewhere(&mut world, &to).code, Some(0));
    world.gateway.restart().await;
    world.until_synced().await;
    linked.until_status("tier", "pro").await;
    looked_for(&world).await;
    assert_eq!(world.stripe.units_of(&subscribed.customer).await, billed);
    world.gateway.stop().await;
    world.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_and_no_gateway_runs_on_a_backup() {
    let mut world = World::start().await;
    let acme = world.customer("acme");
    assert_eq!(acme.get("/signals").await.charged(), 1);
    let to = beside(&world, "backup");
    let named = to.display().to_string();
    let nothing = command(&world, &["restore", "--from", &named]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.stderr.contains("holds no backup"), "{}", nothing.stderr);
    assert_eq!(back_up(&world, &to).code, Some(0));

    let running = command(&world, &["restore", "--from", &named]);
    assert_eq!(running.code, Some(1));
    assert!(running.stderr.contains("in use by another tollgate"), "{}", running.stderr);
    world.gateway.stop().await;
    let there = command(&world, &["restore", "--from", &named]);
    assert_eq!(there.code, Some(1));
    assert!(there.stderr.contains("move them away"), "{}", there.stderr);
    let into_itself = back_up(&world, &world.gateway.data_dir.clone());
    assert_eq!(into_itself.code, Some(1));
    assert!(into_itself.stderr.contains("holds no backup"), "{}", into_itself.stderr);

    let mut configuration = world.configuration();
    let server = configuration["server"].as_table_mut().expect("a file of the test");
    server.insert("data_dir".to_owned(), named.into());
    let wrong = beside(&world, "wrong.toml");
    std::fs::write(&wrong, configuration.to_string()).expect("a file of the test");
    let wrong = wrong.display().to_string();
    let run = tollgate(&to, &["run", "--config", &wrong], &[]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("is a backup"), "{}", run.stderr);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_tried_beside_the_gateway_of_a_fleet_and_leaves_nothing() {
    let world = World::start().await;
    let acme = world.customer("acme");
    assert_eq!(acme.get("/signals").await.charged(), 1);
    let (to, tried) = (beside(&world, "backup"), beside(&world, "tried"));
    let [from, folder] = [&to, &tried].map(|path| path.display().to_string());
    let mut configuration = world.configuration();
    let fleet = [("redis", "redis://127.0.0.1:1"), ("node", "one")];
    let fleet = fleet.map(|(key, value)| (key.to_owned(), value.into()));
    configuration.insert("fleet".to_owned(), Table::from_iter(fleet).into());
    // It can be read but once, as what `kubectl exec -i` hands in.
    let restore = |arguments: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args([&["restore", "--config", "/dev/stdin", "--from", &from], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(configuration.to_string().as_bytes()).expect("it reads");
        drop(stdin);
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let told = String::from_utf8([stdout, stderr].concat()).expect("text");
        (status.code(), told)
    };

    let (code, told) = restore(&["--try", &folder]);
    assert_eq!((code, tried.exists()), (Some(1), false), "{told}");
    assert!(told.contains("holds no backup"), "{told}");
    assert_eq!(back_up(&world, &to).code, Some(0));
    let (code, told) = restore(&["--try", &folder]);
    assert_eq!((code, tried.exists()), (Some(0), false), "{told}");
    assert!(told.contains("\nrecords       1\n") && told.contains("the ledger is whole"), "{told}");

    // What is there already is nobody's to remove.
    let (code, told) = restore(&["--try", &from]);
    assert_eq!((code, to.join("tollgate.db").exists()), (Some(1), true), "{told}");
    assert!(told.contains("not there yet"), "{told}");
    let (code, told) = restore(&[]);
    assert_eq!(code, Some(1));
    assert!(told.contains("a node of a fleet is not restored"), "{told}");
    assert_eq!(acme.get("/signals").await.charged(), 1);
    world.finish().await;
}
