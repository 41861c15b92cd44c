//! Exchanges that are open while the configuration changes, and what is told of them.

use std::fs;
use std::path::Path;

use http::Method;
use serde_json::Value;

use super::routes;
use crate::harness::{Behaviour, PATIENCE, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_ends_as_it_began() {
    let measured = |size: &str, hold: u32| {
        routes(&format!(
            r#"{{ path = "/sized", cost = {{ api_calls = {{ response_bytes = "{size}", hold = {hold} }} }} }}"#
        ))
    };
    let world = World::builder().config(&measured("1KiB", 5)).start().await;
    world.upstream.on("/sized", Behaviour::Paused(1_024, 9 * 1_024));
    let customer = world.customer("acme");
    let mut wire = world.wire().await;
    let head = wire.ask_for_head(&customer, "GET /sized HTTP/1.1").await;
    assert_eq!(head.header("x-usage-cost"), Some("api_calls=5;held"));
    // Another price, other limits, and then no such route at all.
    world.reconfigure(&measured("2KiB", 7)).await;
    world.reconfigure(&format!("{}[tiers.free.included]\napi_calls = 200", routes(""))).await;
    assert_eq!(customer.get("/sized").await.status, 404);
    assert_eq!(customer.used().await, 5, "what was held");
    world.upstream.release();
    customer.owes("api_calls=10");
    customer.until_used(10).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_header_rules_follow_the_file() {
    let world = World::start().await;
    let page = "https://page.test";
    let preflight = async || {
        world
            .ask(Method::OPTIONS, "/signals", |request| {
                request.header("origin", page).header("access-control-request-method", "GET")
            })
            .await
    };
    let allowed = "access-control-allow-origin";
    assert_eq!(preflight().await.header(allowed), None);
    world
        .reconfigure(
            "[cors]\norigins = [\"https://page.test\"]\n[headers.request]\nset = { \"x-tier\" = \"{tier}\" }",
        )
        .await;
    let reply = preflight().await;
    assert_eq!((reply.status, reply.header(allowed)), (204, Some(page)));
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.json()["headers"]["x-tier"][0], "free");
    // New routes stand before those that were there.
    let new = ["0", "1", "2", "3", "4"]
        .map(|at| format!(r#"{{ path = "/new/{at}", cost = 0, cors = false }},"#))
        .concat();
    world.reconfigure(&format!("routes = [{new} {{ path = \"/signals\", cost = 1 }}]")).await;
    assert_eq!(preflight().await.header(allowed), Some(page));
    let without = async |path: &str| customer.ask(Method::GET, path, |r| r.header("origin", page)).await;
    assert_eq!(without("/new/3").await.header(allowed), None);
    assert_eq!(without("/signals").await.header(allowed), Some(page));
    world.finish().await;
}

/// The routes that lines of an access log name.
fn told(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| line["route"].as_str().expect("a route").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_told_of_where_the_file_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = ["first.log", "second.log"].map(|name| folder.path().join(name));
    let log = |path: &Path| format!("[access_log]\npath = \"{}\"\n", path.display());
    let world = World::start().await;
    let customer = world.customer("acme");
    let until_told = async |path: &Path, routes: &[&str]| {
        until(&format!("{routes:?} are told of"), PATIENCE, async || (told(path) == routes).then_some(()))
            .await;
    };
    customer.get("/free").await;
    world.reconfigure(&log(&first)).await;
    customer.get("/signals").await;
    until_told(&first, &["/signals"]).await;
    world.reconfigure(&log(&second)).await;
    customer.get("/export/csv").await;
    until_told(&second, &["/export/csv"]).await;
    world.configure("[access_log]\npath = \"/no/such/folder/log\"");
    assert_eq!(world.reload().await.status, 422);
    customer.get("/signals").await;
    until_told(&second, &["/export/csv", "/signals"]).await;
    assert_eq!(told(&first), ["/signals"]);
    world.finish().await;
}
