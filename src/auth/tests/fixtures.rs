//! Keys, tokens and settings that the tests share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use ring::hmac;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::auth::{Algorithm, AuthError, Authenticator, Identity, KeySource, Settings};

pub const SECRET: &[u8] = include_bytes!("../../../tests/fixtures/jwt/secret");
pub const RSA_PEM: &[u8] = include_bytes!("../../../tests/fixtures/jwt/rsa.pem");
pub const P256_PEM: &[u8] = include_bytes!("../../../tests/fixtures/jwt/p256.pem");
pub const P384_PEM: &[u8] = include_bytes!("../../../tests/fixtures/jwt/p384.pem");
pub const ED25519_PEM: &[u8] = include_bytes!("../../../tests/fixtures/jwt/ed25519.pem");

/// When the tests take place: before 2100, when the fixtures' tokens expire.
pub const NOW: i64 = 1_800_000_000;
pub const YEAR_2100: i64 = 4_102_444_800;

/// A token of the fixtures.
pub fn token(name: &str) -> String {
    let file = include_str!("../../../tests/fixtures/jwt/tokens.json");
    let mut tokens: HashMap<String, String> = serde_json::from_str(file).unwrap();
    tokens.remove(name).unwrap()
}

/// A public key of the fixtures as the issuer publishes it.
pub fn jwk(name: &str) -> Value {
    let file = include_str!("../../../tests/fixtures/jwt/jwks.json");
    let keys: Value = serde_json::from_str(file).unwrap();
    keys[name].clone()
}

pub fn jwk_with(name: &str, changes: &Value) -> Value {
    let mut key = jwk(name);
    for (parameter, value) in changes.as_object().unwrap() {
        key[parameter] = value.clone();
    }
    key
}

pub fn settings(keys: KeySource, algorithms: &[Algorithm]) -> Settings {
    Settings {
        algorithms: algorithms.to_vec(),
        keys,
        issuer: Some("https://issuer.example".into()),
        audience: vec!["api".into()],
        leeway: Settings::DEFAULT_LEEWAY,
        customer_claim: "sub".parse().unwrap(),
        member_claim: None,
        stripe_customer_claim: None,
        scope_claim: None,
        failures: None,
        cache_ttl: Settings::DEFAULT_CACHE_TTL,
        cache_capacity: 1_024,
        jwks_cooldown: Settings::DEFAULT_JWKS_COOLDOWN,
        jwks_refresh: Duration::from_hours(24),
    }
}

/// An authenticator with a fixed key, which never waits for anything.
pub struct Local(pub Arc<Authenticator>);

impl Local {
    pub fn new(keys: KeySource, algorithms: &[Algorithm]) -> Self {
        Self::from(&settings(keys, algorithms))
    }

    pub fn from(settings: &Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self(Authenticator::new(settings, None, runtime.handle()).unwrap())
    }

    pub fn with_secret() -> Self {
        Self::new(KeySource::Secret(SECRET.to_vec()), &[Algorithm::HS256])
    }

    pub fn verify(&self, token: &str) -> Result<Arc<Identity>, AuthError> {
        self.verify_at(token, NOW)
    }

    pub fn verify_at(&self, token: &str, now: i64) -> Result<Arc<Identity>, AuthError> {
        let verdict = self.0.verify(token, now).now_or_never();
        verdict.expect("a fixed key needs no waiting")
    }
}

/// An authenticator whose issuer publishes its keys at `url`.
pub fn following(url: &str, change: impl FnOnce(&mut Settings)) -> Arc<Authenticator> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, RS256};
    let mut settings = settings(KeySource::Jwks(url.into()), &[RS256, PS256, ES256, ES384, EdDSA]);
    change(&mut settings);
    Authenticator::new(&settings, None, &Handle::current()).unwrap()
}

pub fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": "api", "sub": "acme", "exp": YEAR_2100})
}

/// A token with any header and payload at all, signed with HMAC-SHA256.
pub fn forge(header: &[u8], payload: &[u8], secret: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token with valid claims under this header, signed with the fixtures' secret.
pub fn with_header(header: &Value) -> String {
    forge(header.to_string().as_bytes(), claims().to_string().as_bytes(), SECRET)
}
