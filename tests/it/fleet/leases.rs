//! What one node is lent, others are not; what Redis loses is put back before anything is lent.

use std::time::Duration;

use tollgate::domain::lease::Settled;
use tollgate::fleet::{FactsKey, Lender, LinkState, Put, Unsettled, Version};

use super::node::{Node, named, options, seq};
use super::redis::Redis;
use crate::harness::{PATIENCE, until};

async fn fails_within<T>(within: Duration, wait: impl Future<Output = T>) {
    assert!(tokio::time::timeout(within, wait).await.is_err(), "it must not happen");
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

#[tokio::test]
async fn what_is_lent_to_one_is_not_lent_to_another() {
    let redis = Redis::start().await;
    let (one, two) = (Node::join(redis.address(), "one").await, Node::join(redis.address(), "two").await);
    let first = one.lent("acme", [0, 0, 60, 60, 100]).await;
    assert_eq!((first.held, first.free), (60, 40));
    let second = two.lent("acme", [0, 0, 60, 60, 100]).await;
    assert_eq!((second.held, second.free, second.unused_by_others), (40, 0, 60));
    assert_eq!(in_time("a recall", one.fleet.next_recall()).await, "acme");

    let returned = one.lent("acme", [10, 10, 10, 10, 100]).await;
    assert_eq!((returned.held, returned.used_by_all), (10, 10));
    let second = two.lent("acme", [0, 40, 60, 60, 100]).await;
    assert_eq!((second.held, second.used_by_all, second.free), (60, 10, 30));
}

#[tokio::test]
async fn a_call_that_was_overtaken_changes_nothing() {
    let redis = Redis::start().await;
    let node = Node::join(redis.address(), "one").await;
    node.lent("acme", [0, 0, 5, 5, 100]).await;
    let (early, late) = (seq(), seq());
    node.call("acme", late, [5, 5, 9, 9, 100]).await.expect("an answer");
    let overtaken = node.call("acme", early, [0, 0, 0, 0, 100]).await.expect("an answer");
    assert_eq!(overtaken.settled, Settled::Old);
    assert_eq!(node.lent("acme", [5, 9, 9, 9, 100]).await.used_by_all, 5);
}

#[tokio::test]
async fn many_customers_are_answered_in_the_order_of_their_calls() {
    let redis = Redis::start().await;
    let node = Node::join(redis.address(), "one").await;
    node.lent("first", [0, 0, 1, 1, 100]).await;
    // More of one bucket than a script takes.
    let calls: Vec<_> =
        (0..3_000).map(|n| named(&format!("customer {n}"), seq(), [n, n, n, n, 10_000])).collect();
    let settle =
        async || node.fleet.settle(calls.clone()).await.into_iter().collect::<Result<Vec<_>, _>>().ok();
    let answers = until("all are answered", PATIENCE, settle).await;
    for (n, answer) in (0..).zip(&answers) {
        let Settled::Lent { asks, .. } = &answer.settled else {
            assert_eq!(answer.settled, Settled::Old, "customer {n}: asked twice");
            continue;
        };
        assert_eq!(asks[0].used_by_all, n, "customer {n}");
    }
}

#[tokio::test]
async fn what_somebody_has_put_at_one_customers_key_concerns_nobody_else() {
    let redis = Redis::start().await;
    let node = Node::join(redis.address(), "one").await;
    let bucket = tollgate::fleet::Fleet::bucket("acme");
    let beside = |name: &String| tollgate::fleet::Fleet::bucket(name) == bucket;
    let names: Vec<_> = (0..).map(|n| format!("customer {n}")).filter(beside).take(3).collect();
    node.lent("acme", [0, 0, 1, 1, 100]).await;
    let keys: Vec<String> = redis.ask(&["KEYS", "tg:{*}:c:acme"]).await;
    let () = redis.ask(&["SET", &keys[0], "no hash"]).await;
    let all = [names[1].as_str(), "acme", &names[0], &names[2]];
    let calls = all.map(|name| named(name, seq(), [0, 0, 5, 5, 100])).to_vec();
    let answers = node.fleet.settle(calls).await;
    let failed: Vec<_> = answers.iter().map(|answer| answer.as_ref().err()).collect();
    assert_eq!(failed, [None, Some(&Unsettled::Unreadable), None, None], "{answers:?}");
    let (all, _) = node.fleet.all_facts("").await.expect("Redis is there");
    assert!(all.is_empty(), "and what has no facts is passed over");

    let _: i64 = redis.ask(&["DEL", &keys[0]]).await;
    assert_eq!(node.lent("acme", [0, 0, 60, 60, 100]).await.held, 60, "once it is gone");
}

#[tokio::test]
async fn nothing_is_lent_until_all_have_put_back_what_redis_lost() {
    let redis = Redis::start().await;
    let at_once = |name| {
        // It is not for the time that nothing is lent.
        let publish_interval = std::time::Duration::ZERO;
        tollgate::fleet::Options { publish_interval, ..options(redis.address(), name) }
    };
    let one = Node::alone(&at_once("one")).await.expect("a member");
    let two = Node::alone(&at_once("two")).await.expect("a member");
    until("both are known", PATIENCE, async || (one.fleet.nodes() == 2).then_some(())).await;
    for node in [&one, &two] {
        for _ in 0..16 {
            let lost = in_time("a new bucket", node.fleet.next_loss()).await;
            assert!(node.fleet.put_back(&lost).await.expect("Redis is there"));
        }
    }
    let before = two.lent("acme", [70, 70, 80, 80, 100]).await;
    assert_eq!(before.held, 80);
    let seen = one.call("acme", seq(), [0, 0, 5, 5, 100]).await.expect("an answer");
    assert!(seen.others.contains(",80,70"), "{}", seen.others);

    let () = redis.ask(&["FLUSHALL"]).await;
    let refused = one.call("acme", seq(), [0, 5, 30, 30, 100]).await.expect("an answer");
    assert!(matches!(refused.settled, Settled::Lent { lends: false, .. }), "{refused:?}");
    let bucket = tollgate::fleet::Fleet::bucket("acme");
    let mut losses = Vec::new();
    for node in [&one, &two] {
        let lost = async {
            loop {
                let lost = node.fleet.next_loss().await;
                if lost.bucket == bucket {
                    return lost;
                }
            }
        };
        losses.push(in_time("the other one hears of it", lost).await);
    }
    assert_eq!(losses[0], losses[1]);
    assert!(one.fleet.put_back(&losses[0]).await.expect("Redis is there"));
    let refused = one.call("acme", seq(), [0, 5, 30, 30, 100]).await.expect("an answer");
    assert!(matches!(refused.settled, Settled::Lent { lends: false, .. }), "the other has not: {refused:?}");

    two.call("acme", seq(), [70, 80, 80, 80, 100]).await.expect("an answer");
    assert!(two.fleet.put_back(&losses[1]).await.expect("Redis is there"));
    let lent = one.lent("acme", [0, 5, 30, 30, 100]).await;
    assert_eq!((lent.held, lent.used_by_all), (20, 70), "what the other holds is counted");
}

#[tokio::test]
async fn a_server_that_is_another_one_lends_nothing_of_what_it_may_not_have_heard() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let two = Node::join(redis.address(), "two").await;
    one.lent("acme", [0, 0, 60, 60, 100]).await;
    two.lent("acme", [0, 0, 1, 1, 100]).await;
    let keys: Vec<String> = redis.ask(&["KEYS", "tg:{*}:c:acme"]).await;
    let marker = keys[0].replace("c:acme", "g");
    let process: String = redis.ask(&["HGET", &marker, "r"]).await;
    let info: String = redis.ask(&["INFO", "server"]).await;
    assert!(info.contains(&format!("run_id:{process}")), "{process}");
    // As a replica has it, which has become the master: it lacks what one was lent last, and all of two's calls.
    let _: i64 = redis.ask(&["HSET", &marker, "r", &"f".repeat(40)]).await;
    let entries: Vec<String> = redis.ask(&["HKEYS", &keys[0]]).await;
    for entry in entries.iter().filter(|entry| entry.starts_with('n')) {
        let _: i64 = redis.ask(&["HDEL", &keys[0], entry]).await;
    }
    let answer = two.call("acme", seq(), [0, 1, 90, 90, 100]).await.expect("an answer");
    assert!(matches!(answer.settled, Settled::Lent { lends: false, .. }), "{answer:?}");
    one.call("acme", seq(), [0, 60, 60, 60, 100]).await.expect("an answer");
    let lent = two.lent("acme", [0, 1, 90, 90, 100]).await;
    assert_eq!((lent.held, lent.unused_by_others), (40, 60), "what one holds is known again");
}

