//! A Cluster, a Sentinel with a replica, TLS, and a user who may do only what is needed.

use std::collections::BTreeSet;

use tollgate::domain::lease::Settled;
use tollgate::fleet::copy::{Changes, Copies, Fence, FenceHead, FenceState, Written};
use tollgate::fleet::{Address, Claim, FactsKey, Fleet, Lender, LinkState, Report, Version};

use super::node::{Node, named, options, seq};
use super::redis::{Cluster, Redis, Watched, as_user};
use super::shared::found;
use crate::harness::{PATIENCE, until};

/// All that a member does, once.
pub async fn do_everything(address: Address) -> Node {
    let node = Node::join(address, "one").await;
    let fleet = &node.fleet;
    for n in 0..40 {
        let lent = node.lent(&format!("customer {n}"), [0, 0, 5, 5, 100]).await;
        assert_eq!((lent.held, lent.used_by_all), (5, 0));
    }
    let calls = (0..40).map(|n| named(&format!("customer {n}"), seq(), [5, 5, 9, 9, 100])).collect();
    for answer in fleet.settle(calls).await {
        let answer = answer.expect("an answer");
        assert!(matches!(answer.settled, Settled::Lent { lends: true, .. }), "{answer:?}");
    }
    until("it hears", PATIENCE, async || (!fleet.is_deaf()).then_some(())).await;
    do_the_rest(fleet).await;
    node
}

async fn do_the_rest(fleet: &Fleet) {
    let news = fleet.news_since("").await.expect("news");
    let mut expected = BTreeSet::new();
    for n in 0..40 {
        let name = format!("customer {n}");
        let key = FactsKey::Customer(name.as_str().into());
        let put =
            fleet.put_facts(&key, (Version::NONE, Version::NONE), 0, b"facts").await.expect("facts are put");
        let tollgate::fleet::Put::Done(version) = put else { panic!("{put:?}") };
        expected.insert((name, version));
    }
    let keys: Vec<_> = expected.iter().map(|(name, _)| FactsKey::Customer(name.as_str().into())).collect();
    let read = fleet.read_facts(&keys).await.expect("facts are read");
    assert!(read.iter().all(Option::is_some));
    assert!(found(fleet).await == expected, "others than were put");
    let news = fleet.news_since(&news.position).await.expect("news");
    assert_eq!(news.changed.len(), 40);
    fleet.next_hint().await;

    let day = std::time::Duration::from_hours(24);
    assert_eq!(fleet.claim("event:evt_1", day).await, Ok(Claim::Ours));
    fleet.unclaim("event:evt_1").await.expect("a claim is given up");
    fleet.done("event:evt_1", "note", day).await.expect("a claim is done");
    let report = Report { event: "evt_2".into(), kind: "v1.billing.meter.x".into(), created: 7 };
    fleet.name_reports(std::slice::from_ref(&report), &[]).await.expect("a report is named");
    assert_eq!(fleet.reports().await, Ok(vec![report.clone()]));
    fleet.name_reports(&[], &[report]).await.expect("a report is old");
    assert_eq!(fleet.reports().await, Ok(Vec::new()));
    copy_and_fence(fleet).await;
    assert_eq!(fleet.ask(&serde_json::json!("?")).await, Ok(Vec::new()));
    let question = tollgate::fleet::Question { id: "1".to_owned(), body: serde_json::Value::Null };
    fleet.answer(&question, &serde_json::json!(1)).await.expect("an answer is put");
}

