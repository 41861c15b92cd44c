//! Who calls: tokens good, bad and missing.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Reply, World, token, unix_now};

async fn with_header(world: &World, authorization: &str) -> Reply {
    world.ask(Method::GET, "/signals", |request| request.header("authorization", authorization)).await
}

async fn with_claims(world: &World, claims: &Value) -> Reply {
    with_header(world, &format!("Bearer {}", token(claims))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_challenged_without_an_error() {
    let world = World::start().await;
    let missing = world.ask(Method::GET, "/signals", |request| request).await;
    let other_scheme = with_header(&world, "Basic dXNlcjpwYXNz").await;
    for reply in [missing, other_scheme] {
        assert_eq!(reply.refusal(), (401, "token_missing".to_owned()));
        let challenge = reply.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer realm=") && !challenge.contains("error"), "{challenge}");
    }
    assert_eq!(world.upstream.hits("/signals"), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_challenged_with_invalid_token() {
    let world = World::start().await;
    let good = json!({ "sub": "acme", "exp": unix_now() + 60 });
    let mut tampered = token(&good);
    let last = tampered.pop().expect("a signature");
    tampered.push(if last == 'A' { 'Q' } else { 'A' });
    let signed = token(&good);
    let claims = signed.split('.').nth(1).expect("claims").to_owned();
    let (none, huge) = (format!("eyJhbGciOiJub25lIn0.{claims}."), "x".repeat(17 * 1024));
    for token in [tampered.as_str(), none.as_str(), "garbage", "a.b.c", "", huge.as_str()] {
        let reply = with_header(&world, &format!("Bearer {token}")).await;
        assert_eq!(reply.refusal(), (401, "token_invalid".to_owned()), "{token:.40}");
        let challenge = reply.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
        assert!(token.is_empty() || !reply.text().contains(token), "the token is not told");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_do_not_say_who_and_until_when_are_refused() {
    let world = World::start().await;
    let exp = unix_now() + 60;
    for claims in [
        json!({ "sub": "acme" }),
        json!({ "exp": exp }),
        json!({ "sub": "", "exp": exp }),
        json!({ "sub": 7.5, "exp": exp }),
        json!({ "sub": "two words", "exp": exp }),
        json!({ "sub": "x".repeat(257), "exp": exp }),
        json!({ "sub": "acme", "exp": "soon" }),
        json!({ "sub": "acme", "exp": exp, "nbf": exp }),
    ] {
        let reply = with_claims(&world, &claims).await;
        assert_eq!(reply.refusal(), (401, "token_invalid".to_owned()), "{claims}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_says_so_also_after_it_was_good() {
    let world = World::builder().config("[auth.jwt]\nleeway = \"0s\"").start().await;
    let expired = with_claims(&world, &json!({ "sub": "acme", "exp": unix_now() - 60 })).await;
    assert_eq!(expired.refusal(), (401, "token_expired".to_owned()));
    assert!(expired.header("www-authenticate").is_some_and(|c| c.contains(r#"error="invalid_token""#)));

    let brief = json!({ "sub": "brief", "exp": unix_now() + 2 });
    assert_eq!(with_free(&world, &brief).await.status, 200);
    crate::harness::until("the token expires", crate::harness::PATIENCE, async || {
        let reply = with_free(&world, &brief).await;
        (reply.status == 401).then(|| assert_eq!(reply.code(), "token_expired"))
    })
    .await;
    world.finish().await;
}

async fn with_free(world: &World, claims: &Value) -> Reply {
    world.ask(Method::GET, "/free", |request| request.bearer_auth(token(claims))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemes_case_does_not_matter_and_two_headers_are_one_too_many() {
    let world = World::start().await;
    let good = token(&json!({ "sub": "acme", "exp": unix_now() + 60 }));
    for scheme in ["bearer", "BEARER", "Bearer"] {
        let authorization = format!("{scheme} {good}");
        let reply =
            world.ask(Method::GET, "/free", |request| request.header("authorization", &authorization)).await;
        assert_eq!(reply.status, 200, "{scheme}");
    }
    let twice =
        world.ask(Method::GET, "/signals", |request| request.bearer_auth(&good).bearer_auth(&good)).await;
    assert_eq!(twice.refusal(), (400, "bad_request".to_owned()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_and_audience_are_checked_where_they_are_configured() {
    let checked = "[auth.jwt]\nissuer = \"https://issuer.test\"\naudience = [\"api\", \"web\"]";
    let world = World::builder().config(checked).start().await;
    let exp = unix_now() + 60;
    for (issuer, audience, status) in [
        (json!("https://issuer.test"), json!("api"), 200),
        (json!("https://issuer.test"), json!(["other", "web"]), 200),
        (json!("https://issuer.test/"), json!("api"), 401),
        (json!("https://issuer.test"), json!("other"), 401),
        (Value::Null, json!("api"), 401),
        (json!("https://issuer.test"), Value::Null, 401),
    ] {
        let claims = json!({ "sub": "acme", "exp": exp, "iss": issuer, "aud": audience });
        assert_eq!(with_free(&world, &claims).await.status, status, "{claims}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dotted_claim_reaches_inside() {
    let world = World::builder().config("[auth.jwt]\ncustomer_claim = \"org.id\"").start().await;
    let claims = json!({ "org": { "id": "acme" }, "sub": "somebody", "exp": unix_now() + 60 });
    let reply = with_free(&world, &claims).await;
    assert_eq!(reply.json()["headers"]["x-tollgate-customer"], json!(["acme"]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_or_secret_is_ever_logged() {
    let world = World::builder().config("[log]\nlevel = \"debug\"").start().await;
    let customer = world.customer("acme");
    assert_eq!(customer.get("/signals").await.status, 200);
    let garbage = "garbage-that-must-not-be-logged";
    assert_eq!(with_header(&world, &format!("Bearer {garbage}")).await.status, 401);
    let log = world.gateway.log();
    let signature = customer.token.rsplit('.').next().expect("a signature");
    for secret in [signature, garbage, crate::harness::SECRET, crate::harness::ADMIN_TOKEN, "sk_test_x"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    world.finish().await;
}