#[tokio::test]
async fn a_node_whose_calls_a_copy_lacks_says_so_however_far_the_others_have_come() {
    let redis = Redis::start().await;
    let one = Node::alone(&options(redis.address(), "one")).await.expect("a member");
    let two = Node::join(redis.address(), "two").await;
    for _ in 0..16 {
        let lost = in_time("a new bucket", one.fleet.next_loss()).await;
        assert!(one.fleet.put_back(&lost).await.expect("Redis is there"));
    }
    one.lent("acme", [0, 0, 1, 1, 100]).await;
    let keys: Vec<String> = redis.ask(&["KEYS", "tg:{*}:c:acme"]).await;
    let marker = keys[0].replace("c:acme", "g");
    for key in [&keys[0], &marker] {
        let _: bool = redis.ask(&["COPY", key, &format!("copy of {key}")]).await;
    }
    assert_eq!(one.lent("acme", [0, 1, 60, 60, 100]).await.held, 60);
    for key in [&keys[0], &marker] {
        let _: bool = redis.ask(&["COPY", &format!("copy of {key}"), key, "REPLACE"]).await;
    }
    for _ in 0..9 {
        two.call("acme", seq(), [0, 0, 0, 0, 100]).await.expect("an answer");
    }
    let answer = one.call("acme", seq(), [0, 60, 70, 70, 100]).await.expect("an answer");
    assert!(matches!(answer.settled, Settled::Lent { lends: false, .. }), "{answer:?}");
    let lost = in_time("a loss", one.fleet.next_loss()).await;
    assert_eq!(lost.bucket, tollgate::fleet::Fleet::bucket("acme"));
}