async fn copy_and_fence(fleet: &Fleet) {
    let set = vec![("m".to_owned(), "1".to_owned())];
    let changes = Changes { number: 1, begins: true, set, removed: vec!["n".to_owned()] };
    assert_eq!(fleet.write(&changes).await, Ok(Written::Done));
    assert_eq!(fleet.read().await.expect("a copy").map(|copied| copied.fields), Some(changes.set.clone()));
    let head = FenceHead { by: "1".repeat(32), at_millis: 7, inherited: false, state: FenceState::Taken };
    let fence = Fence { head, fields: changes.set };
    fleet.put_fence(fleet.slot(), &fence).await.expect("a fence is put up");
    assert_eq!(fleet.take_over(fleet.slot()).await, Ok(None), "somebody else has it");
    fleet.note_answers(fleet.slot(), 7, &[], false).await.expect("a fence is noted in");
    assert_eq!(fleet.own_fence().await, Ok(Some(fence)));
    fleet.settle_fence(7).await.expect("a fence is settled");
    let mine = fleet.take_over(fleet.slot()).await.expect("Redis is there").expect("it is free again");
    fleet.settle_fence(mine.head.at_millis).await.expect("a fence is settled");
    fleet.clear_fence(fleet.slot(), mine.head.at_millis).await.expect("a fence goes");
    assert_eq!(Copies::fence(fleet, fleet.slot()).await, Ok(None));
}

#[tokio::test]
async fn a_single_server_does_everything() {
    let redis = Redis::start().await;
    do_everything(redis.address()).await;
}

#[tokio::test]
async fn a_cluster_does_everything() {
    let cluster = Cluster::start().await;
    for server in &cluster.servers {
        server.add_user().await;
    }
    let node = do_everything(as_user(cluster.address())).await;
    for server in &cluster.servers {
        let keys: Vec<String> = server.ask(&["KEYS", "tg:{*}:c:*"]).await;
        assert!(!keys.is_empty(), "the customers are spread over all");
    }
    node.fleet.leave().await.expect("the last word");
}

#[tokio::test]
async fn of_a_cluster_one_server_may_be_away() {
    let mut cluster = Cluster::start().await;
    // Else the others answer nothing either.
    for server in &cluster.servers {
        let () = server.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    let node = Node::join(cluster.address(), "one").await;
    let of_server: Vec<_> = {
        let mut of_server = Vec::new();
        for server in &cluster.servers {
            let tags: Vec<String> = server.ask(&["KEYS", "tg:{*}:g"]).await;
            let members: Vec<String> = server.ask(&["KEYS", "tg:nodes"]).await;
            of_server.push((tags.len(), !members.is_empty()));
        }
        of_server
    };
    assert_eq!(of_server.iter().map(|(tags, _)| tags).sum::<usize>(), 16, "{of_server:?}");
    let away = of_server.iter().position(|(_, has_members)| !has_members).expect("two of three");
    cluster.servers[away].kill();
    let ask_all = async || {
        let mut answered = 0;
        for n in 0..64 {
            answered += usize::from(node.call(&format!("c{n}"), seq(), [0, 0, 1, 1, 9]).await.is_ok());
        }
        (answered > 32 && answered < 64).then_some(())
    };
    until("those on the others are served", PATIENCE, ask_all).await;
    let calls = || (0..64).map(|n| named(&format!("c{n}"), seq(), [0, 0, 1, 1, 9])).collect();
    let answers = node.fleet.settle(calls()).await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answered > 32 && answered < 64, "together with those who are not: {answered} of 64");
    node.is(LinkState::Here).await;
}

#[tokio::test]
async fn a_sentinel_names_the_new_master() {
    let mut watched = Watched::start().await;
    watched.master.add_user().await;
    watched.replica.add_user().await;
    let node = Node::join(as_user(watched.address()), "one").await;
    assert_eq!(node.lent("acme", [3, 3, 9, 9, 100]).await.held, 9);
    let new = watched.replica.at().port();
    watched.master.kill();
    node.is(LinkState::Away).await;
    until("the Sentinel names another", PATIENCE, async || {
        (watched.master_port().await == new).then_some(())
    })
    .await;
    node.is(LinkState::Here).await;
    assert_eq!(node.lent("acme", [4, 9, 9, 9, 100]).await.used_by_all, 4);
    let keys: Vec<String> = watched.replica.ask(&["KEYS", "tg:{*}:c:acme"]).await;
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn tls_trusts_the_authority_that_is_given() {
    let (redis, authority) = Redis::start_with_tls().await;
    let trusting = Address { authorities: Some(authority), ..redis.address() };
    do_everything(trusting).await;
    let fleet = Fleet::new(&options(redis.address(), "two")).expect("an address");
    assert!(fleet.join().await.is_err(), "the machine does not know this authority");
}
