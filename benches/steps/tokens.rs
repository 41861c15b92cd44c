//! Tokens: remembered, seen for the first time, and what of that is the signature.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use criterion::Criterion;
use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use ring::{hmac, signature::VerificationAlgorithm};
use tokio::runtime::Runtime;
use tollgate::auth::{Authenticator, KeySource, Settings, parse_algorithm, sign_hs};

/// Before 2100, when the fixtures' tokens expire.
const NOW: i64 = 1_800_000_000;
/// More than are remembered, so that none of them is when its turn comes again.
const MANY: usize = 200_000;
const REMEMBERED: usize = 100_000;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/jwt/", $name))
    };
}

const SECRET: &[u8] = fixture!("secret");

pub fn tokens(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let public = |pem: &[u8]| KeySource::PublicKeyPem(pem.to_vec());
    for (algorithm, keys) in [
        ("HS256", KeySource::Secret(SECRET.to_vec())),
        ("RS256", public(fixture!("rsa.pem"))),
        ("ES256", public(fixture!("p256.pem"))),
    ] {
        let (token, authenticator) = (fixture_token(algorithm), authenticator(algorithm, keys, &runtime));
        signature_alone(c, algorithm, &token);
        let headers = headers(&token);
        let mut now = NOW;
        c.bench_function(&format!("identify by an {algorithm} token that is not remembered"), |b| {
            b.iter(|| {
                // What was remembered is void by now.
                now += 2;
                identify(&authenticator, black_box(&headers), now);
            });
        });
    }
    first_seen(c, &runtime);
}

/// Every token another one: what is touched is in no cache of the processor, and room is made for each.
fn first_seen(c: &mut Criterion, runtime: &Runtime) {
    let authenticator = authenticator("HS256", KeySource::Secret(SECRET.to_vec()), runtime);
    let hs256 = parse_algorithm("HS256").expect("known");
    let token = |number: usize| {
        let claims = serde_json::json!({
            "sub": format!("user-{:09}", number % 1_000), "stripe_customer_id": format!("cus_{number:014}"),
            "iat": NOW, "exp": NOW + 604_800, "jti": number.to_string(),
        });
        headers(&sign_hs(hs256, SECRET, &claims).expect("signs"))
    };
    let all: Vec<_> = (0..MANY).map(token).collect();
    let mut turn = 0;
    c.bench_function("identify by an HS256 token that is seen for the first time", |b| {
        b.iter(|| {
            turn += 1;
            let now = NOW + i64::try_from(turn / MANY).unwrap_or_default() * 2;
            identify(&authenticator, &all[turn % MANY], now);
        });
    });
    let remembered = headers(&fixture_token("HS256"));
    identify(&authenticator, &remembered, NOW);
    c.bench_function("identify by a remembered token", |b| {
        b.iter(|| identify(&authenticator, black_box(&remembered), NOW));
    });
}

fn identify(authenticator: &Authenticator, headers: &HeaderMap, now: i64) {
    let identity = authenticator.identify(headers, now, || None).now_or_never();
    black_box(identity.expect("a fixed key needs no waiting").expect("valid"));
}

/// The library's verification with a key that is ready, of a signature that is decoded.
fn signature_alone(c: &mut Criterion, algorithm: &str, token: &str) {
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let name = format!("the signature of an {algorithm} token alone");
    let mut public = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
        let key = UnparsedPublicKey::new(algorithm, key);
        c.bench_function(&name, |b| {
            b.iter(|| key.verify(black_box(message.as_bytes()), &signature).expect("signed"));
        });
    };
    match algorithm {
        "RS256" => public(&RSA_PKCS1_2048_8192_SHA256, &der(fixture!("rsa_pkcs1.pem"))),
        "ES256" => {
            let spki = der(fixture!("p256.pem"));
            public(&ECDSA_P256_SHA256_FIXED, &spki[spki.len() - 65..]);
        }
        _ => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
            c.bench_function(&name, |b| {
                b.iter(|| hmac::verify(&key, black_box(message.as_bytes()), &signature).expect("signed"));
            });
        }
    }
}

fn der(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).expect("text");
    let dense: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(dense).expect("base64")
}

fn fixture_token(algorithm: &str) -> String {
    let all: serde_json::Value = serde_json::from_slice(fixture!("tokens.json")).expect("JSON");
    all[algorithm].as_str().expect("a token").to_owned()
}

fn headers(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn authenticator(algorithm: &str, keys: KeySource, runtime: &Runtime) -> std::sync::Arc<Authenticator> {
    let settings = Settings {
        algorithms: vec![parse_algorithm(algorithm).expect("known")],
        keys,
        issuer: None,
        audience: Vec::new(),
        leeway: Settings::DEFAULT_LEEWAY,
        customer_claim: "sub".parse().expect("a claim"),
        member_claim: None,
        stripe_customer_claim: Some("stripe_customer_id".parse().expect("a claim")),
        scope_claim: None,
        failures: None,
        cache_ttl: std::time::Duration::from_secs(1),
        cache_capacity: REMEMBERED,
        jwks_cooldown: Settings::DEFAULT_JWKS_COOLDOWN,
        jwks_refresh: Settings::DEFAULT_JWKS_REFRESH,
    };
    Authenticator::new(&settings, None, runtime.handle()).expect("key and algorithm fit")
}
