//! Facts, claims, copies of unsent usage, and questions to all.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tollgate::fleet::{Claim, ClaimState, Copied, FactsKey, FenceState, Fleet, Put, Version};

use super::node::{Node, options};
use super::redis::Redis;
use crate::harness::{PATIENCE, until};

fn customer(name: &str) -> FactsKey {
    FactsKey::Customer(name.into())
}

async fn put(fleet: &Fleet, key: &FactsKey, known: Version, facts: &str) -> Version {
    match fleet.put_facts(key, known, 0, facts.as_bytes()).await.expect("Redis is there") {
        Put::Done(version) => version,
        other @ Put::Other(..) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn facts_are_put_only_over_those_that_they_were_made_from() {
    let redis = Redis::start().await;
    let (one, two) = (Node::join(redis.address(), "one").await, Node::join(redis.address(), "two").await);
    let key = customer("acme");
    let first = put(&one.fleet, &key, Version::NONE, "a").await;
    let again = put(&one.fleet, &key, Version::NONE, "a").await;
    assert_eq!(first, again, "what was put but not answered is put again in vain");
    let refused = two.fleet.put_facts(&key, Version::NONE, 0, b"b").await.expect("Redis is there");
    assert_eq!(refused, Put::Other(first, Box::from(*b"a")));
    let long = "ab".repeat(100);
    let second = put(&two.fleet, &key, first, &long).await;
    assert!(second > first);
    let short = put(&one.fleet, &key, second, "c").await;
    let keys = [customer("nobody"), key];
    let read = one.fleet.read_facts(&keys).await.expect("Redis is there");
    assert_eq!(read, [None, Some((short, Box::from(*b"c")))], "nothing of the longer ones stays");
}

#[tokio::test]
async fn what_has_changed_is_heard_and_read() {
    let redis = Redis::start().await;
    let (one, two) = (Node::join(redis.address(), "one").await, Node::join(redis.address(), "two").await);
    until("it hears", PATIENCE, async || (!two.fleet.is_deaf()).then_some(())).await;
    let start = two.fleet.news_since("").await.expect("Redis is there");
    assert!(start.has_gap && start.changed.is_empty(), "{start:?}");
    let stripe = FactsKey::Stripe("cus_1".into());
    let mut changes = vec![(customer("acme"), put(&one.fleet, &customer("acme"), Version::NONE, "a").await)];
    changes.push((stripe.clone(), put(&one.fleet, &stripe, Version::NONE, "b").await));
    for change in &changes {
        assert_eq!(two.fleet.next_hint().await, *change);
    }
    let news = two.fleet.news_since(&start.position).await.expect("Redis is there");
    assert_eq!((&news.changed, news.has_gap), (&changes, false));
    let nothing = two.fleet.news_since(&news.position).await.expect("Redis is there");
    assert!(nothing.changed.is_empty() && !nothing.has_gap && nothing.position == news.position);

    let () = redis.ask(&["XTRIM", "tg:news", "MAXLEN", "1"]).await;
    let gap = two.fleet.news_since("1-0").await.expect("Redis is there");
    assert!(gap.has_gap, "{gap:?}");
    let () = redis.ask(&["DEL", "tg:news"]).await;
    let gap = two.fleet.news_since(&news.position).await.expect("Redis is there");
    assert!(gap.has_gap, "{gap:?}");
}

#[tokio::test]
async fn all_facts_are_found_some_at_a_time() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let mut expected = BTreeSet::new();
    for n in 0..700 {
        let name = format!("customer {n}");
        expected.insert((name.clone(), put(&one.fleet, &customer(&name), Version::NONE, "x").await));
    }
    assert!(found(&one.fleet).await == expected, "others than were put");
}

/// Names and versions of all facts of customers.
pub async fn found(fleet: &Fleet) -> BTreeSet<(String, Version)> {
    let mut found = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let (some, next) = fleet.all_facts(&cursor).await.expect("Redis is there");
        found.extend(some.into_iter().filter_map(|(key, version)| match key {
            FactsKey::Customer(name) => Some((name.to_string(), version)),
            FactsKey::Stripe(_) => None,
        }));
        if next.is_empty() {
            return found;
        }
        cursor = next;
    }
}

