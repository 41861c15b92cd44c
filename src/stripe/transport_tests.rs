use std::time::Duration;

use serde_json::json;
use stripe_billing::BillingMeterEvent;
use stripe_billing::billing_meter_event::CreateBillingMeterEvent;
use stripe_client_core::{IdempotencyKey, RequestBuilder, RequestStrategy, StripeMethod, StripeRequest};

use super::*;
use crate::stripe::breaker::FAILURES_TO_OPEN;
use crate::stripe::test_server::{KEY, Reply, TestServer, says, says_with, transport};
use crate::stripe::{Secret, StatusError};

fn get() -> RequestBuilder {
    RequestBuilder::new(StripeMethod::Get, "/things/th_1")
}

async fn once(transport: &Transport) -> Result<Answer, CallError> {
    transport.once("test", Lane::General, get(), None).await
}

fn create() -> CreateBillingMeterEvent {
    CreateBillingMeterEvent::new("calls", [("value".to_owned(), "1".to_owned())])
}

fn created() -> Reply {
    says(
        200,
        json!({ "object": "billing.meter_event", "created": 1, "event_name": "calls",
        "identifier": "id", "livemode": false, "payload": {}, "timestamp": 1 }),
    )
}

fn status(error: CallError) -> StatusError {
    match error {
        CallError::Status(error) => *error,
        other => panic!("not a status: {other:?}"),
    }
}

#[tokio::test]
async fn two_hundred_calls_use_one_connection() {
    let server = TestServer::start(
        (0..200).map(|i| if i % 2 == 0 { says(200, "{}") } else { says(404, "x".repeat(100_000)) }),
    )
    .await;
    let transport = server.transport();
    for _ in 0..200 {
        let _ = once(&transport).await;
    }
    assert_eq!(server.received().len(), 200);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_version_is_pinned_and_the_key_sent_as_a_bearer() {
    let server = TestServer::start([]).await;
    let key = IdempotencyKey::new("mine").expect("a key");
    let transport = server.transport();
    transport.once("test", Lane::General, get(), Some(&key)).await.expect("200");
    let request = &server.received()[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/v1/things/th_1");
    assert_eq!(request.header("stripe-version"), Some("2026-09-30.endive"));
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {KEY}")));
    assert_eq!(request.header("idempotency-key"), Some("mine"));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("tollgate/")));
}

#[tokio::test]
async fn an_error_page_that_is_not_json_keeps_its_status() {
    let server = TestServer::start([says(503, "<html>Service Unavailable</html>")]).await;
    let error = status(once(&server.transport()).await.expect_err("503"));
    assert_eq!(error.status, 503);
    assert!(!error.is_from_stripe());
}

#[tokio::test]
async fn what_stripe_says_about_an_error_is_read() {
    let body = json!({ "error": { "type": "invalid_request_error", "code": "resource_missing",
        "message": "No such thing", "param": "id" } });
    let headers = [
        ("request-id", "req_1"),
        ("stripe-should-retry", "false"),
        ("stripe-rate-limited-reason", "endpoint-rate"),
        ("idempotent-replayed", "true"),
    ];
    let server = TestServer::start([says_with(404, &headers, body)]).await;
    let error = status(once(&server.transport()).await.expect_err("404"));
    assert_eq!(
        error.to_string(),
        "stripe answered 404 invalid_request_error resource_missing endpoint-rate: No such thing (request req_1)"
    );
    assert_eq!(error.param.as_deref(), Some("id"));
    assert_eq!(error.should_retry, Some(false));
    assert!(error.replayed);
}

