//! Events on their way out.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use super::harness::Harness;
use crate::sandbox::webhooks::signature;
use crate::sandbox::{EventShape, Options, WebhookEndpoint};

struct Received {
    signature: String,
    body: Bytes,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("an event is JSON")
    }

    fn signed_with(&self, secret: &str) -> bool {
        let time = self.signature.strip_prefix("t=").and_then(|rest| rest.split_once(','));
        let time = time.and_then(|(time, _)| time.parse().ok()).expect("a time");
        self.signature == signature(secret, time, &self.body)
    }
}

struct Inbox {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
}

type Answers = Arc<Mutex<(Vec<u16>, mpsc::UnboundedSender<Received>)>>;

impl Inbox {
    /// Answers with the given statuses in turn, then with 200.
    async fn start(mut statuses: Vec<u16>) -> Self {
        statuses.reverse();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (sender, received) = mpsc::unbounded_channel();
        let answers: Answers = Arc::new(Mutex::new((statuses, sender)));
        let app = Router::new().route("/hook", post(receive)).with_state(answers);
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, received }
    }

    async fn next(&mut self) -> Received {
        self.received.recv().await.expect("the inbox runs")
    }
}

async fn receive(State(answers): State<Answers>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut answers = answers.lock().await;
    let signature = headers["stripe-signature"].to_str().expect("ASCII").to_owned();
    let _ = answers.1.send(Received { signature, body });
    let status = answers.0.pop().unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}

async fn notified(inbox: &Inbox, event_shape: EventShape) -> Harness {
    let endpoint = WebhookEndpoint { url: inbox.url.clone(), secret: "whsec_static".to_owned() };
    let options = Options { webhooks: vec![endpoint], event_shape, ..Options::default() };
    Harness::with(options).await
}

#[tokio::test]
async fn an_event_is_signed_and_tried_again_until_it_is_accepted() {
    let mut inbox = Inbox::start(vec![500, 503]).await;
    let harness = notified(&inbox, EventShape::Basil).await;
    let customer = harness.post("/v1/customers", "name=A").await.id();
    let tries = [inbox.next().await, inbox.next().await, inbox.next().await];
    for one in &tries {
        assert!(one.signed_with("whsec_static"));
        assert_eq!(one.body, tries[0].body, "every try carries the same event");
    }
    assert_eq!(tries[0].json()["type"], "customer.created");
    assert_eq!(tries[0].json()["data"]["object"]["id"], customer.as_str());
}

#[tokio::test]
async fn an_event_resent_keeps_its_id() {
    let mut inbox = Inbox::start(Vec::new()).await;
    let harness = notified(&inbox, EventShape::Basil).await;
    harness.post("/v1/customers", "").await;
    let first = inbox.next().await.json();
    harness.post(&format!("/_sandbox/events/{}/resend", first["id"].as_str().expect("there")), "").await;
    assert_eq!(inbox.next().await.json(), first);
}

#[tokio::test]
async fn an_event_is_sent_as_if_from_live_mode_under_an_id_of_its_own() {
    let mut inbox = Inbox::start(Vec::new()).await;
    let harness = notified(&inbox, EventShape::Basil).await;
    harness.post("/v1/customers", "").await;
    let first = inbox.next().await.json();
    let hook = format!("/_sandbox/events/{}/resend", first["id"].as_str().expect("there"));
    harness.post(&hook, "livemode=true").await;
    let copy = inbox.next().await;
    assert!(copy.signed_with("whsec_static"));
    let copy = copy.json();
    assert_eq!((&copy["livemode"], &copy["data"]), (&Value::Bool(true), &first["data"]));
    assert_ne!(copy["id"], first["id"]);
}

#[tokio::test]
async fn a_registered_endpoint_gets_only_the_events_it_asked_for() {
    let mut inbox = Inbox::start(Vec::new()).await;
    let harness = Harness::start().await;
    let form = format!("url={}&enabled_events[]=customer.updated", inbox.url);
    let endpoint = harness.post("/v1/webhook_endpoints", &form).await;
    let customer = harness.post("/v1/customers", "name=A").await.id();
    harness.post(&format!("/v1/customers/{customer}"), "name=B").await;
    let event = inbox.next().await;
    assert!(event.signed_with(endpoint.json["secret"].as_str().expect("there")));
    assert_eq!(event.json()["type"], "customer.updated");
    assert_eq!(event.json()["data"]["previous_attributes"]["name"], "A");
    let listed = harness.get("/v1/webhook_endpoints").await.json;
    assert_eq!(listed["data"][0].get("secret"), None);
    assert_eq!(
        harness.delete(&format!("/v1/webhook_endpoints/{}", endpoint.id())).await.json["deleted"],
        true
    );
}

#[tokio::test]
async fn an_old_endpoint_sees_the_period_on_the_subscription() {
    let mut inbox = Inbox::start(Vec::new()).await;
    let harness = notified(&inbox, EventShape::PreBasil).await;
    harness.seed_pro();
    let pro = harness.sandbox.create_subscribed_customer("pro", None).expect("there");
    let subscription = loop {
        let event = inbox.next().await.json();
        if event["type"] == "customer.subscription.created" {
            break event["data"]["object"].clone();
        }
    };
    assert!(subscription["current_period_end"].is_i64());
    assert_eq!(subscription["items"]["data"][0].get("current_period_end"), None);
    let today = harness.get(&format!("/v1/subscriptions/{}", pro.subscription)).await.json;
    assert_eq!(today["items"]["data"][0]["current_period_end"], subscription["current_period_end"]);
}

#[tokio::test]
async fn events_are_listed_by_type_and_time() {
    let harness = Harness::start().await;
    harness.post("/v1/customers", "name=A").await;
    let customer = harness.post("/v1/customers", "name=B").await.id();
    harness.delete(&format!("/v1/customers/{customer}")).await;
    let kinds = |query: &str| format!("/v1/events?{query}");
    let created = harness.get(&kinds("types[]=customer.created")).await.json;
    assert_eq!(created["data"].as_array().map(Vec::len), Some(2));
    let first = harness.get(&kinds("limit=1")).await.json;
    assert_eq!(
        (first["data"][0]["type"].as_str(), &first["has_more"]),
        (Some("customer.deleted"), &Value::Bool(true))
    );
    let since = harness.get(&kinds("created[gte]=99999999999")).await.json;
    assert_eq!(since["data"].as_array().map(Vec::len), Some(0));
}
