//! A Redis that comes back with what it had a while ago.

use std::collections::VecDeque;

use super::{Lying, NOW, Node, settle, world};

#[tokio::test]
async fn a_redis_that_comes_back_as_it_was_is_brought_up_to_date() {
    let (redis, nodes) = world(2, 0).await;
    let number = nodes[0].number("a", *NOW).await;
    let block = async |reason: &str| {
        nodes[0]
            .store()
            .set_block(number, !reason.is_empty(), reason.into(), "operator", *NOW)
            .await
            .expect("sets");
    };
    block("first").await;
    settle(&nodes).await;
    let before = redis.lock().expect("whole").lying.clone();
    block("").await;
    block("second").await;
    settle(&nodes).await;
    let news = redis.lock().expect("whole").lying.news.clone();
    redis.lock().expect("whole").lying = Lying { news, ..before };
    for node in &nodes {
        node.facts.compare_all().await.expect("compares");
    }
    nodes[0].facts.put_all().await.expect("puts");
    let waiting = nodes[0].store().facts_to_put(None, 9).await.expect("reads");
    assert_eq!(waiting, [], "one go is enough");
    let new = Node::new(&redis, 2);
    new.facts.gather().await.expect("gathers");
    new.facts.compare_all().await.expect("compares");
    assert_eq!(new.known().await, nodes[0].known().await);
}

#[tokio::test]
async fn a_redis_that_comes_back_as_it_was_with_an_earlier_clock_hides_nothing_that_is_new() {
    let (redis, nodes) = world(2, 0).await;
    let block = async |node: &Node, reason: &str| {
        let number = node.number("a", *NOW).await;
        let is_blocked = !reason.is_empty();
        node.store().set_block(number, is_blocked, reason.into(), "operator", *NOW).await.expect("sets");
    };
    block(&nodes[0], "first").await;
    settle(&nodes).await;
    let before = redis.lock().expect("whole").lying.clone();
    for _ in 0..9 {
        block(&nodes[0], "").await;
        block(&nodes[0], "second").await;
        settle(&nodes).await;
    }
    {
        let mut redis = redis.lock().expect("whole");
        redis.lying = before;
        redis.last = 3;
        redis.hints.iter_mut().for_each(VecDeque::clear);
    }
    nodes[0].facts.compare_all().await.expect("compares");
    nodes[0].facts.put_all().await.expect("puts");
    nodes[1].facts.compare_all().await.expect("compares");
    block(&nodes[1], "").await;
    nodes[1].facts.put_all().await.expect("puts");
    let hint = redis.lock().expect("whole").hints[0].pop_back().expect("told");
    nodes[0].facts.fetch(vec![hint]).await.expect("reads");
    assert_eq!(nodes[0].known().await, nodes[1].known().await);
}
