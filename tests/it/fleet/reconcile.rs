//! What all nodes have sent, against what Stripe holds: whichever of them is asked.

use std::path::Path;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::redis::Redis;
use super::world::World;
use crate::harness::{PATIENCE, until};
use crate::reconcile::past::{
    Account, Row, accept_at, add, at_stripe, lose_at, minutes_ago, note, reconcile_with, seal_in, store_in,
    sums,
};

const OK: Option<i32> = Some(0);
const DIFFERENT: Option<i32> = Some(1);

/// A fleet in which nothing waits for Stripe to add up, and calls need not wait for their turn.
async fn world(redis: &Redis) -> World {
    let quick = "[billing]\nreconcile_settle = \"0s\"\n[stripe]\nmax_requests_per_second = 5000";
    World::on(&redis.url()).config(quick).start().await
}

/// Customers as each node knows them.
async fn customers(world: &World, names: Vec<String>) -> Vec<Vec<Account>> {
    let known = at_stripe(&world.stripe, names).await;
    world.nodes.iter().map(|node| add(&node.gateway.data_dir, &known)).collect()
}

/// A row of a node that Stripe has accepted.
async fn used(world: &World, node: usize, account: &Account, units: i64, at: i64) -> Row {
    let data_dir = &world.nodes[node].gateway.data_dir;
    let row = seal_in(data_dir, std::slice::from_ref(account), "delivered", &[(units, at)]).remove(0);
    accept_at(&world.stripe, account, &row).await;
    row
}

/// A run of the command on a node: its exit code, and what it told.
async fn reconcile(world: &World, node: usize, more: &[&str]) -> (Option<i32>, Value) {
    let config = world.nodes[node].gateway.config.clone();
    let ended = reconcile_with(config, &[&["--json"], more].concat()).await;
    let report = serde_json::from_str(&ended.stdout);
    (ended.code, report.unwrap_or_else(|_| panic!("no JSON: {}{}", ended.stdout, ended.stderr)))
}

/// Nothing differs, and all nodes have told.
async fn assert_whole(world: &World, node: usize) {
    let (code, report) = reconcile(world, node, &["--repair"]).await;
    assert_eq!(
        (code, &report["differences"], &report["nodes_missing"]),
        (OK, &json!([]), &json!([])),
        "{report}"
    );
}

