//! `X-Forwarded-*` and `Forwarded`, from clients and from proxies that are trusted.

use serde_json::{Value, json};

use crate::harness::{Customer, World};

/// What a client may say of where it comes from.
const SAID: &str = "x-forwarded-for: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.10\r\nx-forwarded-proto: https\r\n\
                    x-forwarded-host: said.test\r\nx-forwarded-port: 1\r\nx-real-ip: 203.0.113.9\r\n\
                    true-client-ip: 203.0.113.9\r\ncf_connecting_ip: 203.0.113.9\r\nforwarded: for=203.0.113.9";

async fn world(settings: &str) -> World {
    World::builder().config(&format!("[server]\n{settings}")).start().await
}

/// What the API hears, by either way.
async fn told(world: &World, customer: &Customer) -> Value {
    let mut told = Vec::new();
    for way in ["x-plain: yes", "te: trailers"] {
        let mut wire = world.wire().await;
        let mut reply = wire.ask(customer, &format!("GET /free HTTP/1.1\r\n{way}\r\n{SAID}")).await.json();
        let headers = reply["headers"].take();
        let headers = headers.as_object().expect("headers").clone();
        let kept = headers.into_iter().filter(|(name, _)| {
            ["forwarded", "client", "real", "connecting"].iter().any(|part| name.contains(part))
        });
        told.push(kept.collect::<Value>());
    }
    assert_eq!(told[0], told[1]);
    told.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_where_it_comes_from_is_not_passed_on() {
    let element = "for=127.0.0.1;host=\"api.test\";proto=http";
    let x = json!({
        "x-forwarded-for": ["127.0.0.1"], "x-forwarded-proto": ["http"], "x-forwarded-host": ["api.test"],
    });
    let mut both = x.clone();
    both["forwarded"] = json!([element]);
    for (setting, expected) in
        [("x", x), ("standard", json!({ "forwarded": [element] })), ("both", both), ("none", json!({}))]
    {
        let world = world(&format!("forwarded = \"{setting}\"")).await;
        let customer = world.customer("acme");
        assert_eq!(told(&world, &customer).await, expected, "{setting}");
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_stays_and_its_address_is_added() {
    let world = world("forwarded = \"both\"\ntrusted_proxies = [\"127.0.0.0/8\"]").await;
    let customer = world.customer("acme");
    let told = told(&world, &customer).await;
    assert_eq!(told["x-forwarded-for"], json!(["203.0.113.9, 203.0.113.10, 127.0.0.1"]), "every line of it");
    assert_eq!(told["x-forwarded-proto"], json!(["https"]));
    assert_eq!(
        (&told["x-forwarded-host"], &told["x-forwarded-port"]),
        (&json!(["said.test"]), &json!(["1"]))
    );
    assert_eq!(told["x-real-ip"], json!(["203.0.113.9"]));
    assert_eq!(told["forwarded"], json!(["for=203.0.113.9, for=127.0.0.1;host=\"api.test\";proto=http"]));
    world.finish().await;
}