#[tokio::test]
async fn what_is_claimed_is_done_by_one() {
    const DAY: Duration = Duration::from_hours(24);
    let redis = Redis::start().await;
    let (one, two) = (Node::join(redis.address(), "one").await, Node::join(redis.address(), "two").await);
    let (first, second) = (&one.fleet, &two.fleet);
    assert_eq!(first.claim("event:evt_1", DAY).await, Ok(Claim::Ours));
    assert_eq!(first.claim("event:evt_1", DAY).await, Ok(Claim::Ours), "an answer was lost");
    let doing = Claim::Theirs { slot: first.slot(), state: ClaimState::Doing };
    assert_eq!(second.claim("event:evt_1", DAY).await, Ok(doing));
    second.unclaim("event:evt_1").await.expect("Redis is there");
    first.done("event:evt_1", "by one", DAY).await.expect("Redis is there");
    first.unclaim("event:evt_1").await.expect("Redis is there");
    let done = Claim::Theirs { slot: first.slot(), state: ClaimState::Done("by one".to_owned()) };
    assert_eq!(second.claim("event:evt_1", DAY).await, Ok(done.clone()));
    assert_eq!(first.claim("event:evt_1", DAY).await, Ok(done), "not even by itself again");

    assert_eq!(first.claim("event:evt_2", DAY).await, Ok(Claim::Ours));
    first.unclaim("event:evt_2").await.expect("Redis is there");
    assert_eq!(second.claim("event:evt_2", DAY).await, Ok(Claim::Ours));
    let lives: i64 = redis.ask(&["PTTL", "tg:e:event:evt_2"]).await;
    assert!(lives > 0);
}

#[tokio::test]
async fn what_a_lost_node_was_doing_is_done_by_another() {
    const DAY: Duration = Duration::from_hours(24);
    let redis = Redis::start().await;
    let (one, two) = (Node::join(redis.address(), "one").await, Node::join(redis.address(), "two").await);
    assert_eq!(one.fleet.claim("event:evt_1", DAY).await, Ok(Claim::Ours));
    one.crash();
    let taken = async || (two.fleet.claim("event:evt_1", DAY).await == Ok(Claim::Ours)).then_some(());
    until("it is gone, and what it did is free", PATIENCE, taken).await;
}

fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_copy_says_when_redis_has_lost_it() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let changes = Copied { set: fields(&[("m", "1"), ("t1", "x")]), removed: vec!["t0".to_owned()] };
    assert_eq!(one.fleet.copy(&changes).await, Ok(false), "there was none");
    assert_eq!(one.fleet.copy(&changes).await, Ok(true));
    let () = redis.ask(&["FLUSHALL"]).await;
    assert_eq!(one.fleet.copy(&changes).await, Ok(false));
    let many = (0..2_500).map(|n| (format!("t{n}"), "x".to_owned())).collect();
    assert_eq!(one.fleet.copy(&Copied { set: many, removed: Vec::new() }).await, Ok(true));
    let removed = (1..2_500).map(|n| format!("t{n}")).collect();
    assert_eq!(one.fleet.copy(&Copied { set: Vec::new(), removed }).await, Ok(true));
    let keys: Vec<String> = redis.ask(&["KEYS", "tg:{u*}:x"]).await;
    let mut left: Vec<String> = redis.ask(&["HKEYS", &keys[0]]).await;
    left.sort();
    assert_eq!(left, ["m", "t0"]);
}

/// A node long gone, whose copy is still there, and two that are not.
async fn after_a_loss(redis: &Redis) -> (tollgate::fleet::Options, u32, Node, Node) {
    let lost = options(redis.address(), "lost");
    let node = Node::with(&lost).await.expect("a member");
    let copied = Copied { set: fields(&[("m", "1"), ("ra-1", "x")]), removed: Vec::new() };
    node.fleet.copy(&copied).await.expect("Redis is there");
    let slot = node.fleet.slot();
    node.fleet.leave().await.expect("Redis is there");
    node.crash();
    let mut taker = options(redis.address(), "one");
    taker.take_over_after = Duration::ZERO;
    let one = Node::with(&taker).await.expect("a member");
    assert_eq!(one.fleet.take_over(slot).await, Ok(FenceState::Early));
    make_old(redis, "lost").await;
    let other = tollgate::fleet::Options { node: "two".to_owned(), ledger: "2".repeat(32), ..taker };
    (lost, slot, one, Node::with(&other).await.expect("a member"))
}