#[tokio::test]
async fn typed_calls_try_again_under_one_key() {
    let server = TestServer::start([says(500, ""), says(409, ""), created()]).await;
    let transport = server.transport();
    let event: BillingMeterEvent = create().send(&transport.calls("test")).await.expect("the third try");
    assert_eq!(event.identifier, "id");
    let keys: Vec<_> =
        server.received().iter().map(|r| r.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_requests_own_key_is_kept_over_retries() {
    let server = TestServer::start([says(500, ""), created()]).await;
    let key = IdempotencyKey::new("mine").expect("a key");
    let transport = server.transport();
    let call = create().customize().request_strategy(RequestStrategy::Idempotent(key));
    call.send(&transport.calls("test")).await.expect("the second try");
    assert!(server.received().iter().all(|r| r.header("idempotency-key") == Some("mine")));
}

#[tokio::test]
async fn a_call_gives_up_after_its_tries() {
    let server = TestServer::start((0..9).map(|_| says(503, ""))).await;
    let error = create().send(&server.transport().calls("test")).await.expect_err("503");
    assert_eq!(status(error).status, 503);
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn stripe_may_forbid_a_retry() {
    let no = [("stripe-should-retry", "false")];
    let server = TestServer::start([says_with(500, &no, ""), created()]).await;
    create().send(&server.transport().calls("test")).await.expect_err("500");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn stripe_may_ask_for_a_retry() {
    let yes = [("stripe-should-retry", "true")];
    let server = TestServer::start([says_with(400, &yes, ""), created()]).await;
    create().send(&server.transport().calls("test")).await.expect("the second try");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn a_redirect_takes_the_key_nowhere() {
    let away = [("location", "/v1/elsewhere")];
    let server = TestServer::start([says_with(307, &away, "")]).await;
    let error = once(&server.transport()).await.expect_err("a redirect");
    assert_eq!(status(error).status, 307);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let server = TestServer::start([says(402, ""), created()]).await;
    create().send(&server.transport().calls("test")).await.expect_err("402");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn once_means_once() {
    let server = TestServer::start([says(500, ""), created()]).await;
    let call = create().customize().request_strategy(RequestStrategy::Once);
    call.send(&server.transport().calls("test")).await.expect_err("500");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_unreachable() {
    let server = TestServer::start([Reply::Hangs]).await;
    let call =
        create().customize().request_strategy(RequestStrategy::Once).timeout(Duration::from_millis(20));
    let error = call.send(&server.transport().calls("test")).await.expect_err("a timeout");
    assert!(error.is_unreachable() && error.is_transient(), "{error:?}");
}

/// A base that nothing listens on.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

#[tokio::test]
async fn the_secret_key_is_in_no_error_and_no_debug_output() {
    let leak = json!({ "error": { "type": "invalid_request_error", "message": format!("bad key {KEY}") } });
    let server = TestServer::start([says(401, leak)]).await;
    let (reachable, unreachable) = (server.transport(), transport(&nobody().await));
    let options = TransportOptions::new("http://127.0.0.1", Secret::new(KEY));
    let mut texts = vec![format!("{reachable:?} {options:?} {:?}", reachable.calls("test"))];
    for error in [once(&reachable).await, once(&unreachable).await] {
        let error = error.expect_err("neither succeeds");
        texts.push(format!("{error} {error:?}"));
    }
    assert!(texts[1].contains("bad key [redacted]"), "{}", texts[1]);
    for text in texts {
        assert!(!text.contains(KEY), "{text}");
    }
}

#[tokio::test]
async fn failures_in_a_row_open_the_circuit_and_a_probe_closes_it() {
    let server = TestServer::start((0..FAILURES_TO_OPEN).map(|_| says(500, ""))).await;
    let transport = server.transport();
    for _ in 0..FAILURES_TO_OPEN {
        assert_eq!(status(once(&transport).await.expect_err("500")).status, 500);
    }
    assert!(transport.circuit_open());
    let refused = once(&transport).await.expect_err("an open circuit");
    assert_eq!(refused, CallError::CircuitOpen);
    assert_eq!(server.received().len(), FAILURES_TO_OPEN as usize, "nothing was sent");
    while let Err(error) = once(&transport).await {
        assert_eq!(error, CallError::CircuitOpen);
        tokio::time::sleep(Duration::from_millis(10)).await; // ask again
    }
    assert!(!transport.circuit_open());
}

#[tokio::test]
async fn a_stripe_that_limits_us_is_not_a_stripe_that_is_away() {
    let server = TestServer::start((0..20).map(|_| says(429, ""))).await;
    let transport = server.transport();
    for _ in 0..20 {
        assert_eq!(status(once(&transport).await.expect_err("429")).status, 429);
    }
    assert!(!transport.circuit_open());
}

#[test]
fn a_base_or_a_key_that_cannot_be_right_is_refused() {
    let of = |base: &str, key: &str| Transport::new(TransportOptions::new(base, Secret::new(key)));
    for base in
        ["", "api.stripe.com", "ftp://api.stripe.com", "https://u:p@host", "https://host?x", "https://host#x"]
    {
        assert!(matches!(of(base, KEY), Err(TransportError::Base)), "{base}");
    }
    for key in ["", "sk_test\n"] {
        assert!(matches!(of("https://api.stripe.com", key), Err(TransportError::Key)), "{key:?}");
    }
    assert!(of("https://api.stripe.com/", KEY).is_ok());
}