#[tokio::test]
async fn a_node_that_starts_again_finds_out_that_an_older_copy_has_taken_the_place_of_what_it_knew() {
    let redis = Redis::start().await;
    let options = options(redis.address(), "one");
    let one = Node::with(&options).await.expect("a member");
    one.lent("acme", [0, 0, 1, 1, 100]).await;
    let keys: Vec<String> = redis.ask(&["KEYS", "tg:{*}:c:acme"]).await;
    let marker = keys[0].replace("c:acme", "g");
    let _: bool = redis.ask(&["COPY", &marker, "a copy"]).await;
    assert_eq!(one.lent("acme", [9, 9, 9, 9, 100]).await.held, 9);
    let lives = one.fleet.lives();
    one.fleet.leave().await.expect("the last word");
    one.crash();
    let _: bool = redis.ask(&["COPY", "a copy", &marker, "REPLACE"]).await;

    let again = tollgate::fleet::Fleet::new(&options).expect("an address");
    again.remember(lives.clone());
    again.join().await.expect("a member");
    let lost = in_time("a loss", again.next_loss()).await;
    assert_eq!(lost.bucket, tollgate::fleet::Fleet::bucket("acme"));
    fails_within(Duration::from_millis(50), again.next_loss()).await;

    let other = tollgate::fleet::Options { ledger: "0".repeat(32), ..options };
    let other = tollgate::fleet::Fleet::new(&other).expect("an address");
    let unknown = other.lives();
    other.remember(lives);
    assert_eq!(other.lives(), unknown, "it is another ledger's");
}

#[tokio::test]
async fn what_could_not_be_put_back_is_asked_for_again() {
    let redis = Redis::start().await;
    let one = Node::alone(&options(redis.address(), "one")).await.expect("a member");
    let mut owed = Vec::new();
    for _ in 0..16 {
        let lost = in_time("a new bucket", one.fleet.next_loss()).await;
        if [3, 9].contains(&lost.bucket) {
            one.fleet.owe(lost.bucket);
            owed.push(lost);
        } else {
            assert!(one.fleet.put_back(&lost).await.expect("Redis is there"));
        }
    }
    for _ in 0..2 {
        let again = in_time("it is asked for again", one.fleet.next_loss()).await;
        assert!(owed.contains(&again), "{again:?}");
        assert!(one.fleet.put_back(&again).await.expect("Redis is there"));
    }
    fails_within(Duration::from_millis(700), one.fleet.next_loss()).await;
}

