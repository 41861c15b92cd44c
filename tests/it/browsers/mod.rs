//! Pages of other origins: what browsers ask first, and what pages may read.

use http::Method;
use reqwest::RequestBuilder;

use crate::harness::{Behaviour, Reply, World};

const APP: &str = "https://app.example.com";

const CORS: &str = r#"
    routes = [
        { path = "/signals", methods = ["GET", "POST"], cost = 1 },
        { path = "/export/csv", cost = 3, cors = { origins = ["https://*.pages.example.com"], credentials = true } },
        { path = "/export/pdf", cost = 5, cors = false },
        { path = "/open", cost = 0, cors = { origins = ["*"] } },
        { path = "/premium", cost = 1, requires = ["premium"] },
    ]
    [cors]
    origins = ["https://app.example.com"]
    headers = ["content-type", "x-own"]
    expose = ["x-total"]
    max_age = "5m"
"#;

async fn world() -> World {
    World::builder().config(CORS).start().await
}

/// Asks as a browser does before a page's request.
fn preflight(origin: &str, method: &str) -> impl FnOnce(RequestBuilder) -> RequestBuilder {
    move |request| request.header("origin", origin).header("access-control-request-method", method)
}

fn allowed(reply: &Reply) -> Option<&str> {
    reply.header("access-control-allow-origin")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_here_without_token_or_upstream() {
    let world = world().await;
    let reply = world.ask(Method::OPTIONS, "/signals", preflight(APP, "POST")).await;
    assert_eq!((reply.status, reply.body.len(), reply.charged()), (204, 0, 0));
    assert_eq!(allowed(&reply), Some(APP));
    assert_eq!(reply.header("access-control-allow-methods"), Some("GET, POST"));
    assert_eq!(
        reply.header("access-control-allow-headers"),
        Some("authorization, idempotency-key, content-type, x-own")
    );
    assert_eq!(reply.header("access-control-max-age"), Some("300"));
    assert_eq!(
        reply.header("vary"),
        Some("origin, access-control-request-method, access-control-request-headers")
    );
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert_eq!(world.upstream.hits("/signals"), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_not_allowed_is_told_nothing() {
    let world = world().await;
    for origin in ["https://evil.example", "http://app.example.com", "null"] {
        let reply = world.ask(Method::OPTIONS, "/signals", preflight(origin, "GET")).await;
        assert_eq!((reply.status, allowed(&reply)), (204, None), "{origin}");
        assert_eq!(reply.header("access-control-allow-methods"), None, "{origin}");
    }
    let customer = world.customer("reader");
    let reply = customer.ask(Method::GET, "/signals", |r| r.header("origin", "https://evil.example")).await;
    assert_eq!((reply.status, allowed(&reply), reply.header("vary")), (200, None, Some("origin")));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_meets_no_limit_and_no_ledger() {
    let full = "[tiers.free]\nincluded = { api_calls = 1 }\nrate = \"1/h\"\nburst = 1";
    let world = World::builder().config(CORS).config(full).start().await;
    let customer = world.customer("spent");
    assert_eq!(customer.get("/signals").await.status, 200);
    assert_eq!(customer.get("/signals").await.status, 429);
    for _ in 0..20 {
        let asked = customer.ask(Method::OPTIONS, "/signals", preflight(APP, "GET")).await;
        assert_eq!((asked.status, allowed(&asked)), (204, Some(APP)));
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_who_may_read_it_and_refusals_do_too() {
    let mut world = world().await;
    let customer = world.customer("reader");
    let page = |request: RequestBuilder| request.header("origin", APP);
    let shown = "x-request-id, x-usage-cost, ratelimit, ratelimit-policy, retry-after, x-total";
    let mut readable = Vec::new();
    readable.push((200, customer.ask(Method::GET, "/signals", page).await));
    readable.push((401, world.ask(Method::GET, "/signals", page).await));
    readable.push((403, customer.ask(Method::GET, "/premium", page).await));
    readable.push((413, customer.ask(Method::POST, "/signals", |r| page(r).body(vec![0; 70_000])).await));
    world.upstream.on("/signals", Behaviour::HangUp);
    readable.push((502, customer.ask(Method::POST, "/signals", page).await));
    world.upstream.on("/signals", Behaviour::Status(500));
    readable.push((500, customer.ask(Method::GET, "/signals", page).await));
    world.upstream.go_away().await;
    readable.push((502, customer.ask(Method::GET, "/signals", page).await));
    for (status, reply) in readable {
        assert_eq!((reply.status, allowed(&reply)), (status, Some(APP)), "{}", reply.text());
        assert_eq!(reply.header("access-control-expose-headers"), Some(shown), "{status}");
        assert_eq!(reply.header("vary"), Some("origin"), "{status}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_told_to_the_page() {
    let world =
        World::builder().config(CORS).config("[tiers.free]\nincluded = { api_calls = 1 }").start().await;
    let customer = world.customer("spent");
    assert_eq!(customer.get("/signals").await.status, 200);
    let refused = customer.ask(Method::GET, "/signals", |r| r.header("origin", APP)).await;
    assert_eq!((refused.refusal().1.as_str(), allowed(&refused)), ("quota_exceeded", Some(APP)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_its_own_rules_or_none() {
    let world = world().await;
    let page = "https://a.pages.example.com";
    let own = world.ask(Method::OPTIONS, "/export/csv", preflight(page, "PUT")).await;
    assert_eq!((own.status, allowed(&own)), (204, Some(page)));
    assert_eq!(own.header("access-control-allow-methods"), Some("PUT"), "the route takes all");
    assert_eq!(own.header("access-control-allow-credentials"), Some("true"));
    let other = world.ask(Method::OPTIONS, "/export/csv", preflight(APP, "GET")).await;
    assert_eq!((other.status, allowed(&other)), (204, None));
    let forwarded = world.ask(Method::OPTIONS, "/export/pdf", preflight(APP, "GET")).await;
    assert_eq!((forwarded.status, world.upstream.hits("/export/pdf")), (200, 1), "the API answers");
    let customer = world.customer("reader");
    let open = customer.get("/open").await;
    assert_eq!((allowed(&open), open.header("vary")), (Some("*"), None));
    world.finish().await;
}

/// A preflight may come with a body, and another request behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_behind_a_preflight() {
    let world = world().await;
    let customer = world.customer("reader");
    let mut wire = world.wire().await;
    let asks = format!(
        "OPTIONS /signals HTTP/1.1\r\norigin: {APP}\r\naccess-control-request-method: GET\r\ncontent-length: 2"
    );
    assert_eq!(wire.ask_with(&customer, &asks, "{}").await.status, 204);
    assert_eq!(wire.ask(&customer, "GET /signals HTTP/1.1").await.charged(), 1);
    let wrong = wire.ask(&customer, "OPTIONS /signals HTTP/1.1").await;
    assert_eq!(wrong.refusal().1, "method_not_allowed", "a plain OPTIONS is no preflight");
    world.finish().await;
}
