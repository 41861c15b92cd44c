//! Failed authentications are limited by the address they come from.

use http::Method;
use serde_json::json;

use super::{KEYS, caller, refused};
use crate::harness::{Reply, World, token, unix_now};

/// The tests' own address is a proxy's.
const PROXIED: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]";
const LIMITED: &str = "[auth]\nfailures = \"20/h\"";

async fn world(more: &str) -> World {
    World::builder().config(KEYS).config(LIMITED).config(more).start().await
}

/// Shows a key that is none, as if it came from an address.
async fn fail(world: &World, forwarded_for: &str) -> Reply {
    let key = format!("tgk_12345678_{}", "x".repeat(43));
    world
        .ask(Method::GET, "/free", |request| {
            request.header("x-api-key", &key).header("x-forwarded-for", forwarded_for)
        })
        .await
}

fn limited() -> (u16, String) {
    (429, "rate_limited".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_wrong_keys_of_an_address_are_refused_and_those_of_others_and_what_is_good_are_not() {
    let world = world(PROXIED).await;
    let (made, _) = caller(&world, "acme").await;
    let acme = world.customer("acme");
    let one = "203.0.113.7";
    let as_one = async |token: &str| {
        let ask =
            |request: reqwest::RequestBuilder| request.bearer_auth(token).header("x-forwarded-for", one);
        world.ask(Method::GET, "/free", ask).await
    };
    assert_eq!(as_one(&acme.token).await.status, 200, "from now on it is known");
    let mut last = None;
    for number in 0..1_000 {
        let reply = fail(&world, one).await;
        let expected = if number < 20 { refused("token_invalid") } else { limited() };
        assert_eq!(reply.refusal(), expected, "{number}");
        last = Some(reply);
    }
    let last = last.expect("a reply");
    let wait: u64 = last.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((1..=180).contains(&wait), "{wait}");
    assert_eq!(as_one(&acme.token).await.status, 200, "a token that is known passes");
    assert_eq!(as_one(&made.key).await.status, 200, "and so does a key that is in force");
    let fresh = token(&json!({ "sub": "other", "exp": unix_now() + 60 }));
    assert_eq!(as_one(&fresh).await.refusal(), limited(), "what must be verified does not");
    let billing = world
        .ask(Method::GET, "/billing/status", |request| {
            request.bearer_auth("a.b.c").header("x-forwarded-for", one)
        })
        .await;
    assert_eq!(billing.refusal(), limited(), "nor does it there");
    assert_eq!(fail(&world, "203.0.113.8").await.refusal(), refused("token_invalid"), "another address");
    let missing = world.ask(Method::GET, "/free", |request| request.header("x-forwarded-for", one)).await;
    assert_eq!(missing.refusal(), refused("token_missing"), "who shows nothing does not fail");
    assert_eq!(world.metric("tollgate_auth_total{result=\"rate_limited\"}").await, Some(982));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_write_itself_another_address() {
    let direct = world("").await;
    for number in 0..20 {
        let reply = fail(&direct, &format!("198.51.100.{number}")).await;
        assert_eq!(reply.refusal(), refused("token_invalid"));
    }
    assert_eq!(fail(&direct, "198.51.100.99").await.refusal(), limited(), "nobody vouches for it");
    direct.finish().await;

    let proxied = world(PROXIED).await;
    for number in 0..20 {
        let reply = fail(&proxied, &format!("198.51.100.{number}, 203.0.113.7")).await;
        assert_eq!(reply.refusal(), refused("token_invalid"));
    }
    let forged = fail(&proxied, "198.51.100.99, 203.0.113.7").await;
    assert_eq!(forged.refusal(), limited(), "the proxy has put its address behind what the client wrote");
    let inner = fail(&proxied, "198.51.100.99, 203.0.113.7, 127.0.0.9").await;
    assert_eq!(inner.refusal(), limited(), "of two proxies the outer one has seen the client");
    assert_eq!(fail(&proxied, "203.0.113.7, 198.51.100.99").await.refusal(), refused("token_invalid"));
    proxied.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_site_is_one_address() {
    let world = world(PROXIED).await;
    for number in 0..20 {
        fail(&world, &format!("2001:db8:0:1::{number:x}")).await;
    }
    assert_eq!(fail(&world, "2001:db8:0:1:ffff::1").await.refusal(), limited());
    assert_eq!(fail(&world, "2001:db8:0:2::1").await.refusal(), refused("token_invalid"));
    world.finish().await;
}
