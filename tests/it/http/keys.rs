//! `Idempotency-Key` on the wire: which keys are taken, and what becomes of the bodies that must be read for them.

use http::Method;

use crate::harness::{Behaviour, Customer, PATIENCE, Reply, World, until};

/// What is read ahead of the decision.
const READ_AHEAD: usize = 64 << 10;

/// POSTs a body to `/export/csv`, which costs 3, under a key; in chunks of these lengths where there are any.
async fn upload(world: &World, customer: &Customer, key: &str, body: &str, chunks: &[usize]) -> Reply {
    let mut wire = world.wire().await;
    let head = format!("POST /export/csv HTTP/1.1\r\nidempotency-key: {key}");
    if chunks.is_empty() {
        let head = format!("{head}\r\ncontent-length: {}", body.len());
        return wire.ask_with(customer, &head, body).await;
    }
    let (mut chunked, mut rest) = (Vec::new(), body);
    for length in chunks.iter().cycle() {
        let (chunk, left) = rest.split_at((*length).min(rest.len()));
        chunked.push(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        rest = left;
        if chunk.is_empty() {
            break;
        }
    }
    wire.ask_with(customer, &format!("{head}\r\ntransfer-encoding: chunked"), &chunked.concat()).await
}

/// Every byte tells where it stands.
fn body(length: usize) -> String {
    (0..length).map(|at| char::from(b'a' + u8::try_from(at / 7 % 26).expect("small"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_used_is_400_uncharged_and_keeps_the_connection() {
    let world = World::start().await;
    let customer = world.customer("careless");
    let mut wire = world.wire().await;
    let long = format!("idempotency-key: {}", "k".repeat(256));
    let bad = ["idempotency-key:", "idempotency-key: a b", "idempotency-key: caf\u{e9}", &long];
    for key in bad.into_iter().chain(["idempotency-key: a\r\nidempotency-key: a"]) {
        let head = format!("POST /signals HTTP/1.1\r\ncontent-length: 5\r\n{key}");
        let reply = wire.ask_with(&customer, &head, "hello").await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{key}");
        assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.starts_with("send ")), "{key}");
    }
    let head = format!("POST /signals HTTP/1.1\r\ncontent-length: 5\r\nidempotency-key: {}", "k".repeat(255));
    assert_eq!(wire.ask_with(&customer, &head, "hello").await.charged(), 1);
    assert_eq!(world.upstream.hits("/signals"), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_length_arrive_whole_and_are_charged_once_however_they_are_sent() {
    let world = World::builder().config("[server]\nmax_body = \"1MiB\"").start().await;
    let customer = world.customer("uploader");
    let small_reads = [1, 7, 1_000];
    for length in [0, 1, 5_000, READ_AHEAD - 1, READ_AHEAD, READ_AHEAD + 1, 3 * READ_AHEAD + 17] {
        let (key, body) = (format!("k-{length}"), body(length));
        let mut costs = Vec::new();
        for chunks in [&[][..], &[], &[100_000], &[30_000], &small_reads] {
            let reply = upload(&world, &customer, &key, &body, chunks).await;
            assert_eq!(reply.status, 200, "{length} {chunks:?}: {}", reply.text());
            let arrived = reply.json();
            let digest = <sha2::Sha256 as sha2::Digest>::digest(&body).to_vec();
            assert_eq!(arrived["body_bytes"], length, "{length} {chunks:?}");
            assert_eq!(arrived["body_sha256"], serde_json::json!(digest), "{length} {chunks:?}");
            costs.push(reply.charged());
        }
        assert_eq!(costs, [3, 0, 0, 0, 0], "{length}");
    }
    let mut other = body(3 * READ_AHEAD + 17);
    other.replace_range(other.len() - 1.., "!");
    let reply = upload(&world, &customer, &format!("k-{}", other.len()), &other, &[]).await;
    assert_eq!(reply.charged(), 3, "its last byte makes it another request");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_charged_once_but_needs_free_quota() {
    let config = "[server]\nmax_body = \"1MiB\"\n[tiers.free]\nincluded = { api_calls = 3 }";
    let world = World::builder().config(config).start().await;
    let customer = world.customer("uploader");
    let (short, long) = (body(READ_AHEAD), body(READ_AHEAD + 1));
    let (first, then) = (world.customer("first"), world.customer("then"));
    for (customer, body, status) in [(&first, &short, 200), (&then, &long, 429)] {
        assert_eq!(upload(&world, customer, "k", body, &[]).await.charged(), 3);
        let again = upload(&world, customer, "k", body, &[]).await;
        assert_eq!((again.status, again.charged()), (status, 0));
        assert_eq!(customer.used().await, 3);
    }
    assert_eq!(customer.used().await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_end_of_a_long_body_is_charged_by_itself() {
    let world = World::builder().config("[server]\nmax_body = \"1MiB\"").start().await;
    let customer = world.customer("impatient");
    world.upstream.in_turn("/export/csv", [Behaviour::Status(200)]);
    let long = body(READ_AHEAD + 1);
    let head = format!("POST /export/csv HTTP/1.1\r\nidempotency-key: k\r\ncontent-length: {}", long.len());
    let early = world.wire().await.ask_with(&customer, &head, &long[1..]).await;
    assert_eq!((early.status, early.charged()), (200, 3));
    assert_eq!(
        upload(&world, &customer, "k", &long, &[]).await.charged(),
        3,
        "nobody knew what the first was"
    );
    assert_eq!(upload(&world, &customer, "k", &long, &[]).await.charged(), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_found_too_large_while_it_is_read_ahead_is_413_and_uncharged() {
    let world = World::builder().config("[server]\nmax_body = \"10KiB\"").start().await;
    let customer = world.customer("uploader");
    let largest = upload(&world, &customer, "k", &body(10 << 10), &[1_000]).await;
    assert_eq!((largest.status, largest.charged()), (200, 3));
    let mut wire = world.wire().await;
    let head = "POST /export/csv HTTP/1.1\r\nidempotency-key: l\r\ntransfer-encoding: chunked";
    let chunk = format!("2801\r\n{}\r\n", body(0x2801));
    let reply = wire.ask_with(&customer, head, &chunk).await;
    assert_eq!(reply.refusal(), (413, "body_too_large".to_owned()));
    assert_eq!(world.upstream.hits("/export/csv"), 1);
    assert_eq!(customer.used().await, 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_under_a_key_that_the_client_breaks_off_holds_nothing_and_is_not_forwarded() {
    let world = World::builder().config("[tiers.free]\nincluded = { api_calls = 3 }").start().await;
    let customer = world.customer("quitter");
    let head = "POST /export/csv HTTP/1.1\r\nidempotency-key: k\r\ncontent-length: 9";
    let mut wire = world.wire().await;
    wire.send_head(&customer, head).await;
    wire.send("half").await;
    assert_eq!(customer.ask(Method::POST, "/export/csv", |request| request.body("{}")).await.charged(), 3);
    drop(wire);
    let ended = "tollgate_requests_total{route=\"/export/csv\",status_class=\"4xx\"}";
    until("the gateway notices", PATIENCE, async || (world.metric(ended).await == Some(1)).then_some(()))
        .await;
    assert_eq!(world.upstream.hits("/export/csv"), 1);
    assert_eq!(customer.used().await, 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let world = World::start().await;
    let customer = world.customer("polite");
    let head = "POST /export/csv HTTP/1.1\r\nidempotency-key: k\r\nexpect: 100-continue\r\ncontent-length: 5";
    let mut wire = world.wire().await;
    for cost in [3, 0] {
        assert_eq!(wire.ask_for_head(&customer, head).await.status, 100);
        let reply = wire.go_on(&customer, "hello").await;
        assert_eq!((reply.status, reply.charged()), (200, cost));
        let arrived = reply.json();
        assert_eq!(arrived["body_bytes"], 5);
        assert_eq!(arrived["headers"].get("expect"), None, "nobody has to ask for it any more");
    }
    world.finish().await;
}
