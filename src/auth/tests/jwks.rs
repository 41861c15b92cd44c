//! Keys fetched from an issuer: unknown ids, cool-down, rotation, absence.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::fixtures::*;
use super::issuer::{Issuer, document, eventually};
use crate::auth::{AuthError, Authenticator, Reason};

const COOLDOWN: i64 = 30;

async fn refusal(authenticator: &Authenticator, token: &str, now: i64) -> Option<AuthError> {
    authenticator.verify(token, now).await.err()
}

#[tokio::test]
async fn published_keys_verify_by_their_id() {
    let issuer = Issuer::with_keys(&[jwk("rsa"), jwk("p256"), jwk("p384"), jwk("ed25519")]).await;
    let authenticator = following(&issuer.url, |_| ());
    for name in ["RS256 kid=rsa", "PS256 kid=rsa", "ES256 kid=p256", "ES384 kid=p384", "EdDSA kid=ed25519"] {
        let identity = authenticator.verify(&token(name), NOW).await.unwrap();
        assert_eq!(&*identity.customer, "acme", "{name}");
    }
    let wrong_type = refusal(&authenticator, &token("ES256 kid=rsa"), NOW).await;
    assert_eq!(wrong_type, Some(Reason::UnknownKey.into()));
    assert_eq!(issuer.fetches(), 1, "keys that are known need no fetch");
}

#[tokio::test]
async fn an_unknown_id_refetches_at_once_and_then_once_per_cooldown() {
    let issuer = Issuer::with_keys(&[jwk("rsa")]).await;
    let authenticator = following(&issuer.url, |_| ());
    authenticator.verify(&token("RS256 kid=rsa"), NOW).await.unwrap();

    issuer.publish(&[jwk("rsa"), jwk("rsa_next")]);
    authenticator.verify(&token("RS256 kid=rsa_next"), NOW).await.unwrap();
    assert_eq!(issuer.fetches(), 2);

    let unknown = token("ES256 kid=p256");
    for (now, fetches) in [(NOW, 2), (NOW + COOLDOWN - 1, 2), (NOW + COOLDOWN, 3)] {
        let refused = refusal(&authenticator, &unknown, now).await;
        assert_eq!(refused, Some(Reason::UnknownKey.into()));
        assert_eq!(issuer.fetches(), fetches, "at {now}");
    }
}

#[tokio::test]
async fn a_failed_refetch_cools_down_too_and_known_keys_go_on() {
    let issuer = Issuer::with_keys(&[jwk("rsa")]).await;
    let authenticator = following(&issuer.url, |_| ());
    let known = token("RS256 kid=rsa");
    authenticator.verify(&known, NOW).await.unwrap();

    issuer.answer(StatusCode::INTERNAL_SERVER_ERROR, String::new());
    for _ in 0..3 {
        let refused = refusal(&authenticator, &token("ES256 kid=p256"), NOW).await;
        assert_eq!(refused, Some(Reason::UnknownKey.into()));
    }
    assert_eq!(issuer.fetches(), 2);
    let a_day_later = NOW + 24 * 60 * 60;
    authenticator.verify(&known, a_day_later).await.unwrap();
}

