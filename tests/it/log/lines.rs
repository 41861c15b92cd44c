//! The access log: one line of JSON for each request.

use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Behaviour, PATIENCE, World, until};

/// A world, its log, and the folder that it lies in.
async fn world(settings: &str) -> (World, PathBuf, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("access.log");
    let access = format!(
        "[access_log]\npath = \"{}\"\n{settings}\n[cors]\norigins = [\"https://a.test\"]",
        path.display()
    );
    (World::builder().config(&access).start().await, path, folder)
}

/// Waits until so many lines are there; fails where there are more.
async fn lines(path: &Path, number: usize) -> Vec<Value> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    let whole = || read().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
    let lines = until(&format!("{number} lines in the log"), PATIENCE, async || {
        Some(whole()).filter(|lines| lines.len() >= number)
    })
    .await;
    assert_eq!(lines.len(), number, "{lines:#?}");
    lines
}

/// Route, method, status, reason and charged units.
fn told(line: &Value) -> (&str, &str, Option<u64>, Option<&str>, Option<u64>) {
    let text = |key: &str| line[key].as_str();
    (
        text("route").expect("a route"),
        text("method").expect("a method"),
        line["status"].as_u64(),
        text("reason"),
        line["units"]["api_calls"].as_u64(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_out_leaves_one_line() {
    let (world, path, _folder) = world("").await;
    let customer = world.customer("acme");
    let secret = "/signals/history/hush?token=hush";
    let charged = customer.get(secret).await;
    customer.ask(Method::GET, "/free", |request| request.header("te", "trailers")).await;
    customer.ask(Method::DELETE, "/signals", |request| request).await;
    world.ask(Method::GET, "/signals", |request| request.bearer_auth("hush")).await;
    customer.get("/nowhere").await;
    customer.get("/premium").await;
    world.upstream.on("/export/pdf", Behaviour::HangUp);
    customer.ask(Method::POST, "/export/pdf", |request| request.body("body")).await;
    world.upstream.on("/export/csv", Behaviour::CutMidBody);
    assert!(customer.try_get("/export/csv").await.is_err());
    let asks = |request: reqwest::RequestBuilder| {
        request.header("origin", "https://a.test").header("access-control-request-method", "GET")
    };
    world.ask(Method::OPTIONS, "/signals", asks).await;
    customer.get("/pricing").await;
    let mut wire = world.wire().await;
    wire.send("no request\r\n\r\n").await;
    assert_eq!(wire.read("GET").await.map(|reply| reply.status), Some(400));

    let lines = lines(&path, 11).await;
    let expected = [
        ("/signals/history/{symbol}", "GET", Some(200), None, Some(2)),
        ("/free", "GET", Some(200), None, None),
        ("none", "DELETE", Some(405), Some("method_not_allowed"), None),
        ("/signals", "GET", Some(401), Some("token_invalid"), None),
        ("none", "GET", Some(404), Some("route_not_found"), None),
        ("/premium", "GET", Some(403), Some("feature_not_included"), None),
        ("/export/pdf", "POST", Some(502), Some("upstream_failed"), None),
        ("/export/csv", "GET", Some(200), None, None),
        ("/signals", "OPTIONS", Some(204), None, None),
        ("none", "GET", Some(200), None, None),
        ("none", "none", Some(400), Some("bad_request"), None),
    ];
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(lines[0]["request_id"], json!(charged.header("x-request-id").expect("an id")));
    assert_eq!((&lines[0]["protocol"], &lines[0]["tier"]), (&json!("HTTP/1.1"), &json!("free")));
    assert_eq!((&lines[0]["attempts"], &lines[6]["bytes_in"]), (&json!(1), &json!(4)));
    assert_eq!(lines[0]["bytes_out"], json!(charged.body.len()));
    for time in ["duration_ms", "upstream_ms", "gateway_ms"] {
        assert!(lines[0][time].is_number(), "{time}");
    }
    assert!(lines[7]["error"].is_string(), "the answer broke off");
    let all = fs::read_to_string(&path).expect("a log");
    assert!(!["hush", "acme", "127.0.0.1", &customer.token].iter().any(|said| all.contains(*said)), "{all}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measured_request_is_told_with_what_it_came_to() {
    let cost = "cost = { api_calls = { response_bytes = \"1KiB\", hold = 5 } }";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("access.log");
    let config =
        format!("routes = [{{ path = \"/sized\", {cost} }}]\naccess_log.path = \"{}\"", path.display());
    let world = World::builder().config(&config).start().await;
    let customer = world.customer("acme");
    world.upstream.on("/sized", Behaviour::Large(3 * 1024));
    let reply = customer.get("/sized").await;
    assert_eq!((reply.status, reply.header("x-usage-cost")), (200, Some("api_calls=5;held")));
    customer.owes("api_calls=3");
    let lines = lines(&path, 1).await;
    assert_eq!((told(&lines[0]).4, &lines[0]["tier"]), (Some(3), &json!("free")));
    customer.until_used(3).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_say_who_somebody_is_is_told_where_it_is_wanted() {
    let (world, path, _folder) = world("fields = [\"path\", \"client\", \"customer\", \"user_agent\"]").await;
    let customer = world.customer("acme");
    let agent = format!("a \"quoted\" one{}", "é".repeat(2_000));
    customer.ask(Method::GET, "/signals/history/a?hush", |r| r.header("user-agent", agent.as_bytes())).await;
    let line = &lines(&path, 1).await[0];
    assert_eq!(line["path"], json!("/signals/history/a"));
    assert_eq!((&line["client"], &line["customer"]), (&json!("127.0.0.1"), &json!("acme")));
    let told = line["user_agent"].as_str().expect("a text");
    assert!(agent.starts_with(told) && (1_000..=1_024).contains(&told.len()), "{told}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_whatever_the_sample() {
    let (world, path, _folder) = world("sample = 0.0\nslow = \"1h\"").await;
    let customer = world.customer("acme");
    for _ in 0..20 {
        assert_eq!(customer.get("/signals").await.status, 200);
    }
    world.upstream.on("/signals", Behaviour::Status(503));
    assert_eq!(customer.get("/signals").await.status, 503);
    assert_eq!(lines(&path, 1).await[0]["status"], json!(503));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_opened_again_at_sighup() {
    let (world, path, _folder) = world("").await;
    let customer = world.customer("acme");
    customer.get("/signals").await;
    lines(&path, 1).await;
    let moved = path.with_extension("1");
    fs::rename(&path, &moved).expect("renames");
    world.gateway.hang_up();
    // The signal takes its time: lines go to the moved file until then.
    let asked = until("a new file", PATIENCE, async || {
        customer.get("/free").await;
        path.exists().then_some(())
    });
    asked.await;
    customer.get("/export/csv").await;
    until("the line is in the new file", PATIENCE, async || {
        fs::read_to_string(&path).expect("a log").contains("/export/csv").then_some(())
    })
    .await;
    assert!(!fs::read_to_string(&moved).expect("a log").contains("/export/csv"));
    world.finish().await;
}
