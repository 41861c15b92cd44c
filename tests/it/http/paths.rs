//! Every spelling of a path is one path, at one price.

use http::Method;

use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_path_is_priced_and_forwarded_alike() {
    let world = World::start().await;
    let customer = world.customer("speller");
    let mut wire = world.wire().await;
    for (spelling, cost, forwarded) in [
        ("/signals", 1, "/signals"),
        ("//signals", 1, "/signals"),
        ("/signals/", 1, "/signals/"),
        ("/./signals", 1, "/signals"),
        ("/x/../signals", 1, "/signals"),
        ("/x/%2e%2e/signals", 1, "/signals"),
        ("/%73ignals", 1, "/signals"),
        ("http://api.test/signals", 1, "/signals"),
        ("/signals?depth=2&depth=%2F", 1, "/signals"),
        ("/signals/../export/pdf", 5, "/export/pdf"),
        ("/export//pdf", 5, "/export/pdf"),
        ("/export/%70df", 5, "/export/pdf"),
        ("/free/%2E%2E/export/pdf", 5, "/export/pdf"),
        ("/health/../export/pdf", 5, "/export/pdf"),
        ("/signals/history/a%20b", 2, "/signals/history/a%20b"),
        ("/signals/history/%c3%a9;v=1", 2, "/signals/history/%C3%A9;v=1"),
    ] {
        let reply = wire.ask(&customer, &format!("GET {spelling} HTTP/1.1")).await;
        assert_eq!((reply.status, reply.charged()), (200, cost), "{spelling}: {}", reply.text());
        assert_eq!(reply.json()["path"], forwarded, "{spelling}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_forwarded_as_it_was_sent() {
    let world = World::start().await;
    let customer = world.customer("asker");
    let mut wire = world.wire().await;
    for target in ["/signals?a=1&a=%2F..%2f&b", "//signals?a=1&a=%2F..%2f&b"] {
        let reply = wire.ask(&customer, &format!("GET {target} HTTP/1.1")).await;
        assert_eq!(reply.json()["query"], "a=1&a=%2F..%2f&b", "{target}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_could_be_read_in_two_ways_are_refused() {
    let world = World::start().await;
    let customer = world.customer("trickster");
    let mut wire = world.wire().await;
    for path in [
        "/export%2fpdf",
        "/export%2Fpdf",
        "/signals%5c..%5cexport",
        "/signals%00",
        "/signals%zz",
        "/signals%2",
    ] {
        let reply = wire.ask(&customer, &format!("GET {path} HTTP/1.1")).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{path}");
    }
    assert_eq!(wire.ask(&customer, "GET /signals HTTP/1.1").await.status, 200, "on the same connection");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matches_no_route_is_404_before_any_token_is_looked_at() {
    let world = World::start().await;
    let customer = world.customer("lost");
    for path in [
        "/",
        "/signal",
        "/Signals",
        "/signals/history",
        "/signals/history/a/b",
        "/export/xls",
        "/admin/outbox/flush",
    ] {
        assert_eq!(customer.get(path).await.refusal(), (404, "route_not_found".to_owned()), "{path}");
        let bad = world.ask(Method::GET, path, |request| request.bearer_auth("garbage")).await;
        assert_eq!(bad.refusal(), (404, "route_not_found".to_owned()), "{path}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmatched_path_goes_to_the_default_route_where_there_is_one() {
    let default = "[routes_default]\ncost = 4";
    let world = World::builder().config(default).start().await;
    let customer = world.customer("wanderer");
    assert_eq!(customer.get("/anything/at/all").await.charged(), 4);
    assert_eq!(customer.get("/signals").await.charged(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_405_with_those_that_are_allowed() {
    let world = World::start().await;
    let customer = world.customer("deleter");
    let reply = customer.ask(Method::DELETE, "/signals", |request| request).await;
    assert_eq!(reply.refusal(), (405, "method_not_allowed".to_owned()));
    let mut allowed: Vec<&str> = reply.header("allow").expect("allow").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert_eq!(world.upstream.hits("/signals"), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_allowed_where_get_is_and_costs_the_same() {
    let world = World::start().await;
    let customer = world.customer("header");
    let mut wire = world.wire().await;
    let reply = wire.ask(&customer, "HEAD /signals HTTP/1.1").await;
    assert_eq!((reply.status, reply.charged()), (200, 1));
    // No body followed: the next answer begins at once.
    assert_eq!(wire.ask(&customer, "GET /signals HTTP/1.1").await.json()["method"], "GET");
    let refused = wire.ask(&customer, "HEAD /nowhere HTTP/1.1").await;
    assert_eq!((refused.status, refused.body.len()), (404, 0));
    assert_eq!(wire.ask(&customer, "GET /signals HTTP/1.1").await.status, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_needs_no_token_and_costs_nothing_and_a_plain_options_does() {
    let world = World::start().await;
    let preflight = world
        .ask(Method::OPTIONS, "/export/pdf", |request| {
            request.header("origin", "https://app.test").header("access-control-request-method", "GET")
        })
        .await;
    assert_eq!((preflight.status, preflight.charged()), (200, 0));
    assert_eq!(world.upstream.hits("/export/pdf"), 1, "the API answers preflights");
    let plain = world.ask(Method::OPTIONS, "/export/pdf", |request| request).await;
    assert_eq!(plain.refusal(), (401, "token_missing".to_owned()));
    let customer = world.customer("browser");
    assert_eq!(customer.ask(Method::OPTIONS, "/export/pdf", |request| request).await.charged(), 5);
    world.finish().await;
}
