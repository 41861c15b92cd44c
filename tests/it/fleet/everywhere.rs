//! Two gateways as one: a key is charged once, and lists show what both have.

use http::Method;
use serde_json::{Value, json};

use super::redis::Redis;
use crate::harness::{ADMIN_TOKEN, Behaviour, Customer, PATIENCE, Reply, World, until};

/// Two gateways that share a Redis; each has an upstream and a Stripe of its own.
async fn two(redis: &Redis) -> (World, World) {
    two_with(redis, "").await
}

async fn two_with(redis: &Redis, more: &str) -> (World, World) {
    let node = |name: &str| {
        let url = redis.url();
        let fleet = format!(
            "[fleet]\nredis = \"{url}\"\nnode = \"{name}\"\nredis_timeout = \"2s\"\nlease_wait = \"4s\"\n"
        );
        World::builder().config(&fleet).config(more)
    };
    (node("one").start().await, node("two").start().await)
}

async fn keyed(customer: &Customer, path: &str, key: &str) -> Reply {
    customer.ask(Method::POST, path, |request| request.header("idempotency-key", key).body("{}")).await
}

/// The rows of a list that all nodes have told.
async fn rows(world: &World, path: &str) -> Vec<Value> {
    let list = world.shown(path).await;
    assert_eq!(list["nodes_missing"], json!([]), "{path}: {list}");
    list["data"].as_array().expect("a list").clone()
}

fn total(rows: &[Value], member: &str) -> i64 {
    rows.iter().map(|row| row[member].as_i64().expect("a number")).sum()
}

