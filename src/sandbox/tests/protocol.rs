//! Keys, idempotency, faults, limits: what holds for every operation.

use std::time::Duration;

use super::harness::{Harness, meter_event};
use crate::sandbox::Options;

#[tokio::test]
async fn only_secret_keys_open_the_sandbox() {
    let harness = Harness::start().await;
    let url = format!("{}/v1/customers", harness.sandbox.base_url());
    let without = harness.send(harness.http.get(&url)).await;
    assert_eq!(
        (without.status, without.json["error"]["type"].as_str()),
        (401, Some("invalid_request_error"))
    );
    let publishable = harness.send(harness.http.get(&url).bearer_auth("pk_test_x")).await;
    assert_eq!(publishable.status, 401);
    let basic = harness.send(harness.http.get(&url).basic_auth("sk_test_x", None::<&str>)).await;
    assert_eq!(basic.status, 200);
    assert!(basic.header("request-id").is_some_and(|id| id.starts_with("req_")));
}

#[tokio::test]
async fn the_version_asked_for_is_echoed() {
    let harness = Harness::start().await;
    let request = harness.request("GET", "/v1/customers", "").header("stripe-version", "2025-03-31.basil");
    assert_eq!(harness.send(request).await.header("stripe-version"), Some("2025-03-31.basil"));
    let plain = harness.get("/v1/customers").await;
    assert_eq!(plain.header("stripe-version"), Some(crate::sandbox::API_VERSION));
}

#[tokio::test]
async fn a_repeated_key_gives_the_first_answer_and_makes_nothing_new() {
    let harness = Harness::start().await;
    let create = |form: &str| harness.request("POST", "/v1/customers", form).header("idempotency-key", "k1");
    let first = harness.send(create("name=A")).await;
    let again = harness.send(create("name=A")).await;
    assert_eq!(first.json, again.json);
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
    let other = harness.send(create("name=B")).await;
    assert_eq!((other.status, other.json["error"]["type"].as_str()), (400, Some("idempotency_error")));
    let all = harness.get("/v1/customers").await;
    assert_eq!(all.json["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_key_in_use_is_a_conflict() {
    let harness = Harness::start().await;
    harness.post("/_sandbox/faults", "operation=customers.create&delay_ms=400").await;
    let create = || harness.request("POST", "/v1/customers", "name=A").header("idempotency-key", "k1");
    let (one, two) = tokio::join!(harness.send(create()), harness.send(create()));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn failed_validation_and_429_do_not_use_up_a_key() {
    let harness = Harness::start().await;
    let create = |form: &str| harness.request("POST", "/v1/products", form).header("idempotency-key", "k1");
    assert_eq!(harness.send(create("")).await.status, 400);
    harness.post("/_sandbox/faults", "operation=products.create&status=429").await;
    assert_eq!(harness.send(create("name=A")).await.status, 429);
    assert_eq!(harness.send(create("name=A")).await.status, 200);
}

#[tokio::test]
async fn a_failure_after_the_effect_is_replayed_and_the_effect_stays() {
    let harness = Harness::start().await;
    harness.post("/_sandbox/faults", "operation=customers.create&status=500&when=after").await;
    let create = || harness.request("POST", "/v1/customers", "name=A").header("idempotency-key", "k1");
    let first = harness.send(create()).await;
    let again = harness.send(create()).await;
    assert_eq!((first.status, again.status), (500, 500));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let all = harness.get("/v1/customers").await;
    assert_eq!(all.json["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_dropped_connection_gives_no_answer_before_or_after_the_effect() {
    let harness = Harness::start().await;
    harness.post("/_sandbox/faults", "operation=customers.create&drop=true").await;
    assert!(harness.request("POST", "/v1/customers", "name=A").send().await.is_err());
    harness.post("/_sandbox/faults", "operation=customers.create&drop=true&when=after").await;
    let create = || harness.request("POST", "/v1/customers", "name=B").header("idempotency-key", "k1");
    assert!(create().send().await.is_err());
    let replayed = harness.send(create()).await;
    assert_eq!((replayed.status, replayed.header("idempotent-replayed")), (200, Some("true")));
    let all = harness.get("/v1/customers").await;
    assert_eq!(all.json["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn meter_events_of_one_customer_and_meter_pass_one_at_a_time() {
    let harness = Harness::start().await;
    harness.seed_pro();
    let (a, b) = (harness.post("/v1/customers", "").await.id(), harness.post("/v1/customers", "").await.id());
    harness.post("/_sandbox/faults", "operation=meter_events.create&times=3&delay_ms=400").await;
    let send = |customer: &str, id: &str| {
        harness.send(harness.request("POST", "/v1/billing/meter_events", &meter_event(customer, 1, id)))
    };
    let (first, twin, other) = tokio::join!(send(&a, "e1"), send(&a, "e2"), send(&b, "e3"));
    let mut same = [first.status, twin.status];
    same.sort_unstable();
    assert_eq!((same, other.status), ([200, 429], 200));
}

#[tokio::test]
async fn a_cap_on_requests_answers_429() {
    let options = Options { requests_per_second: Some(2), ..Options::default() };
    let harness = Harness::with(options).await;
    let mut refused = None;
    for _ in 0..50 {
        let reply = harness.get("/v1/customers").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("fifty requests at once exceed two a second");
    assert_eq!(refused.header("stripe-rate-limited-reason"), Some("global-rate"));
}

#[tokio::test]
async fn unknown_urls_and_objects_are_404() {
    let harness = Harness::start().await;
    assert_eq!(harness.get("/v1/nothing").await.status, 404);
    let missing = harness.get("/v1/customers/cus_none").await;
    assert_eq!((missing.status, missing.json["error"]["code"].as_str()), (404, Some("resource_missing")));
}

#[tokio::test]
async fn a_stopped_sandbox_frees_its_port() {
    let harness = Harness::start().await;
    let listen = harness.sandbox.addr();
    harness.get("/v1/customers").await;
    drop(harness.http);
    tokio::time::timeout(Duration::from_secs(10), harness.sandbox.stop()).await.expect("it stops");
    let again = Harness::with(Options { listen, ..Options::default() }).await;
    assert_eq!(again.sandbox.addr(), listen);
}
