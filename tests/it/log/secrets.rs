//! Whatever the log tells, and whoever asks for it: no secret is in it, whole or in parts.

use http::Method;
use serde_json::json;

use crate::fleet::redis::Redis;
use crate::harness::{ADMIN_TOKEN, Behaviour, SECRET, WEBHOOK_SECRET, World};

const STRIPE_KEY: &str = "sk_test_0nlyF0rTheseTests";
const COOKIE: &str = "c00kie-that-nobody-sees";
const QUERY: &str = "query-that-nobody-sees";
const BODY: &str = "body-that-nobody-sees";
const HEADER: &str = "header-that-nobody-sees";
const SEALING: &str = "sealing-key-of-more-than-32-bytes-0123";
const REDIS: &str = "redis-passw0rd-of-tests";

/// A token, and each part of it that could be used or looked into.
fn parts(token: &str) -> Vec<String> {
    let parts = token.split('.').filter(|part| part.len() > 10).map(str::to_owned);
    parts.chain([token.to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_told_at_any_level() {
    let redis = Redis::start().await;
    redis.add_user().await;
    let () = redis.ask(&["ACL", "SETUSER", "tollgate", &format!(">{REDIS}")]).await;
    let config = format!(
        "[log]\nlevel = \"trace\"\n[stripe]\nsecret_key = \"{STRIPE_KEY}\"\n[auth.keys]\nenabled = true\n\
         [server]\nencryption_key = \"{SEALING}\"\n\
         [fleet]\nredis = \"redis://tollgate:{REDIS}@{}\"\nnode = \"a\"",
        redis.at()
    );
    let world = World::builder().config(&config).start().await;
    let (paying, _) = world.subscriber("acme", "starter").await;
    let free = world.customer("free");
    let mut secrets: Vec<String> =
        [SECRET, ADMIN_TOKEN, WEBHOOK_SECRET, STRIPE_KEY, COOKIE, QUERY, BODY, HEADER, SEALING, REDIS]
            .map(str::to_owned)
            .to_vec();
    secrets.extend(parts(&paying.token));
    secrets.extend(parts(&free.token).into_iter().skip(1));

    // On each way to the upstream, and when that fails.
    let dressed =
        |request: reqwest::RequestBuilder| request.header("cookie", COOKIE).header("x-secret", HEADER);
    let path = format!("/signals?key={QUERY}");
    assert_eq!(paying.ask(Method::GET, &path, dressed).await.charged(), 1);
    assert_eq!(paying.ask(Method::POST, &path, |request| dressed(request).body(BODY)).await.charged(), 1);
    let head = format!(
        "POST {path} HTTP/1.1\r\ncookie: {COOKIE}\r\nx-secret: {HEADER}\r\ntransfer-encoding: chunked"
    );
    let chunks = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    assert_eq!(world.wire().await.ask_with(&paying, &head, &chunks).await.charged(), 1);
    world.upstream.on("/signals", Behaviour::HangUp);
    assert_eq!(paying.ask(Method::GET, &path, dressed).await.status, 502);
    assert_eq!(world.wire().await.ask_with(&paying, &head, &chunks).await.status, 502);

    // Who is refused.
    let forged = format!("{}x", paying.token);
    let refused = world.ask(Method::GET, &path, |request| dressed(request).bearer_auth(&forged)).await;
    assert_eq!(refused.status, 401);
    assert_eq!(free.ask(Method::GET, &format!("/premium?key={QUERY}"), dressed).await.status, 403);

    // Keys, customers who buy, operators.
    let made = world.operate("/admin/keys", &json!({ "customer": "acme", "name": "a key" })).await.json();
    let key = made["key"].as_str().expect("a key").to_owned();
    let own = world.ask(Method::GET, "/free", |request| request.header("x-api-key", &key)).await;
    assert_eq!(own.status, 200);
    secrets.push(key.rsplit('_').next().expect("a secret").to_owned());
    secrets.push(key);
    let bought = |request: reqwest::RequestBuilder| {
        request.json(&json!({ "tier": "pro", "cycle": "monthly", "success_url": "https://app.example/" }))
    };
    let session = free.ask(Method::POST, "/billing/checkout", bought).await;
    assert!(session.status < 500, "{}", session.text());
    assert_eq!(
        world.admin(Method::GET, "/admin/stats", Some("an-admin-token-that-is-wrong")).await.status,
        401
    );
    secrets.push("an-admin-token-that-is-wrong".to_owned());

    // Stripe's news, good and forged.
    let event = json!({ "id": "evt_1", "object": "event", "type": "invoice.finalized", "created": 1,
        "livemode": false, "data": { "object": { "id": "in_1", "note": BODY } } });
    assert_eq!(world.deliver(&event).await.status, 200);
    assert_eq!(world.deliver_signed(event.to_string(), "t=1,v1=forged-signature-of-tests").await.status, 400);
    secrets.push("forged-signature-of-tests".to_owned());
    world.flush_all().await;

    assert_untold(&world, &secrets).await;
    world.finish().await;
}

/// The log is as chatty as it can be, and neither it nor the metrics hold one of these.
async fn assert_untold(world: &World, secrets: &[String]) {
    let log = world.gateway.log();
    let metrics = world.admin(Method::GET, "/metrics", None).await.text();
    for told in ["gateway::debug: request ", "stripe answered", "applying an event", "a lease is settled"] {
        assert!(log.contains(told), "{told} is told");
    }
    for secret in secrets {
        let line = log.lines().chain(metrics.lines()).find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "{secret}");
    }
}
