//! Who is there, under which name, and who must not be.

use tollgate::fleet::{Fleet, JoinError, LinkState};

use super::node::{Node, options};
use super::redis::Redis;
use crate::harness::{PATIENCE, until};

fn live(fleet: &Fleet) -> Vec<String> {
    let mut names: Vec<_> =
        fleet.members().into_iter().filter(|member| member.is_live).map(|member| member.name).collect();
    names.sort();
    names
}

async fn sees(node: &Node, names: &[&str]) {
    let seen = async || (live(&node.fleet) == names).then_some(());
    until(&format!("{names:?} are there"), PATIENCE, seen).await;
}

#[tokio::test]
async fn nodes_see_each_other_come_leave_and_vanish() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let two = Node::join(redis.address(), "two").await;
    sees(&one, &["one", "two"]).await;
    sees(&two, &["one", "two"]).await;
    let three = Node::join(redis.address(), "three").await;
    sees(&one, &["one", "three", "two"]).await;
    three.fleet.leave().await.expect("Redis is there");
    sees(&one, &["one", "two"]).await;
    two.crash();
    sees(&one, &["one"]).await;
    assert_eq!(one.fleet.members().len(), 3, "all are known");
}

#[tokio::test]
async fn a_name_that_is_alive_elsewhere_is_refused() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let again = Node::with(&options(redis.address(), "one")).await.err();
    assert!(matches!(again, Some(JoinError::Alive(_))), "{again:?}");
    one.fleet.leave().await.expect("Redis is there");
    Node::join(redis.address(), "one").await;
}

#[tokio::test]
async fn a_node_that_crashed_takes_its_own_place_again() {
    let redis = Redis::start().await;
    let same = options(redis.address(), "one");
    let one = Node::with(&same).await.expect("a member");
    let slot = one.fleet.slot();
    one.crash();
    let again = Node::with(&same).await.expect("a member");
    assert_eq!(again.fleet.slot(), slot);
    assert_eq!(live(&again.fleet), ["one"]);
}

#[tokio::test]
async fn a_copy_of_a_data_dir_is_refused_while_the_other_is_alive() {
    let redis = Redis::start().await;
    let same = options(redis.address(), "one");
    let _one = Node::with(&same).await.expect("a member");
    let copied = Node::with(&same).await.err();
    assert!(matches!(copied, Some(JoinError::Copied(_))), "{copied:?}");
    let mut renamed = same.clone();
    renamed.node = "two".to_owned();
    let copied = Node::with(&renamed).await.err();
    assert!(matches!(copied, Some(JoinError::Copied(ref name)) if name == "one"), "{copied:?}");
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let redis = Redis::start().await;
    let _one = Node::join(redis.address(), "one").await;
    let time: (u64, u64) = redis.ask(&["TIME"]).await;
    let other = format!("0abc,{:032x},process,{},2,here", 7, time.0 * 1_000);
    let () = redis.ask(&["HSET", "tg:nodes", "newer", &other]).await;
    let refused = Node::with(&options(redis.address(), "two")).await.err();
    assert!(matches!(refused, Some(JoinError::OtherProtocol(ref name)) if name == "newer"), "{refused:?}");
}

#[tokio::test]
async fn members_that_redis_has_lost_join_again_by_themselves() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let two = Node::join(redis.address(), "two").await;
    let () = redis.ask(&["FLUSHALL"]).await;
    let both = async || {
        let known: Vec<String> = redis.ask(&["HKEYS", "tg:nodes"]).await;
        (known.len() == 2).then_some(())
    };
    until("both are there again", PATIENCE, both).await;
    sees(&one, &["one", "two"]).await;
    sees(&two, &["one", "two"]).await;
    one.is(LinkState::Here).await;
}

#[tokio::test]
async fn a_node_hears_its_own_heart_again_when_its_ear_is_cut_off() {
    let redis = Redis::start().await;
    let one = Node::join(redis.address(), "one").await;
    let hears = async || (!one.fleet.is_deaf()).then_some(());
    until("it hears", PATIENCE, hears).await;
    let killed: u64 = redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(killed, 1);
    until("it is deaf", PATIENCE, async || one.fleet.is_deaf().then_some(())).await;
    until("it hears again", PATIENCE, hears).await;
}
