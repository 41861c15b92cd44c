//! Copies of unsent usage, and the fences of those who take it over.

use std::time::{Duration, Instant};

use tollgate::fleet::copy::{Changes, Copies, FenceState, Written};
use tollgate::fleet::{Fleet, LinkState, Options};

use super::node::{Node, options};
use super::redis::Redis;
use crate::harness::{PATIENCE, until};

const DAY_MILLIS: i64 = 86_400_000;

fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn changes(number: u64, begins: bool, set: &[(&str, &str)], removed: &[&str]) -> Changes {
    let removed = removed.iter().map(|&field| field.to_owned()).collect();
    Changes { number, begins, set: fields(set), removed }
}

async fn copied(fleet: &Fleet) -> Option<Vec<(String, String)>> {
    let mut copied = fleet.read().await.expect("Redis is there")?.fields;
    copied.sort();
    Some(copied)
}

#[tokio::test]
async fn a_copy_takes_writes_in_their_order_and_says_when_redis_has_lost_it() {
    let redis = Redis::start().await;
    let node = Node::join(redis.address(), "one").await;
    let fleet = &*node.fleet;
    assert_eq!(fleet.read().await, Ok(None));
    let write = async |number, begins, set: &[(&str, &str)], removed: &[&str]| {
        fleet.write(&changes(number, begins, set, removed)).await.expect("Redis is there")
    };
    assert_eq!(write(1, false, &[("m", "1")], &[]).await, Written::Lost, "there was none");
    assert_eq!(copied(fleet).await, None, "and nothing was written");
    assert_eq!(write(2, true, &[("m", "1"), ("t1", "x")], &[]).await, Written::Done);
    assert_eq!(write(4, false, &[("rb", "y")], &["t1"]).await, Written::Done);
    assert_eq!(write(3, false, &[("t1", "x")], &[]).await, Written::Overtaken);
    assert_eq!(write(4, false, &[("t1", "x")], &[]).await, Written::Overtaken);
    assert_eq!(copied(fleet).await, Some(fields(&[("m", "1"), ("rb", "y")])));
    let many: Vec<_> = (0..2_500).map(|n| (format!("t{n}"), "x".to_owned())).collect();
    let many = Changes { number: 5, begins: false, set: many, removed: Vec::new() };
    assert_eq!(fleet.write(&many).await, Ok(Written::Done));
    assert_eq!(copied(fleet).await.expect("a copy").len(), 2_502);
    let () = redis.ask(&["FLUSHALL"]).await;
    assert_eq!(write(6, false, &[], &[]).await, Written::Lost);
}

/// As if it had last been seen two hours ago.
async fn make_old(redis: &Redis, name: &str) {
    let entry: String = redis.ask(&["HGET", "tg:nodes", name]).await;
    let mut parts: Vec<_> = entry.split(',').map(str::to_owned).collect();
    let seen: u64 = parts[3].parse().expect("milliseconds");
    parts[3] = (seen - 7_200_000).to_string();
    let () = redis.ask(&["HSET", "tg:nodes", name, &parts.join(",")]).await;
}

/// A node that leaves a copy, and has been gone for two hours.
async fn lost_node(redis: &Redis) -> Options {
    let lost = options(redis.address(), "lost");
    let node = Node::with(&lost).await.expect("a member");
    let copy = changes(1, true, &[("m", "[1,2,3,4]"), ("ra-1", "x")], &[]);
    assert_eq!(node.fleet.write(&copy).await, Ok(Written::Done));
    node.fleet.leave().await.expect("Redis is there");
    node.crash();
    make_old(redis, "lost").await;
    lost
}

async fn join(redis: &Redis, name: &str, digit: &str) -> Node {
    let options = Options { ledger: digit.repeat(32), ..options(redis.address(), name) };
    Node::with(&options).await.expect("a member")
}

async fn knows_loss(node: &Node, count: usize) {
    until("the loss is noticed", PATIENCE, async || (node.fleet.lost_nodes().len() == count).then_some(()))
        .await;
}

