//! What a valid token gives, and how long it is remembered.

use jsonwebtoken::Algorithm::{
    self, ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
};
use serde_json::json;

use super::fixtures::*;
use crate::auth::{AuthError, KeyError, KeySource, Reason, Settings, SetupError, sign_hs};

fn key_source(algorithm: Algorithm) -> KeySource {
    match algorithm {
        HS256 | HS384 | HS512 => KeySource::Secret(SECRET.to_vec()),
        ES256 => KeySource::PublicKeyPem(P256_PEM.to_vec()),
        ES384 => KeySource::PublicKeyPem(P384_PEM.to_vec()),
        EdDSA => KeySource::PublicKeyPem(ED25519_PEM.to_vec()),
        _ => KeySource::PublicKeyPem(RSA_PEM.to_vec()),
    }
}

#[test]
fn tokens_of_every_algorithm_are_accepted_and_damaged_ones_are_not() {
    for algorithm in [HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA] {
        let local = Local::new(key_source(algorithm), &[algorithm]);
        let token = token(&format!("{algorithm:?}"));
        let identity = local.verify(&token).unwrap();
        assert_eq!(&*identity.customer, "acme", "{algorithm:?}");

        let signature = token.rfind('.').unwrap() + 1;
        let other = if token[signature..].starts_with('A') { "B" } else { "A" };
        let damaged = format!("{}{other}{}", &token[..signature], &token[signature + 1..]);
        let refused = local.verify(&damaged).unwrap_err();
        assert_eq!(refused, Reason::Signature.into(), "{algorithm:?}");
    }
}

#[test]
fn an_algorithm_outside_the_allow_list_is_refused_though_the_key_could() {
    let local = Local::new(key_source(RS256), &[RS256]);
    for name in ["RS512", "PS256"] {
        assert_eq!(local.verify(&token(name)), Err(Reason::Algorithm.into()), "{name}");
    }
}

#[test]
fn identities_come_from_the_configured_claims() {
    let local = Local::from(&Settings {
        customer_claim: "https://example.com/org".parse().unwrap(),
        member_claim: Some("user.id".parse().unwrap()),
        stripe_customer_claim: Some("stripe".parse().unwrap()),
        ..settings(KeySource::Secret(SECRET.to_vec()), &[HS256])
    });
    let mut claims = claims();
    claims["https://example.com/org"] = json!("acme");
    claims["user"] = json!({"id": "ann"});
    claims["stripe"] = json!("cus_1");
    let identity = local.verify(&sign_hs(HS256, SECRET, &claims).unwrap()).unwrap();
    assert_eq!(&*identity.customer, "acme");
    assert_eq!(identity.member.as_deref(), Some("ann"));
    assert_eq!(identity.stripe_customer.as_deref(), Some("cus_1"));
}

#[test]
fn a_verified_token_is_remembered_for_the_ttl() {
    let local = Local::with_secret();
    let token = token("HS256");
    assert!(local.0.remembered(&token, NOW).is_none());
    local.verify(&token).unwrap();
    assert!(local.0.remembered(&token, NOW + 299).is_some());
    assert!(local.0.remembered(&token, NOW + 300).is_none());
}

#[test]
fn a_token_is_never_remembered_past_exp_though_its_leeway_still_runs() {
    let local = Local::with_secret();
    let mut claims = claims();
    claims["exp"] = json!(NOW + 10);
    let token = sign_hs(HS256, SECRET, &claims).unwrap();
    local.verify(&token).unwrap();
    assert!(local.0.remembered(&token, NOW + 9).is_some());
    assert!(local.0.remembered(&token, NOW + 10).is_none());
    assert!(local.verify_at(&token, NOW + 39).is_ok());
    assert!(local.0.remembered(&token, NOW + 39).is_none());
    assert_eq!(local.verify_at(&token, NOW + 40), Err(AuthError::Expired));
}

#[test]
fn refused_tokens_are_not_remembered_and_push_nothing_out() {
    let local = Local::from(&Settings {
        cache_capacity: 8,
        ..settings(KeySource::Secret(SECRET.to_vec()), &[HS256])
    });
    let good = token("HS256");
    local.verify(&good).unwrap();
    for number in 0..1_000 {
        let mut claims = claims();
        claims["sub"] = json!(number.to_string());
        let bad = sign_hs(HS256, b"another secret", &claims).unwrap();
        assert!(local.verify(&bad).is_err());
        assert!(local.0.remembered(&bad, NOW).is_none());
    }
    assert!(local.0.remembered(&good, NOW).is_some());
}

#[test]
fn keys_that_do_not_fit_the_allow_list_are_refused_at_the_start() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refusal = |keys, algorithms: &[Algorithm]| {
        let built = crate::auth::Authenticator::new(&settings(keys, algorithms), None, runtime.handle());
        built.err().unwrap()
    };
    let mixed = refusal(KeySource::PublicKeyPem(RSA_PEM.to_vec()), &[RS256, HS256]);
    assert!(matches!(mixed, SetupError::Key(KeyError::Unfit { algorithm: HS256, .. })));
    let secret = refusal(KeySource::Jwks("http://localhost/".into()), &[HS256]);
    assert!(matches!(secret, SetupError::Key(KeyError::SecretInJwks(HS256))));
    for url in ["ftp://issuer.example/jwks", "jwks.json"] {
        let refused = refusal(KeySource::Jwks(url.into()), &[RS256]);
        assert!(matches!(refused, SetupError::JwksUrl), "{url}");
    }
}
