//! A link of one gateway at another: used once by all of them together.

use futures_util::future::join_all;

use super::{Browser, ask_link, link};
use crate::fleet::redis::Redis;
use crate::fleet::world::World;
use crate::harness::{PATIENCE, until};
use serde_json::json;

/// At another node than it was made for: behind one name any of them may be asked.
fn at(world: &World, node: usize, link: &str) -> String {
    let path = &link[link.find("/billing").expect("a path")..];
    format!("http://{}{path}", world.nodes[node].gateway.public)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_gateway_opens_a_link_and_they_open_it_once() {
    let redis = Redis::start().await;
    let world = World::start(&redis).await;
    let customers = world.customer("acme");
    for _ in 0..5 {
        let made = link(&customers[0]).await;
        let browsers: Vec<_> = world.nodes.iter().map(|node| Browser::new(node.gateway.public)).collect();
        let opened = (0..6).map(|n| {
            let (browser, link) = (&browsers[n % 3], at(&world, n % 3, &made));
            async move { browser.follow(&link).await }
        });
        let opened = join_all(opened).await;
        let sessions: Vec<_> = opened.iter().filter(|reply| reply.status == 303).collect();
        assert_eq!(sessions.len(), 1, "{:?}", opened.iter().map(|reply| reply.status).collect::<Vec<_>>());
        let cookie =
            sessions[0].header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a session");
        for browser in browsers {
            browser.show(cookie);
            assert!(
                browser.page().await.contains("<strong>acme</strong>"),
                "a session is good at all of them"
            );
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_redis_has_lost_opens_nowhere() {
    let mut redis = Redis::start().await;
    let world = World::start(&redis).await;
    let customers = world.customer("acme");
    let used = link(&customers[0]).await;
    Browser::new(world.nodes[1].gateway.public).enter(&at(&world, 1, &used)).await;
    let unused = link(&customers[0]).await;
    let _: () = redis.ask(&["FLUSHALL"]).await;
    for link in [&used, &unused] {
        for (n, node) in world.nodes.iter().enumerate() {
            let reply = Browser::new(node.gateway.public).follow(&at(&world, n, link)).await;
            assert_eq!(reply.status, 401, "{}", reply.text());
        }
    }
    let made = link(&customers[0]).await;
    redis.kill();
    for node in &world.nodes {
        node.until_linked(false).await;
    }
    let reply = Browser::new(world.nodes[0].gateway.public).follow(&made).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(reply.text().contains("cannot reach each other"), "{}", reply.text());
    assert_eq!(ask_link(&customers[0], &json!({})).await.refusal(), (503, "fleet_unavailable".to_owned()));
    redis.restart().await;
    for node in &world.nodes {
        node.until_linked(true).await;
    }
    until("links are made again", PATIENCE, async || {
        (ask_link(&customers[0], &json!({})).await.status == 200).then_some(())
    })
    .await;
    world.finish().await;
}
