//! Whatever is wrong with a request, the operator's port says it in the same form.

use http::Method;

use crate::harness::{ADMIN_TOKEN, World};

/// One byte more than is read.
const TOO_MUCH: usize = 2 * 1024 * 1024 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_text_names_nothing() {
    let world = World::start().await;
    for (method, path) in [
        (Method::GET, "/admin/customers/%FF"),
        (Method::POST, "/admin/customers/%FF/sync"),
        (Method::GET, "/admin/keys/%FF"),
        (Method::DELETE, "/admin/keys/%FF"),
        (Method::POST, "/admin/keys/%FF/rotate"),
        (Method::POST, "/admin/notices/1/%FF/retry"),
        (Method::POST, "/admin/outbox/%FF/retry"),
        (Method::GET, "/admin/webhooks/%FF"),
        (Method::POST, "/admin/webhooks/%FF/replay"),
    ] {
        let reply = world.admin(method.clone(), path, Some(ADMIN_TOKEN)).await;
        let kind = reply.headers.get("content-type").expect("a type").to_str().expect("text");
        assert_eq!((reply.status, kind), (404, "application/problem+json"), "{method} {path}");
        assert_eq!(reply.code(), "not_found", "{method} {path}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_or_no_json_is_a_problem_everywhere() {
    let world = World::start().await;
    let client = reqwest::Client::new();
    for path in ["reconcile", "keys", "notices/retry"] {
        let post =
            || client.post(format!("http://{}/admin/{path}", world.gateway.admin)).bearer_auth(ADMIN_TOKEN);
        let json = post().header("content-type", "application/json");
        let too_large = json.body("x".repeat(TOO_MUCH)).send().await.expect("an answer");
        assert_eq!(too_large.status(), 413, "{path}");
        assert_eq!(too_large.headers()["content-type"], "application/problem+json", "{path}");
        let other = post().header("content-type", "text/plain").body("{}").send().await.expect("an answer");
        assert_eq!(other.status(), 415, "{path}");
        assert_eq!(other.headers()["content-type"], "application/problem+json", "{path}");
    }
    world.finish().await;
}
