use serde_json::json;

use super::*;
use crate::stripe::test_server::{Reply, TestServer, says, says_with, transport};

fn event() -> MeterEvent {
    MeterEvent {
        event_name: "api_calls".into(),
        stripe_customer: "cus_1".into(),
        value: 42,
        identifier: "tg-7f-1".into(),
        timestamp: 1_790_000_000,
    }
}

/// What becomes of the event when Stripe's answer is `reply`.
async fn after(reply: Reply) -> MeterEventAnswer {
    let server = TestServer::start([reply]).await;
    send_meter_event(&server.transport(), &event(), "key-1").await
}

/// Stripe's error body.
fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Reply {
    says(status, json!({ "error": { "type": kind, "code": code, "message": message } }))
}

fn retry(answer: &MeterEventAnswer) -> (bool, bool) {
    match answer {
        MeterEventAnswer::Retry { answered, arrived, .. } => (*answered, *arrived),
        other => panic!("not a retry: {other:?}"),
    }
}

/// An answer is stored under the key, and the event may have been taken.
const STORED: (bool, bool) = (true, true);
const IN_FLIGHT: (bool, bool) = (false, true);
const TURNED_AWAY: (bool, bool) = (false, false);

#[tokio::test]
async fn an_event_is_these_bytes_on_every_try() {
    let server = TestServer::start([]).await;
    let transport = server.transport();
    for _ in 0..20 {
        send_meter_event(&transport, &event(), "key-1").await;
    }
    for request in server.received() {
        assert_eq!(request.method, "POST");
        assert_eq!(request.target, "/v1/billing/meter_events");
        assert_eq!(request.header("idempotency-key"), Some("key-1"));
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(
            request.body,
            "event_name=api_calls&identifier=tg-7f-1&payload[stripe_customer_id]=cus_1\
             &payload[value]=42&timestamp=1790000000"
        );
    }
}

#[tokio::test]
async fn stripes_receipt_for_the_identifier_is_acceptance() {
    let receipt = json!({ "object": "billing.meter_event", "identifier": "tg-7f-1" });
    assert_eq!(after(says(200, receipt)).await, MeterEventAnswer::Accepted { answer: "200 accepted".into() });
}

#[tokio::test]
async fn a_success_that_is_not_stripes_accepts_nothing() {
    assert_eq!(retry(&after(says(200, "<html>Welcome to the hotel</html>")).await), STORED);
    assert_eq!(retry(&after(says(200, json!({ "identifier": "other" }))).await), STORED);
}

#[tokio::test]
async fn a_known_identifier_is_a_delivered_one() {
    let message = "An event already exists with identifier tg-7f-1.";
    let body = json!({ "error": { "type": "invalid_request_error", "message": message } });
    let reply = says_with(400, &[("stripe-should-retry", "false")], body);
    assert_eq!(after(reply).await, MeterEventAnswer::Duplicate);
}

#[tokio::test]
async fn what_will_not_change_is_refused_with_stripes_reason() {
    let cases = [
        (400, None, "No active meter found for event name api_calls"),
        (400, Some("resource_missing"), "No such customer"),
        (400, None, "The timestamp is too far in the past"),
        (404, Some("resource_missing"), "No such customer"),
    ];
    for (status, code, message) in cases {
        let answer = after(error(status, "invalid_request_error", code, message)).await;
        let MeterEventAnswer::Refused { reason } = answer else {
            panic!("{message}: {answer:?}");
        };
        assert!(reason.contains(message), "{reason}");
    }
}

#[tokio::test]
async fn a_problem_with_the_key_waits_and_says_so() {
    for status in [401, 403] {
        let answer = after(error(status, "invalid_request_error", None, "Invalid API Key")).await;
        assert_eq!(retry(&answer), TURNED_AWAY);
        let MeterEventAnswer::Retry { reason, .. } = answer else { unreachable!() };
        assert!(reason.contains("secret_key"), "{reason}");
    }
}

#[tokio::test]
async fn another_request_under_the_key_needs_a_new_key() {
    let reply = error(400, "idempotency_error", None, "Keys for idempotent requests can only be …");
    assert_eq!(retry(&after(reply).await), STORED);
}

#[tokio::test]
async fn stored_answers_need_a_new_key_and_the_others_do_not() {
    let api = "api_error";
    assert_eq!(retry(&after(error(500, api, None, "")).await), STORED);
    assert_eq!(retry(&after(error(409, api, Some("lock_timeout"), "")).await), STORED);
    let early = error(400, "invalid_request_error", Some("timestamp_in_future"), "");
    assert_eq!(retry(&after(early).await), STORED, "our clock is ahead: waiting cures it");
    assert_eq!(retry(&after(error(429, api, Some("rate_limit"), "")).await), TURNED_AWAY);
    let in_use = error(409, "idempotency_error", Some("idempotency_key_in_use"), "");
    assert_eq!(retry(&after(in_use).await), IN_FLIGHT);
}

#[tokio::test]
async fn a_proxys_error_page_refuses_nothing() {
    for status in [302, 400, 404, 413, 502] {
        assert_eq!(retry(&after(says(status, "<html>no</html>")).await), STORED, "{status}");
    }
}

#[tokio::test]
async fn without_an_answer_the_same_key_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let answer = send_meter_event(&transport(&base), &event(), "key-1").await;
    assert_eq!(retry(&answer), TURNED_AWAY);
}