#[tokio::test]
async fn a_key_is_charged_once_whichever_gateways_it_comes_to() {
    let redis = Redis::start().await;
    let (one, two) = two(&redis).await;
    let (here, there) = (one.customer("acme"), two.customer("acme"));
    assert_eq!(keyed(&here, "/export/pdf", "order-1").await.charged(), 5);
    for customer in [&there, &here, &there] {
        let repeat = keyed(customer, "/export/pdf", "order-1").await;
        assert_eq!((repeat.status, repeat.charged()), (200, 0));
    }
    assert_eq!(keyed(&there, "/export/pdf", "order-2").await.charged(), 5, "another key is another request");
    assert_eq!(keyed(&here, "/export/csv", "order-1").await.charged(), 3, "and so is another path");
    let keys: Vec<String> = redis.ask(&["KEYS", "tg:{*}:k:acme:*"]).await;
    assert_eq!(keys.len(), 3);
    let kept: i64 = redis.ask(&["PTTL", &keys[0]]).await;
    assert!((86_000_000..=86_400_000).contains(&kept), "{kept} ms");
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn a_repeat_needs_no_units_on_another_gateway_either() {
    let redis = Redis::start().await;
    let (one, two) = two(&redis).await;
    let (here, there) = (one.customer("acme"), two.customer("acme"));
    for n in 0..20 {
        assert_eq!(keyed(&here, "/export/pdf", &format!("order-{n}")).await.charged(), 5);
    }
    assert_eq!(there.get("/signals").await.status, 429, "all 100 units are used");
    let repeat = keyed(&there, "/export/pdf", "order-7").await;
    assert_eq!((repeat.status, repeat.charged()), (200, 0));
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn of_twins_in_flight_on_two_gateways_the_first_that_is_answered_is_charged() {
    let redis = Redis::start().await;
    let (one, two) = two(&redis).await;
    let (here, there) = (one.customer("acme"), two.customer("acme"));
    one.upstream.on("/export/pdf", Behaviour::Held);
    let slow = tokio::spawn({
        let here = here.clone();
        async move { keyed(&here, "/export/pdf", "order-1").await }
    });
    one.upstream.arrived("/export/pdf", 1).await;
    assert_eq!(keyed(&there, "/export/pdf", "order-1").await.charged(), 5);
    one.upstream.release();
    let slow = slow.await.expect("an answer");
    assert_eq!((slow.status, slow.charged()), (200, 0), "it gives its units back");
    until("the units are back", PATIENCE, async || (here.used().await == 5).then_some(())).await;
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn what_fails_leaves_its_key_to_others() {
    let redis = Redis::start().await;
    let (one, two) = two(&redis).await;
    let (here, there) = (one.customer("acme"), two.customer("acme"));
    one.upstream.on("/export/pdf", Behaviour::Status(500));
    assert_eq!(keyed(&here, "/export/pdf", "order-1").await.status, 500);
    one.upstream.on("/export/csv", Behaviour::CutMidBody);
    let cut = here
        .try_ask(Method::POST, "/export/csv", |request| request.header("idempotency-key", "k").body("{}"));
    assert!(cut.await.is_err(), "its charge is taken back");
    let is_gone = async || redis.ask::<Vec<String>>(&["KEYS", "tg:{*}:k:*"]).await.is_empty().then_some(());
    until("no key counts as charged", PATIENCE, is_gone).await;
    assert_eq!(keyed(&there, "/export/pdf", "order-1").await.charged(), 5);
    assert_eq!(keyed(&there, "/export/csv", "k").await.charged(), 3);
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn without_redis_each_gateway_knows_its_own_keys() {
    let mut redis = Redis::start().await;
    let (one, two) = two(&redis).await;
    let (here, there) = (one.customer("acme"), two.customer("acme"));
    for customer in [&here, &there] {
        assert_eq!(customer.get("/signals").await.status, 200, "there is a lease");
    }
    redis.kill();
    for (world, customer) in [(&one, &here), (&two, &there)] {
        until("Redis is missed", PATIENCE, async || {
            (world.metric("tollgate_fleet_redis_up").await == Some(0)).then_some(())
        })
        .await;
        assert_eq!(world.metric("tollgate_fleet_member").await, Some(1), "who has no fleet misses nothing");
        assert_eq!(keyed(customer, "/signals", "order-1").await.charged(), 1);
        assert_eq!(keyed(customer, "/signals", "order-1").await.charged(), 0);
    }
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn lists_show_what_all_gateways_have() {
    let redis = Redis::start().await;
    let (one, two) = two(&redis).await;
    let (here, there) = (one.customer("acme"), two.customer("acme"));
    for _ in 0..3 {
        here.get("/signals").await;
    }
    there.get("/export/csv").await;
    two.customer("only-there").get("/signals").await;
    until("all is folded", PATIENCE, async || {
        let usage = rows(&one, "/admin/customers/acme/usage?by=route").await;
        (total(&usage, "units") == 6).then_some(())
    })
    .await;
    for world in [&one, &two] {
        let usage = rows(world, "/admin/customers/acme/usage?by=route").await;
        assert_eq!((usage.len(), total(&usage, "units"), total(&usage, "requests")), (2, 6, 4));
        let by_day = rows(world, "/admin/customers/acme/usage").await;
        assert_eq!((by_day.len(), total(&by_day, "units")), (1, 6), "both nodes' days are one row");
        let charges = rows(world, "/admin/customers/acme/charges").await;
        assert_eq!(charges[0]["node"], "two", "the latest first");
        assert_eq!(charges.iter().filter(|charge| charge["node"] == "one").count(), 3);
        let customers = rows(world, "/admin/customers").await;
        let names: Vec<_> = customers.iter().map(|row| row["customer"].as_str().expect("a name")).collect();
        assert_eq!(names, ["acme", "only-there"]);
        let first = world.shown("/admin/customers?limit=1").await;
        let next = world
            .shown(&format!(
                "/admin/customers?limit=1&cursor={}",
                first["next_cursor"].as_str().expect("more")
            ))
            .await;
        assert_eq!((&next["data"][0]["customer"], &next["has_more"]), (&json!("only-there"), &json!(false)));
        let stats = world.shown("/admin/stats").await;
        assert_eq!(stats["nodes_missing"], json!([]));
        assert_eq!(stats["top_customers"][0], json!({ "customer": "acme", "units": 6, "requests": 4 }));
    }
    let own = here.get("/billing/usage?by=route").await.json();
    assert_eq!(
        (total(own["data"].as_array().expect("rows"), "units"), &own["nodes_missing"]),
        (6, &json!([]))
    );
    // Known there, and now here as well; who is known nowhere is made nowhere.
    assert_eq!(one.shown("/admin/customers/only-there").await["customer"], "only-there");
    assert_eq!(one.admin(Method::GET, "/admin/customers/nobody", Some(ADMIN_TOKEN)).await.status, 404);
    one.finish().await;
    two.finish().await;
}

/// A list shows what all have: what is done with its rows must not depend on who is asked.
#[tokio::test]
async fn a_receipt_and_another_try_are_found_on_whichever_gateway_they_are() {
    let redis = Redis::start().await;
    let late = "[meters.api_calls]\nstripe_event_name = \"late\"\n[billing]\nflush_interval = \"1h\"\n";
    let (one, two) = two_with(&redis, late).await;
    let (customer, _) = two.subscriber("acme", "pro").await;
    let charged = customer.get("/signals").await;
    assert_eq!((charged.charged(), two.flush().await), (1, 0), "Stripe has no such meter: refused for good");
    let ask = async |method: Method, path: &str| one.admin(method, path, Some(ADMIN_TOKEN)).await;

    let id = charged.header("x-request-id").expect("an id").to_owned();
    let receipt = one.shown(&format!("/admin/receipts/{id}")).await;
    assert_eq!((&receipt["node"], &receipt["customer"]), (&json!("two"), &json!("acme")));
    let dead = rows(&one, "/admin/outbox?state=dead").await;
    let identifier = dead[0]["identifier"].as_str().expect("an identifier");
    let retry = format!("/admin/outbox/{identifier}/retry");
    let again = ask(Method::POST, &retry).await;
    assert_eq!((again.status, &again.json()["identifier"]), (200, &dead[0]["identifier"]));
    for (nothing, method) in [
        ("/admin/receipts/01890a5d-ac96-774b-bcce-b302099a8057", Method::GET),
        ("/admin/outbox/tg-nothing/retry", Method::POST),
    ] {
        let reply = ask(method, nothing).await;
        assert_eq!(reply.status, 404, "{nothing}");
        assert!(!reply.text().contains("have not answered"), "all have: {}", reply.text());
    }
    one.finish().await;
    two.finish().await;
}

#[tokio::test]
async fn lists_name_the_gateways_that_are_missing() {
    let redis = Redis::start().await;
    let (one, mut two) = two(&redis).await;
    one.customer("acme").get("/signals").await;
    two.gateway.kill9();
    let missing = async || {
        let usage = one.shown("/admin/customers/acme/usage").await;
        (usage["nodes_missing"] == json!(["two"])).then_some(usage)
    };
    until("two is missed", PATIENCE, missing).await;
    let csv = one.admin(Method::GET, "/admin/customers/acme/usage?format=csv", Some(ADMIN_TOKEN)).await;
    assert_eq!(csv.header("x-tollgate-nodes-missing"), Some("two"));
    two.gateway.restart().await;
    until("two is back", PATIENCE, async || {
        (one.shown("/admin/outbox").await["nodes_missing"] == json!([])).then_some(())
    })
    .await;
    one.finish().await;
    two.finish().await;
}