fn repairs(world: &World) -> Vec<i64> {
    let count = "SELECT count(*) FROM outbox WHERE kind = 'repair'";
    let of = |data_dir| store_in(data_dir).query_row(count, [], |row| row.get(0)).expect("a count");
    world.nodes.iter().map(|node| of(&node.gateway.data_dir)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_nodes_have_sent_is_compared_as_one_and_repaired_by_one_of_them() {
    let redis = Redis::start().await;
    let world = world(&redis).await;
    let at = customers(&world, vec!["acme".to_owned()]).await;
    let [one, two, three] = [&at[0][0], &at[1][0], &at[2][0]];
    used(&world, 0, one, 5, minutes_ago(90)).await;
    let lost = used(&world, 1, two, 7, minutes_ago(90) + 10).await;
    used(&world, 2, three, 9, minutes_ago(80)).await;
    for node in 0..3 {
        assert_whole(&world, node).await;
    }
    lose_at(&world.stripe, &lost).await;
    for node in 0..3 {
        let (code, found) = reconcile(&world, node, &[]).await;
        assert_eq!((code, sums(&found["differences"][0])), (DIFFERENT, ("acme", [21, 14, 7, 0])));
        assert!(note(&found["differences"][0]).contains("run with --repair"), "{found}");
    }
    // Asked of one that has nothing in that minute.
    let (code, repaired) = reconcile(&world, 2, &["--repair"]).await;
    assert_eq!((code, sums(&repaired["differences"][0])), (OK, ("acme", [21, 14, 7, 7])), "{repaired}");
    assert_eq!(repairs(&world), [1, 0, 0], "by the first that has usage there");
    for node in 0..3 {
        assert_whole(&world, node).await;
    }
    assert_eq!(world.stripe.units_of(&one.stripe_customer).await, 21);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_has_found_all_tell_until_any_of_them_finds_nothing() {
    let redis = Redis::start().await;
    let mut world = world(&redis).await;
    let at = customers(&world, vec!["acme".to_owned()]).await;
    let lost = used(&world, 0, &at[0][0], 7, minutes_ago(90)).await;
    lose_at(&world.stripe, &lost).await;
    assert_eq!(reconcile(&world, 0, &[]).await.0, DIFFERENT);
    until_all_tell(&world, 7).await;
    accept_at(&world.stripe, &at[0][0], &Row { identifier: "late".into(), ..lost }).await;
    assert_whole(&world, 1).await;
    until_all_tell(&world, 0).await;
    // Whoever cannot ask the others does not know that it is theirs: that tells nothing.
    world.nodes[2].gateway.stop().await;
    assert_eq!(reconcile(&world, 2, &[]).await.0, DIFFERENT);
    let told = "SELECT sum(difference) FROM reconciled";
    let told: i64 =
        store_in(&world.nodes[2].gateway.data_dir).query_row(told, [], |row| row.get(0)).expect("a sum");
    assert_eq!(told, 0);
    world.nodes[2].gateway.restart().await;
    world.finish().await;
}

async fn until_all_tell(world: &World, units: u64) {
    until(&format!("all nodes tell {units} units"), PATIENCE, async || {
        let metric = |node: usize| {
            world.nodes[node].metric("tollgate_reconcile_difference_units{meter=\"api_calls\"}")
        };
        (join_all((0..3).map(metric)).await == [units; 3]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_find_one_gap_at_once_repair_it_once() {
    let redis = Redis::start().await;
    let world = world(&redis).await;
    let at = customers(&world, (0..20).map(|n| format!("customer-{n}")).collect()).await;
    let many = 0..at[0].len();
    for n in many {
        let (first, second) = (n % 3, (n + 1) % 3);
        let lost = used(&world, first, &at[first][n], 5, minutes_ago(90)).await;
        used(&world, second, &at[second][n], 3, minutes_ago(90)).await;
        lose_at(&world.stripe, &lost).await;
    }
    let repair = |node| reconcile(&world, node, &["--repair"]);
    for (code, report) in join_all([0, 1, 2, 0, 1, 2].map(repair)).await {
        assert!(code.is_some_and(|code| code < 2), "{report}");
    }
    world.drain().await;
    for account in &at[0] {
        assert_eq!(world.stripe.units_of(&account.stripe_customer).await, 8, "{}", account.name);
    }
    assert_eq!(repairs(&world).iter().sum::<i64>(), 20);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_of_the_nodes_nothing_is_repaired() {
    let redis = Redis::start().await;
    let mut world = world(&redis).await;
    let at = customers(&world, vec!["acme".to_owned()]).await;
    let lost = used(&world, 0, &at[0][0], 5, minutes_ago(90)).await;
    used(&world, 1, &at[1][0], 3, minutes_ago(90) + 5).await;
    lose_at(&world.stripe, &lost).await;
    world.nodes[1].gateway.kill9();
    for more in [&[][..], &["--repair"]] {
        let (code, report) = reconcile(&world, 0, more).await;
        assert_eq!((code, &report["nodes_missing"]), (DIFFERENT, &json!(["two"])));
        assert_eq!(
            sums(&report["differences"][0]),
            ("acme", [5, 3, 2, 0]),
            "two of its units are certain, and wait"
        );
        assert!(report["note"].as_str().is_some_and(|note| note.contains("not all nodes")), "{report}");
    }
    // Nor beside a gateway that does not run: nobody can ask the others.
    let ended = reconcile_with(world.nodes[1].gateway.config.clone(), &["--repair"]).await;
    assert_eq!(ended.code, OK, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("this is one node of a fleet"), "{}", ended.stderr);
    assert_eq!(repairs(&world), [0, 0, 0]);
    world.nodes[1].gateway.restart().await;
    let (code, report) = reconcile(&world, 0, &["--repair"]).await;
    assert_eq!((code, sums(&report["differences"][0])), (OK, ("acme", [8, 3, 5, 5])), "{report}");
    assert_whole(&world, 1).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_over_and_is_there_twice_is_not_repaired() {
    let redis = Redis::start().await;
    let world = world(&redis).await;
    let at = customers(&world, vec!["acme".to_owned()]).await;
    let row = used(&world, 1, &at[1][0], 7, minutes_ago(90)).await;
    let taken = seal_in(&world.nodes[2].gateway.data_dir, &at[2][..1], "delivered", &[(7, row.at)]).remove(0);
    let fence = format!("UPDATE outbox SET fence = 99 WHERE identifier = '{}'", taken.identifier);
    store_in(&world.nodes[2].gateway.data_dir).execute(&fence, []).expect("a row");
    let (code, report) = reconcile(&world, 0, &["--repair"]).await;
    assert_eq!((code, sums(&report["differences"][0])), (DIFFERENT, ("acme", [14, 7, 7, 0])), "{report}");
    assert!(note(&report["differences"][0]).contains("taken over"), "{report}");
    assert_eq!(repairs(&world), [0, 0, 0]);
    // Its own node has it again.
    let gone = format!("DELETE FROM outbox WHERE identifier = '{}'", taken.identifier);
    store_in(&world.nodes[2].gateway.data_dir).execute(&gone, []).expect("a row");
    assert_whole(&world, 0).await;
    assert_eq!(world.stripe.units_of(&at[0][0].stripe_customer).await, 7);
    world.finish().await;
}

/// Rows of a node that were first and last tried a day ago, each of another minute.
fn tried_a_day_ago(data_dir: &Path, account: &Account, units: &[i64]) -> Vec<Row> {
    let rows = units.iter().zip(1_600..).map(|(units, minutes)| {
        let row =
            seal_in(data_dir, std::slice::from_ref(account), "pending", &[(*units, minutes_ago(minutes))]);
        // There is one unanswered row for each period; and nobody looks at them yet.
        let apart =
            "UPDATE outbox SET period_start = period_start - sequence, next_try_at = unixepoch() + 9999
                     WHERE sequence = (SELECT max(sequence) FROM outbox)";
        store_in(data_dir).execute(apart, []).expect("a row");
        row
    });
    rows.flatten().collect()
}

fn become_due(data_dir: &Path) {
    let due = "UPDATE outbox SET next_try_at = 0 WHERE state = 'pending'";
    store_in(data_dir).execute(due, []).expect("rows");
}

fn answer_to(data_dir: &Path, row: &Row) -> String {
    let query = "SELECT coalesce(answer, reason, '') FROM outbox WHERE identifier = ?1";
    store_in(data_dir).query_row(query, [&row.identifier], |row| row.get(0)).expect("a row")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_an_answer_is_found_among_what_all_nodes_have_sent() {
    let redis = Redis::start().await;
    let mut world = world(&redis).await;
    let at = customers(&world, vec!["acme".to_owned()]).await;
    let data_dir = world.nodes[0].gateway.data_dir.clone();
    let rows = tried_a_day_ago(&data_dir, &at[0][0], &[5, 7]);
    // The first arrived, the second did not; in both minutes another node has sent as many.
    accept_at(&world.stripe, &at[0][0], &rows[0]).await;
    for row in &rows {
        used(&world, 1, &at[1][0], row.units, row.at + 1).await;
    }
    world.nodes[1].gateway.kill9();
    become_due(&data_dir);
    until("both wait for the node that is missing", PATIENCE, async || {
        rows.iter().all(|row| answer_to(&data_dir, row).contains("not all nodes have told")).then_some(())
    })
    .await;
    world.nodes[1].gateway.restart().await;
    until("both are settled", 2 * PATIENCE, async || {
        // A minute lies between two readings.
        let earlier = "UPDATE outbox SET compared_at = compared_at - 61 WHERE compared_at > unixepoch() - 60";
        store_in(&data_dir).execute(earlier, []).expect("rows");
        become_due(&data_dir);
        let waiting = "SELECT count(*) FROM outbox WHERE state = 'pending'";
        (store_in(&data_dir).query_row(waiting, [], |row| row.get::<_, i64>(0)) == Ok(0)).then_some(())
    })
    .await;
    assert_eq!(answer_to(&data_dir, &rows[0]), "found in Stripe's sum");
    assert!(answer_to(&data_dir, &rows[1]).starts_with("200 accepted"), "sent again");
    assert_eq!(world.stripe.units_of(&at[0][0].stripe_customer).await, 2 * (5 + 7));
    world.finish().await;
}
