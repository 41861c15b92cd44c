//! Traces: what a collector hears of requests, and what the API hears of the trace.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Behaviour, Customer, World};

use super::collector::{Collector, Span};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn world(collector: &Collector, settings: &str) -> World {
    let tracing = format!(
        "[tracing]\notlp_endpoint = \"{}\"\nheaders = {{ x-key = \"hush\" }}\n{settings}",
        collector.url
    );
    World::builder().config(&tracing).start().await
}

/// What the API hears under the names of traces.
async fn told(customer: &Customer, path: &str, parent: Option<&str>) -> (Value, Value) {
    let reply = customer
        .ask(Method::GET, path, |request| {
            let request = request.header("tracestate", "vendor=1").header("baggage", "a=b");
            parent.into_iter().fold(request, |request, parent| request.header("traceparent", parent))
        })
        .await;
    let headers = &reply.json()["headers"];
    assert_eq!(headers["baggage"], json!(["a=b"]));
    (headers["traceparent"].clone(), headers["tracestate"].clone())
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charged_request_is_four_spans_of_one_trace() {
    let collector = Collector::start().await;
    let world = world(&collector, "sample = 1.0").await;
    let customer = world.customer("acme");
    let (heard, state) = told(&customer, "/signals/history/hush", None).await;
    let spans = collector.spans(4).await;
    let server = named(&spans, "GET /signals/history/{symbol}");
    let [admit, upstream, charge] = ["admit", "upstream", "charge"].map(|name| named(&spans, name));
    assert_eq!((server.parent.as_str(), server.kind, server.failed), ("", 2, false));
    assert_eq!(server.attributes["http.response.status_code"], "200");
    assert_eq!(server.attributes["http.route"], "/signals/history/{symbol}");
    for part in [admit, upstream, charge] {
        assert_eq!((&part.trace, &part.parent), (&server.trace, &server.id), "{}", part.name);
        assert!(server.start <= part.start && part.start <= part.end && part.end <= server.end, "{spans:#?}");
    }
    assert_eq!((upstream.kind, upstream.attributes["tollgate.attempts"].as_str()), (3, "1"));
    assert_eq!(heard, json!([format!("00-{}-{}-01", server.trace, upstream.id)]));
    assert_eq!(state, Value::Null, "the trace begins here");
    assert_eq!(collector.headers()[0]["x-key"], "hush");
    assert!(!format!("{spans:?}").contains("hush"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_began_elsewhere_goes_on() {
    let collector = Collector::start().await;
    let world = world(&collector, "sample = 1.0").await;
    let customer = world.customer("acme");
    let parent = format!("00-{TRACE}-b7ad6b7169203331-00");
    let (heard, state) = told(&customer, "/free", Some(&parent)).await;
    let spans = collector.spans(3).await;
    let server = named(&spans, "GET /free");
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, "b7ad6b7169203331"));
    assert_eq!(heard, json!([format!("00-{TRACE}-{}-01", named(&spans, "upstream").id)]));
    assert_eq!(state, json!(["vendor=1"]));
    let (heard, state) = told(&customer, "/free", Some("00-broken")).await;
    assert!(!heard.to_string().contains("broken"));
    assert_eq!(state, Value::Null, "what belongs to no trace is dropped");
    collector.spans(6).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_failures_are_told_as_such() {
    let collector = Collector::start().await;
    let world = world(&collector, "sample = 1.0").await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/premium").await.status, 403);
    let spans = collector.spans(2).await;
    let refused = named(&spans, "GET /premium");
    assert_eq!(
        (refused.failed, refused.attributes["tollgate.refusal"].as_str()),
        (false, "feature_not_included")
    );
    world.upstream.on("/export/csv", Behaviour::HangUp);
    assert_eq!(customer.ask(Method::POST, "/export/csv", |request| request).await.status, 502);
    let spans = collector.spans(5).await;
    assert!(named(&spans, "POST /export/csv").failed && named(&spans, "upstream").failed);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_decides_what_is_kept() {
    let asked = format!("00-{TRACE}-b7ad6b7169203331-01");
    let collector = Collector::start().await;
    let nobody_trusted = world(&collector, "sample = 0.0").await;
    let (heard, _) = told(&nobody_trusted.customer("acme"), "/free", Some(&asked)).await;
    assert!(
        heard[0]
            .as_str()
            .is_some_and(|heard| heard.starts_with(&format!("00-{TRACE}-")) && heard.ends_with("-00"))
    );
    nobody_trusted.finish().await;
    let trusting = "sample = 0.0\n[server]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let trusted = world(&collector, trusting).await;
    told(&trusted.customer("acme"), "/free", Some(&asked)).await;
    collector.spans(3).await;
    trusted.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_before_the_gateway_ends_and_a_deaf_collector_delays_nobody() {
    let collector = Collector::start().await;
    let mut world = world(&collector, "sample = 1.0").await;
    let customer = world.customer("acme");
    customer.get("/free").await;
    world.gateway.stop().await;
    collector.spans(3).await;
    world.finish().await;

    let deaf = World::builder()
        .config("[tracing]\notlp_endpoint = \"http://127.0.0.1:1\"\nsample = 1.0")
        .start()
        .await;
    let customer = deaf.customer("acme");
    customer.get("/free").await;
    let dropped = async || deaf.metric("tollgate_spans_dropped_total").await.filter(|dropped| *dropped == 3);
    crate::harness::until("the spans are counted as dropped", crate::harness::PATIENCE, dropped).await;
    assert_eq!(customer.get("/signals").await.status, 200);
    deaf.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_traced_what_the_client_says_passes() {
    let world = World::start().await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let (heard, state) = told(&world.customer("acme"), "/free", Some(&parent)).await;
    assert_eq!((heard, state), (json!([parent]), json!(["vendor=1"])));
    world.finish().await;
}