#[tokio::test]
async fn callers_with_unknown_ids_share_one_fetch() {
    let issuer = Issuer::with_keys(&[jwk("ed25519")]).await;
    let authenticator = following(&issuer.url, |_| ());
    let known = token("EdDSA kid=ed25519");
    authenticator.verify(&known, NOW).await.unwrap();

    issuer.hold_answers();
    issuer.publish(&[jwk("rsa"), jwk("p256")]);
    let callers: Vec<_> = (0..20)
        .map(|number| {
            let authenticator = authenticator.clone();
            let name = ["RS256 kid=rsa", "ES256 kid=p256"][number % 2];
            tokio::spawn(async move { authenticator.verify(&token(name), NOW).await })
        })
        .collect();
    eventually(async || issuer.fetches() == 2).await;
    issuer.release();
    for caller in callers {
        assert!(caller.await.unwrap().is_ok());
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn without_keys_it_is_unavailable_until_the_issuer_is_there() {
    let issuer = Issuer::with_keys(&[]).await;
    issuer.answer(StatusCode::SERVICE_UNAVAILABLE, document(&[jwk("rsa")]));
    let authenticator = following(&issuer.url, |_| ());
    let known = token("RS256 kid=rsa");
    let refused = refusal(&authenticator, &known, NOW).await;
    assert_eq!(refused, Some(AuthError::Unavailable));
    issuer.more_fetches(1).await;
    issuer.publish(&[jwk("rsa")]);
    eventually(async || authenticator.verify(&known, NOW).await.is_ok()).await;
}

#[tokio::test]
async fn an_unusable_answer_is_no_answer() {
    let redirect = (StatusCode::FOUND, document(&[jwk("rsa")]));
    let padding = " ".repeat(1024 * 1024);
    let large = (StatusCode::OK, document(&[jwk("rsa")]) + &padding);
    let page = (StatusCode::OK, "<html>".to_owned());
    for (status, body) in [redirect, large, page] {
        let issuer = Issuer::with_keys(&[]).await;
        issuer.answer(status, body);
        let authenticator = following(&issuer.url, |_| ());
        let refused = refusal(&authenticator, &token("RS256 kid=rsa"), NOW).await;
        assert_eq!(refused, Some(AuthError::Unavailable), "{status}");
    }
}

#[tokio::test]
async fn rotation_forgets_the_tokens_of_the_old_key_only() {
    let issuer = Issuer::with_keys(&[jwk("rsa"), jwk("ed25519")]).await;
    let authenticator = following(&issuer.url, |settings| {
        settings.jwks_refresh = Duration::from_millis(20);
    });
    let (old, kept) = (token("RS256 kid=rsa"), token("EdDSA kid=ed25519"));
    authenticator.verify(&old, NOW).await.unwrap();
    authenticator.verify(&kept, NOW).await.unwrap();
    issuer.more_fetches(2).await;
    assert!(authenticator.remembered(&old, NOW).is_some(), "fetched again, still there");

    issuer.publish(&[jwk("rsa_next"), jwk("ed25519")]);
    eventually(async || authenticator.remembered(&old, NOW).is_none()).await;
    assert!(authenticator.remembered(&kept, NOW).is_some());
    let refused = refusal(&authenticator, &old, NOW).await;
    assert_eq!(refused, Some(Reason::UnknownKey.into()));
}

#[tokio::test]
async fn another_key_under_the_same_id_replaces_it() {
    let issuer = Issuer::with_keys(&[jwk("rsa")]).await;
    let authenticator = following(&issuer.url, |settings| {
        settings.jwks_refresh = Duration::from_millis(20);
    });
    let old = token("RS256 kid=rsa");
    authenticator.verify(&old, NOW).await.unwrap();
    issuer.publish(&[jwk_with("rsa_next", &json!({"kid": "rsa"}))]);
    eventually(async || authenticator.remembered(&old, NOW).is_none()).await;
    let refused = refusal(&authenticator, &old, NOW).await;
    assert_eq!(refused, Some(Reason::Signature.into()));
}

#[tokio::test]
async fn a_token_without_an_id_needs_exactly_one_fitting_key() {
    let no_id = token("RS256");
    for (keys, expected) in [
        (vec![jwk("rsa"), jwk("p256")], None),
        (vec![jwk("rsa"), jwk("rsa_next")], Some(Reason::UnknownKey.into())),
        (vec![jwk("p256")], Some(Reason::UnknownKey.into())),
        (vec![jwk("rsa_next")], Some(Reason::Signature.into())),
    ] {
        let issuer = Issuer::with_keys(&keys).await;
        let authenticator = following(&issuer.url, |_| ());
        assert_eq!(refusal(&authenticator, &no_id, NOW).await, expected);
    }
}

#[tokio::test]
async fn keys_for_other_purposes_are_skipped_and_spoil_nothing() {
    let skipped = [
        jwk_with("rsa", &json!({"use": "enc"})),
        jwk_with("rsa", &json!({"key_ops": ["encrypt"]})),
        jwk_with("rsa", &json!({"alg": "RS512"})),
        jwk_with("rsa", &json!({"alg": "RSA-OAEP"})),
        jwk_with("rsa", &json!({"kid": 7})),
        jwk_with("rsa", &json!({"n": "!"})),
        jwk("rsa_1024"),
        jwk("p521"),
        jwk_with("p256", &json!({"x": "AAAA"})),
        json!({"kty": "oct", "kid": "rsa", "alg": "RS256", "k": "c2VjcmV0"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AAAA"}),
        json!("not a key"),
        Value::Null,
    ];
    for odd in skipped {
        let issuer = Issuer::with_keys(&[odd.clone(), jwk("ed25519")]).await;
        let authenticator = following(&issuer.url, |_| ());
        authenticator.verify(&token("EdDSA kid=ed25519"), NOW).await.unwrap();
        let refused = refusal(&authenticator, &token("RS256 kid=rsa"), NOW).await;
        assert_eq!(refused, Some(Reason::UnknownKey.into()), "{odd}");
    }
}

#[tokio::test]
async fn the_refresh_ends_with_its_authenticator() {
    let issuer = Issuer::with_keys(&[jwk("rsa")]).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let authenticator = following(&issuer.url, |_| ());
    authenticator.verify(&token("RS256 kid=rsa"), NOW).await.unwrap();
    drop(authenticator);
    // Its connection to the issuer ends too, on both sides.
    eventually(async || tasks() <= before).await;
}
