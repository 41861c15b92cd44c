//! Tokens that try to be taken for what they are not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm::{HS256, RS256};
use serde_json::json;

use super::fixtures::*;
use crate::auth::{AuthError, KeySource, MAX_TOKEN_BYTES, Reason, sign_hs};

#[test]
fn unsigned_tokens_are_refused_however_none_is_spelt() {
    let local = Local::with_secret();
    for alg in ["none", "None", "NONE", ""] {
        let signed = with_header(&json!({"alg": alg, "typ": "JWT"}));
        let unsigned = &signed[..=signed.rfind('.').unwrap()];
        for token in [&signed[..], unsigned] {
            assert_eq!(local.verify(token), Err(Reason::Malformed.into()), "{alg}");
        }
    }
    let stripped = token("HS256");
    let stripped = &stripped[..=stripped.rfind('.').unwrap()];
    assert_eq!(local.verify(stripped), Err(Reason::Signature.into()));
}

#[test]
fn a_public_key_is_never_taken_for_an_hmac_secret() {
    let local = Local::new(KeySource::PublicKeyPem(RSA_PEM.to_vec()), &[RS256]);
    let pem = std::str::from_utf8(RSA_PEM).unwrap();
    for secret in [pem, pem.trim_end()] {
        let forged = sign_hs(HS256, secret.as_bytes(), &claims()).unwrap();
        assert_eq!(local.verify(&forged), Err(Reason::Algorithm.into()));
    }
}

#[test]
fn critical_extensions_are_refused_known_or_not() {
    let local = Local::with_secret();
    for crit in [json!([]), json!(["b64"]), json!(["exp"])] {
        let token = with_header(&json!({"alg": "HS256", "crit": crit, "b64": true}));
        assert_eq!(local.verify(&token), Err(Reason::Critical.into()), "{crit}");
    }
}

#[test]
fn keys_named_by_the_token_itself_are_not_used() {
    let local = Local::with_secret();
    let own = b"the attacker's own secret";
    let header = json!({
        "alg": "HS256",
        "jku": "http://attacker.example/jwks.json",
        "x5u": "http://attacker.example/cert.pem",
        "jwk": {"kty": "oct", "k": URL_SAFE_NO_PAD.encode(own)},
        "kid": "../../dev/null",
    });
    let payload = claims().to_string();
    let forged = forge(header.to_string().as_bytes(), payload.as_bytes(), own);
    assert_eq!(local.verify(&forged), Err(Reason::Signature.into()));
    assert!(local.verify(&with_header(&header)).is_ok());
}

#[test]
fn only_access_tokens_pass_by_their_type() {
    let local = Local::with_secret();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
        let token = with_header(&json!({"alg": "HS256", "typ": typ}));
        assert!(local.verify(&token).is_ok(), "{typ}");
    }
    assert!(local.verify(&with_header(&json!({"alg": "HS256"}))).is_ok());
    for typ in ["dpop+jwt", "logout+jwt", "", "application/", "ünïcödé typ"] {
        let token = with_header(&json!({"alg": "HS256", "typ": typ}));
        assert_eq!(local.verify(&token), Err(Reason::Type.into()), "{typ}");
    }
}

#[test]
fn headers_that_look_like_a_valid_one_are_refused_after_it_as_before() {
    let local = Local::with_secret();
    let valid = with_header(&json!({"alg": "HS256", "kid": "a"}));
    for _ in 0..2 {
        for (header, reason) in [
            (json!({"alg": "HS512", "kid": "a"}), Reason::Algorithm),
            (json!({"alg": "none", "kid": "abc"}), Reason::Malformed),
            (json!({"alg": "HS256", "crit": []}), Reason::Critical),
            (json!({"alg": "HS256", "typ": "a"}), Reason::Type),
        ] {
            assert_eq!(local.verify(&with_header(&header)), Err(reason.into()), "{header}");
        }
        local.verify(&valid).unwrap();
    }
}

#[test]
fn claims_that_stand_twice_are_refused() {
    let local = Local::with_secret();
    let once = claims().to_string();
    for name in ["iss", "aud", "sub", "exp", "org"] {
        let value = claims()[name].clone();
        let twice = format!(r#"{{"org":null,"{name}":{value},{}"#, &once[1..]);
        let token = forge(br#"{"alg":"HS256"}"#, twice.as_bytes(), SECRET);
        assert_eq!(local.verify(&token), Err(Reason::Malformed.into()), "{name}");
    }
}

#[test]
fn a_payload_moved_under_another_signature_is_refused() {
    let local = Local::with_secret();
    let mine = token("HS256");
    let mut claims = claims();
    claims["sub"] = json!("somebody else");
    let theirs = sign_hs(HS256, b"unknown", &claims).unwrap();
    let signature = &mine[mine.rfind('.').unwrap()..];
    let spliced = format!("{}{signature}", &theirs[..theirs.rfind('.').unwrap()]);
    local.verify(&mine).unwrap();
    assert!(local.0.remembered(&spliced, NOW).is_none());
    assert_eq!(local.verify(&spliced), Err(Reason::Signature.into()));
}

#[test]
fn tokens_over_16_kib_are_refused_unread_though_well_signed() {
    let local = Local::with_secret();
    let padded = |length: usize| {
        let mut claims = claims();
        claims["pad"] = json!("x".repeat(length));
        sign_hs(HS256, SECRET, &claims).unwrap()
    };
    let overhead = padded(0).len();
    let fitting = padded((MAX_TOKEN_BYTES - overhead) / 4 * 3 - 4);
    assert!(fitting.len() > MAX_TOKEN_BYTES - 16 && fitting.len() <= MAX_TOKEN_BYTES);
    assert!(local.verify(&fitting).is_ok());
    assert!(local.0.remembered(&fitting, NOW).is_some());
    let refused = local.verify(&padded(MAX_TOKEN_BYTES));
    assert_eq!(refused, Err(AuthError::Invalid(Reason::TooLong)));
}
