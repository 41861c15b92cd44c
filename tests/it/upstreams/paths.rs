//! What servers see of a request: its path and its Host.

use crate::harness::{Customer, World};

use super::upstreams;

const ROUTES: &str = r#"routes = [
    { path = "/v1/signals/{symbol}", cost = 1, strip_prefix = "/v1" },
    { path = "/v1/export/{*rest}", cost = 3, rewrite = "/inner/{*rest}", host = "export.internal" },
    { path = "/v1/export/pdf", cost = 5, rewrite = "/pdf" },
    { path = "/files/{name}", cost = 2, encoded_slashes = true },
    { path = "/plain/{name}", cost = 2 },
]"#;

/// Path and query, Host and cost, by the short way and by pingora's.
async fn seen(customer: &Customer, path: &str) -> (String, String, u64) {
    let mut all = Vec::new();
    for plain in [true, false] {
        let reply = super::get(customer, path, plain).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let told = reply.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let query = told["query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
        all.push((text(&told["path"]) + &query, text(&told["headers"]["host"][0]), reply.charged()));
    }
    assert_eq!(all[0], all[1], "either way");
    all.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_see_another_path_and_the_price_is_that_of_the_clients() {
    let world = World::builder().config(ROUTES).start().await;
    let customer = world.customer("acme");
    let host = world.gateway.public.to_string();
    let own = |path: &str, cost| (path.to_owned(), host.clone(), cost);
    assert_eq!(seen(&customer, "/v1/signals/AAPL?a=/v1/b").await, own("/signals/AAPL?a=/v1/b", 1));
    assert_eq!(seen(&customer, "/v1/./x/../signals/%41%2e/").await, own("/signals/A./", 1));
    let (path, host, cost) = seen(&customer, "/v1/export/a/b?c").await;
    assert_eq!((&*path, &*host, cost), ("/inner/a/b?c", "export.internal", 3));
    assert_eq!(seen(&customer, "/v1/export/x/../pdf").await, own("/pdf", 5), "the dearer route");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_slash_passes_where_its_route_says_so() {
    let world = World::builder().config(ROUTES).start().await;
    let customer = world.customer("acme");
    let host = world.gateway.public.to_string();
    assert_eq!(seen(&customer, "/files/a%2fb").await, ("/files/a%2Fb".to_owned(), host, 2));
    for refused in ["/plain/a%2Fb", "/files/a%2F..", "/files/a%5Cb", "/none/a%2Fb", "/billing%2Fusage"] {
        let reply = customer.get(refused).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"), "{refused}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_a_servers_url_stands_before_every_path() {
    let server = crate::harness::Upstream::start().await;
    let base = format!("http://{}/base/v2", server.address);
    let config = upstreams(&[], "host = \"server\"\nhealth_check = { path = \"/up\", interval = \"100ms\" }");
    let config = config.replace("servers = []", &format!("servers = [\"{base}\"]"));
    let world = World::builder().config(&config).config(ROUTES).start().await;
    let customer = world.customer("acme");
    let host = server.address.to_string();
    let seen_at = |path: &str, cost| (path.to_owned(), host.clone(), cost);
    assert_eq!(seen(&customer, "/plain/a?b").await, seen_at("/base/v2/plain/a?b", 2));
    assert_eq!(seen(&customer, "/v1/signals/A/").await, seen_at("/base/v2/signals/A/", 1));
    server.arrived("/base/v2/up", 1).await;
    world.finish().await;
}