#[tokio::test]
async fn what_an_absent_node_held_is_put_back_by_who_last_saw_it() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let two = Node::join(redis.address(), "two").await;
    two.lent("acme", [70, 70, 80, 80, 100]).await;
    let seen = one.call("acme", seq(), [0, 0, 0, 0, 100]).await.expect("an answer").others;
    two.fleet.leave().await.expect("Redis is there");
    two.crash();
    let () = redis.ask(&["FLUSHALL"]).await;
    let mut call = named("acme", seq(), [0, 0, 50, 50, 100]);
    call.others = seen;
    one.settle(call).await.expect("an answer");
    assert_eq!(one.lent("acme", [0, 0, 50, 50, 100]).await.held, 20);
}

#[tokio::test]
async fn who_is_behind_is_told_the_facts_and_lent_nothing() {
    let redis = Redis::start().await;
    let node = Node::join(redis.address(), "one").await;
    node.lent("acme", [0, 0, 5, 5, 100]).await;
    let facts: Vec<u8> = (0..=255).cycle().take(500).collect();
    let key = FactsKey::Customer("acme".into());
    let put =
        node.fleet.put_facts(&key, (Version::NONE, Version::NONE), 0, &facts).await.expect("Redis is there");
    let Put::Done(version) = put else { panic!("{put:?}") };

    let behind = node.call("acme", seq(), [0, 5, 50, 50, 100]).await.expect("an answer");
    assert_eq!((behind.settled, behind.version), (Settled::Behind, version));
    assert_eq!(behind.facts.as_deref(), Some(facts.as_slice()));
    let mut call = named("acme", seq(), [0, 5, 50, 50, 100]);
    call.version = version;
    let answer = node.settle(call).await.expect("an answer");
    assert!(matches!(answer.settled, Settled::Lent { lends: true, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_claim_under_older_terms_stops_lending_until_its_node_has_called() {
    let redis = Redis::start().await;
    let (one, two) = (Node::join(redis.address(), "one").await, Node::join(redis.address(), "two").await);
    until("both are known", PATIENCE, async || (one.fleet.nodes() == 2).then_some(())).await;
    two.lent("acme", [3, 3, 9, 9, 100]).await;
    two.lent("idle", [3, 3, 3, 3, 100]).await;
    let mut with_facts = Vec::new();
    for customer in ["acme", "idle"] {
        let key = FactsKey::Customer(customer.into());
        let put = one
            .fleet
            .put_facts(&key, (Version::NONE, Version::NONE), 0, b"new")
            .await
            .expect("Redis is there");
        let Put::Done(version) = put else { panic!("{put:?}") };
        let mut call = named(customer, seq(), [0, 0, 5, 5, 100]);
        call.version = version;
        with_facts.push(call);
    }
    let mut answers = Vec::new();
    for call in &with_facts {
        answers.push(one.settle(call.clone()).await.expect("an answer").settled);
    }
    assert!(matches!(answers[0], Settled::Lent { lends: false, .. }), "{answers:?}");
    assert!(matches!(answers[1], Settled::Lent { lends: true, .. }), "it holds nothing: {answers:?}");
    assert_eq!(in_time("a recall", two.fleet.next_recall()).await, "acme");
    let mut call = named("acme", seq(), [3, 3, 3, 3, 100]);
    call.version = with_facts[0].version;
    two.settle(call).await.expect("an answer");
    with_facts[0].call.seq = seq();
    let answer = one.settle(with_facts.remove(0)).await.expect("an answer");
    assert!(matches!(answer.settled, Settled::Lent { lends: true, .. }), "{answer:?}");
}

#[tokio::test]
async fn nobody_is_lent_anything_who_is_no_member() {
    let redis = Redis::start().await;
    let fleet = tollgate::fleet::Fleet::new(&options(redis.address(), "one")).expect("an address");
    assert_eq!(fleet.state(), LinkState::Unknown);
    let answer = fleet.settle(vec![named("acme", seq(), [0, 0, 5, 5, 100])]).await.remove(0);
    assert!(answer.is_err());
    fails_within(Duration::from_millis(50), fleet.next_recall()).await;
}
