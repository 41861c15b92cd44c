//! What the configuration changes in the headers of requests and answers.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Behaviour, World};

const RULES: &str = r#"
    routes = [
        { path = "/signals", cost = 1 },
        { path = "/export/{format}", cost = 3, headers = { request = { set = { x-who = "own", x-fixed = "c" } } } },
        { path = "/free", cost = 0, keep_method_override = true },
        { path = "/health", public = true },
    ]
    [headers.request]
    remove = ["x-debug", "cookie"]
    set = { x-who = "{customer}/{tier} at {client}", x-route = "{route}", x-id = "{request_id}", x-fixed = "a b" }
    default = { accept = "text/x-own", x-language = "en" }
    [headers.response]
    remove = ["content-type"]
    set = { strict-transport-security = "max-age=31536000", x-usage-cost = "0", x-seen = "{customer}" }
    default = { cache-control = "private" }
"#;

/// Both ways through the gateway: a request that says which codings it takes is no plain one.
const WAYS: [(&str, &str); 2] = [("x-plain", "yes"), ("te", "trailers")];

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_what_the_api_hears_by_either_way() {
    let world = World::builder().config(RULES).start().await;
    let customer = world.customer("acme");
    for (name, value) in WAYS {
        let reply = customer
            .ask(Method::GET, "/signals", |r| {
                r.header(name, value)
                    .header("x-debug", "1")
                    .header("cookie", "a=b")
                    .header("x-fixed", "theirs")
            })
            .await;
        let told = reply.json()["headers"].clone();
        assert_eq!((&told["x-debug"], &told["cookie"]), (&Value::Null, &Value::Null));
        assert_eq!(told["x-who"], json!(["acme/free at 127.0.0.1"]));
        assert_eq!(told["x-route"], json!(["/signals"]));
        assert_eq!(told["x-id"], json!([reply.header("x-request-id").expect("an id")]));
        assert_eq!(told["x-fixed"], json!(["a b"]));
        assert_eq!(
            (&told["accept"], &told["x-language"]),
            (&json!(["*/*"]), &json!(["en"])),
            "reqwest accepts all"
        );
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_s_own_rules_come_behind_those_of_all() {
    let world = World::builder().config(RULES).start().await;
    let customer = world.customer("acme");
    let told = customer.get("/export/csv").await.json()["headers"].clone();
    assert_eq!((&told["x-who"], &told["x-fixed"]), (&json!(["own"]), &json!(["c"])));
    assert_eq!(told["x-route"], json!(["/export/{format}"]));
    let told =
        world.ask(Method::GET, "/health", |r| r.header("x-who", "evil")).await.json()["headers"].clone();
    assert_eq!(told["x-who"], json!(["/ at 127.0.0.1"]), "a public route knows nobody");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_answers_and_refusals_and_never_what_we_say() {
    let world = World::builder().config(RULES).start().await;
    let customer = world.customer("acme");
    for (name, value) in WAYS {
        let reply = customer.ask(Method::GET, "/signals", |r| r.header(name, value)).await;
        assert_eq!(reply.header("strict-transport-security"), Some("max-age=31536000"));
        assert_eq!((reply.header("x-seen"), reply.header("cache-control")), (Some("acme"), Some("private")));
        assert_eq!((reply.charged(), reply.header("content-type")), (1, None));
    }
    world.upstream.on("/signals", Behaviour::HangUp);
    let failed = customer.ask(Method::POST, "/signals", |request| request).await;
    assert_eq!((failed.status, failed.header("strict-transport-security")), (502, Some("max-age=31536000")));
    let refused = world.ask(Method::GET, "/signals", |request| request).await;
    assert_eq!((refused.status, refused.header("x-seen")), (401, None), "nobody is known");
    assert_eq!(refused.header("strict-transport-security"), Some("max-age=31536000"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_all_methods_may_let_an_override_pass() {
    let world = World::builder().config(RULES).start().await;
    let customer = world.customer("acme");
    for (path, passes) in [("/free", json!(["DELETE"])), ("/signals", Value::Null)] {
        let asked = customer.ask(Method::POST, path, |r| {
            r.header("x-http-method-override", "DELETE").header("x-original-url", "/export/pdf")
        });
        let told = asked.await.json()["headers"].clone();
        assert_eq!(
            (&told["x-http-method-override"], &told["x-original-url"]),
            (&passes, &Value::Null),
            "{path}"
        );
    }
    world.finish().await;
}
