//! Calls from pages in a browser.

use http::Method;

use super::shop;

const OTHERS: [&str; 4] =
    ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"];

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_page_may_ask_first_and_sees_failures_too() {
    let world = shop().await;
    let asks_first = async |origin: &'static str| {
        world
            .ask(Method::OPTIONS, "/billing/checkout", |request| {
                request.header("origin", origin).header("access-control-request-method", "POST")
            })
            .await
    };
    let allowed = asks_first("https://app.example").await;
    assert_eq!(allowed.status, 200, "{}", allowed.text());
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("GET, POST"));
    assert!(
        allowed.header("access-control-allow-headers").is_some_and(|names| names.contains("idempotency-key"))
    );
    for origin in OTHERS {
        let refused = asks_first(origin).await;
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (405, None), "{origin}");
    }
    let customer = world.customer("page");
    for (path, status) in [("/billing/status", 200), ("/billing/portal", 400), ("/billing/nothing", 404)] {
        let reply =
            customer.ask(Method::GET, path, |request| request.header("origin", "https://app.example")).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"), "{path}");
        assert_eq!(reply.header("vary"), Some("origin"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(reply.header("access-control-allow-credentials"), None, "{path}");
        let other = customer.ask(Method::GET, path, |request| request.header("origin", OTHERS[0])).await;
        assert_eq!((other.status, other.header("access-control-allow-origin")), (status, None), "{path}");
    }
    let without_token = world
        .ask(Method::GET, "/billing/status", |request| request.header("origin", "https://app.example"))
        .await;
    assert_eq!(without_token.status, 401);
    assert_eq!(without_token.header("access-control-allow-origin"), Some("https://app.example"));
    world.finish().await;
}
