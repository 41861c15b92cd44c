use serde_json::json;

use super::*;
use crate::stripe::test_server::{Reply, TestServer, says};

fn missing(message: &str) -> Reply {
    says(
        404,
        json!({ "error": { "type": "invalid_request_error", "code": "resource_missing",
        "message": message } }),
    )
}

fn subscription(id: &str) -> Value {
    json!({ "id": id, "object": "subscription", "status": "active",
        "customer": { "id": "cus_1", "metadata": { "tollgate_customer": "acme" } } })
}

#[tokio::test]
async fn a_subscription_comes_with_its_customer() {
    let server = TestServer::start([says(200, subscription("sub_1"))]).await;
    let found = retrieve_subscription(&server.transport(), "sub_1").await;
    let found = found.expect("an answer").expect("a subscription");
    assert_eq!(found.id, "sub_1");
    assert_eq!(found.customer_metadata_tollgate.as_deref(), Some("acme"));
    assert_eq!(server.received()[0].target, "/v1/subscriptions/sub_1?expand[0]=customer");
}

#[tokio::test]
async fn what_stripe_does_not_have_is_none() {
    let server = TestServer::start([missing("No such subscription"), missing("No such customer")]).await;
    let transport = server.transport();
    assert_eq!(retrieve_subscription(&transport, "sub_1").await, Ok(None));
    assert_eq!(list_subscriptions(&transport, "cus_1").await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_key_of_the_other_mode_proves_nothing() {
    let message =
        "No such customer: 'cus_1'; a similar object exists in live mode, but a test mode key was used";
    let server = TestServer::start([missing(message), missing(message)]).await;
    let transport = server.transport();
    retrieve_subscription(&transport, "sub_1").await.expect_err("not none");
    list_subscriptions(&transport, "cus_1").await.expect_err("not empty");
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let page = |ids: [&str; 2], has_more| {
        let data: Vec<_> = ids.into_iter().map(subscription).collect();
        says(200, json!({ "object": "list", "data": data, "has_more": has_more }))
    };
    let server = TestServer::start([page(["sub_4", "sub_3"], true), page(["sub_2", "sub_1"], false)]).await;
    let found = list_subscriptions(&server.transport(), "cus_1").await.expect("both pages");
    let ids: Vec<_> = found.iter().map(|subscription| subscription.id.as_str()).collect();
    assert_eq!(ids, ["sub_4", "sub_3", "sub_2", "sub_1"]);
    let targets: Vec<_> = server.received().into_iter().map(|request| request.target).collect();
    let first = "/v1/subscriptions?customer=cus_1&expand[0]=data.customer&limit=100";
    assert_eq!(targets, [format!("{first}&status=all"), format!("{first}&starting_after=sub_3&status=all")]);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_list_is_not_a_short_list() {
    let first = json!({ "data": [subscription("sub_1")], "has_more": true });
    let server = TestServer::start([says(200, first), says(500, "")]).await;
    list_subscriptions(&server.transport(), "cus_1").await.expect_err("half a list");
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_an_error_not_an_empty_list() {
    for body in ["{}", "[]", "<html>", r#"{"data":[{}]}"#] {
        let server = TestServer::start([says(200, body)]).await;
        let error = list_subscriptions(&server.transport(), "cus_1").await.expect_err(body);
        assert!(matches!(error, CallError::Unreadable { .. }), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn an_id_with_a_slash_reaches_no_other_endpoint() {
    let server = TestServer::start([]).await;
    let transport = server.transport();
    for id in ["", "../customers/cus_1", "sub_1?expand=x"] {
        let error = retrieve_subscription(&transport, id).await.expect_err(id);
        assert!(matches!(error, CallError::Unsendable { .. }), "{id}: {error:?}");
    }
    assert!(server.received().is_empty());
}