#[tokio::test]
async fn a_lost_node_is_taken_over_by_one_and_finds_out_before_it_copies_again() {
    let redis = Redis::start().await;
    let lost = lost_node(&redis).await;
    let (one, two) = (join(&redis, "one", "1").await, join(&redis, "two", "2").await);
    knows_loss(&one, 1).await;
    let slot = one.fleet.lost_nodes()[0].slot;
    let taken = one.fleet.take_over(slot).await.expect("Redis is there").expect("it is free");
    assert_eq!(taken.fields, fields(&[("m", "[1,2,3,4]"), ("ra-1", "x")]));
    assert_eq!(one.fleet.take_over(slot).await, Ok(Some(taken.clone())), "the same again");
    assert_eq!(two.fleet.take_over(slot).await, Ok(None));

    let back = Node::with(&lost).await.expect("a member");
    assert_eq!(back.fleet.write(&changes(9, true, &[("m", "1")], &[])).await, Ok(Written::Fenced));
    let at = taken.head.at_millis;
    one.fleet.note_answers(slot, at, &fields(&[("aa-1", "accepted")]), true).await.expect("noted");
    let fences: Vec<String> = redis.ask(&["KEYS", "tg:{u*}:f"]).await;
    let kept: i64 = redis.ask(&["PTTL", &fences[0]]).await;
    assert!((40 * DAY_MILLIS..=41 * DAY_MILLIS).contains(&kept), "its taker may be gone too: {kept} ms");
    one.fleet.note_answers(slot, at, &fields(&[("aa-1", "unclear")]), false).await.expect("noted");
    one.fleet.note_answers(slot, at + 1, &fields(&[("ab-1", "known")]), false).await.expect("another one");
    let own = back.fleet.own_fence().await.expect("Redis is there").expect("a fence");
    assert_eq!((own.head.state, own.head.by.as_str()), (FenceState::Sent, one.fleet.ledger()));
    assert!(own.fields.contains(&("aa-1".to_owned(), "accepted".to_owned())), "{own:?}");
    assert_eq!(own.fields.len(), 3);

    back.fleet.settle_fence(at).await.expect("Redis is there");
    assert_eq!(back.fleet.own_fence().await, Ok(None));
    assert_eq!(back.fleet.write(&changes(1, true, &[("m", "1")], &[])).await, Ok(Written::Done));
    one.fleet.note_answers(slot, at, &[], true).await.expect("noted");
    let head = Copies::fence(&*one.fleet, slot).await.expect("Redis is there").expect("it stands");
    assert_eq!(head.state, FenceState::Settled, "for good");
    one.fleet.clear_fence(slot, at).await.expect("Redis is there");
    assert_eq!(Copies::fence(&*one.fleet, slot).await, Ok(None));
}

#[tokio::test]
async fn a_fence_that_redis_has_lost_is_put_back_and_one_of_a_lost_taker_passes_on() {
    let redis = Redis::start().await;
    let lost = lost_node(&redis).await;
    let one = join(&redis, "one", "1").await;
    knows_loss(&one, 1).await;
    let slot = one.fleet.lost_nodes()[0].slot;
    let taken = one.fleet.take_over(slot).await.expect("Redis is there").expect("it is free");
    let key: Vec<String> = redis.ask(&["KEYS", "tg:{u*}:f"]).await;
    let () = redis.ask(&["DEL", &key[0]]).await;
    one.fleet.put_fence(slot, &taken).await.expect("Redis is there");
    let back = Node::with(&lost).await.expect("a member");
    assert_eq!(back.fleet.own_fence().await, Ok(Some(taken.clone())));
    let left: Vec<String> = redis.ask(&["KEYS", "tg:{u*}*"]).await;
    assert_eq!(left, key, "no parts are left");
    back.crash();
    make_old(&redis, "lost").await;

    one.fleet.leave().await.expect("Redis is there");
    one.crash();
    make_old(&redis, "one").await;
    let two = join(&redis, "two", "2").await;
    knows_loss(&two, 2).await;
    let passed = two.fleet.take_over(slot).await.expect("Redis is there").expect("it passes on");
    assert_eq!((passed.head.by.as_str(), passed.head.inherited), (two.fleet.ledger(), true));
    assert_eq!((passed.head.at_millis, passed.fields), (taken.head.at_millis, taken.fields));
}

#[tokio::test]
async fn a_node_knows_for_how_long_redis_has_been_there_without_a_break() {
    let mut redis = Redis::start().await;
    let node = Node::join(redis.address(), "one").await;
    let here = Duration::from_millis(200);
    until("Redis has been there for a while", PATIENCE, async || {
        (node.fleet.here_for() > here).then_some(())
    })
    .await;
    redis.kill();
    node.is(LinkState::Away).await;
    assert_eq!(node.fleet.here_for(), Duration::ZERO);
    let began = Instant::now();
    redis.restart().await;
    node.is(LinkState::Here).await;
    assert!(node.fleet.here_for() <= began.elapsed(), "not what was before");
}
