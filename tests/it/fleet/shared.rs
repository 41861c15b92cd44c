//! Facts, claims, and questions to all.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tollgate::fleet::{Claim, ClaimState, FactsKey, Fleet, Put, Version};

use super::node::Node;
use super::redis::Redis;
use crate::harness::{PATIENCE, until};

fn customer(name: &str) -> FactsKey {
    FactsKey::Customer(name.into())
}

async fn put(fleet: &Fleet, key: &FactsKey, known: Version, facts: &str) -> Version {
    match fleet.put_facts(key, (known, known), 0, facts.as_bytes()).await.expect("Redis is there") {
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
    let refused =
        two.fleet.put_facts(&key, (Version::NONE, Version::NONE), 0, b"b").await.expect("Redis is there");
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