/// As if it had last been seen two hours ago.
async fn make_old(redis: &Redis, name: &str) {
    let entry: String = redis.ask(&["HGET", "tg:nodes", name]).await;
    let mut parts: Vec<_> = entry.split(',').map(str::to_owned).collect();
    let seen: u64 = parts[3].parse().expect("milliseconds");
    parts[3] = (seen - 7_200_000).to_string();
    let () = redis.ask(&["HSET", "tg:nodes", name, &parts.join(",")]).await;
}

#[tokio::test]
async fn a_lost_node_is_taken_over_by_one_and_finds_out() {
    let redis = Redis::start().await;
    let (lost, slot, one, two) = after_a_loss(&redis).await;
    let knows = async || {
        one.fleet.members().iter().any(|member| member.name == "two" && member.is_live).then_some(())
    };
    until("a heartbeat tells of all", PATIENCE, knows).await;
    let taken = one.fleet.take_over(slot).await.expect("Redis is there");
    let FenceState::Taken(fence) = &taken else { panic!("{taken:?}") };
    assert!(fence.fields.contains(&("ra-1".to_owned(), "x".to_owned())), "{fence:?}");
    assert_eq!(one.fleet.take_over(slot).await.expect("Redis is there"), taken, "the same again");
    assert_eq!(two.fleet.take_over(slot).await, Ok(FenceState::No));

    let back = Node::with(&lost).await.expect("a member");
    let own = back.fleet.own_fence().await.expect("Redis is there").expect("a fence");
    assert!(!own.is_sent && own.by == fence.by);
    two.fleet.note_answers(slot, &fields(&[("a-1", "dead")]), true).await.expect("Redis is there");
    one.fleet.note_answers(slot, &fields(&[("a-1", "accepted")]), true).await.expect("Redis is there");
    let own = back.fleet.own_fence().await.expect("Redis is there").expect("a fence");
    assert!(own.is_sent && own.fields.contains(&("aa-1".to_owned(), "accepted".to_owned())), "{own:?}");
    assert_eq!(back.fleet.copy(&Copied::default()).await, Ok(false), "what was sent is copied no more");
    back.fleet.drop_fence().await.expect("Redis is there");
    assert_eq!(back.fleet.own_fence().await, Ok(None));
    one.fleet.note_answers(slot, &fields(&[("a-1", "late")]), false).await.expect("Redis is there");
    assert_eq!(back.fleet.own_fence().await, Ok(None), "a fence that is gone does not come back");
}

#[tokio::test]
async fn all_live_nodes_answer_a_question() {
    let redis = Redis::start().await;
    let mut nodes = Vec::new();
    for name in ["one", "two", "three"] {
        nodes.push(Node::join(redis.address(), name).await);
    }
    for node in &nodes {
        until("it hears", PATIENCE, async || (!node.fleet.is_deaf()).then_some(())).await;
    }
    let all = async || (nodes[0].fleet.members().len() == 3).then_some(());
    until("all are known", PATIENCE, all).await;
    let question = json!({ "what": "usage" });
    let answer = async |node: &Node, body: &str| {
        let asked = node.fleet.next_question().await;
        assert_eq!(asked.body, question);
        node.fleet.answer(&asked, &json!(body)).await.expect("Redis is there");
    };
    let (answers, (), ()) =
        tokio::join!(nodes[0].fleet.ask(&question), answer(&nodes[1], "b"), answer(&nodes[2], "c"));
    let mut answers = answers.expect("Redis is there");
    answers.sort_by(|a, b| a.node.cmp(&b.node));
    let said: Vec<_> = answers.iter().map(|answer| (answer.node.as_str(), answer.body.clone())).collect();
    assert_eq!(said, [("three", json!("c")), ("two", json!("b"))]);

    let (answers, ()) = tokio::join!(nodes[0].fleet.ask(&question), answer(&nodes[1], "b"));
    assert_eq!(answers.expect("Redis is there").len(), 1, "who does not answer is missing");
}
