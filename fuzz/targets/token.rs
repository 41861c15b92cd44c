//! No header and no claims panic, and what passes names the customer that it was signed for.
#![no_main]

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Runtime;
use tollgate::auth::{Authenticator, KeySource, Settings, parse_algorithm, sign_hs};

const NOW: i64 = 1_800_000_000;
const SECRET: &[u8] = b"only-for-fuzzing-0123456789-0123456789";

static ISSUED: LazyLock<(Runtime, Arc<Authenticator>)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let settings = Settings {
        algorithms: vec![parse_algorithm("HS256").expect("a known algorithm")],
        keys: KeySource::Secret(SECRET.to_vec()),
        issuer: None,
        audience: Vec::new(),
        leeway: Settings::DEFAULT_LEEWAY,
        customer_claim: "sub".parse().expect("a claim"),
        member_claim: Some("member".parse().expect("a claim")),
        stripe_customer_claim: Some("stripe.customer".parse().expect("a claim")),
        scope_claim: Some("scope".parse().expect("a claim")),
        failures: None,
        cache_ttl: Settings::DEFAULT_CACHE_TTL,
        cache_capacity: 0,
        jwks_cooldown: Settings::DEFAULT_JWKS_COOLDOWN,
        jwks_refresh: Settings::DEFAULT_JWKS_REFRESH,
    };
    let authenticator = Authenticator::new(&settings, None, runtime.handle()).expect("key and algorithm fit");
    (runtime, authenticator)
});

fuzz_target!(|bytes: &[u8]| {
    let (runtime, authenticator) = &*ISSUED;
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        let found = runtime.block_on(authenticator.identify(&headers, NOW, || None));
        assert!(found.is_err(), "a forged token passed");
    }
    let Ok(claims) = serde_json::from_slice::<Value>(bytes) else { return };
    let algorithm = parse_algorithm("HS256").expect("a known algorithm");
    let Ok(token) = sign_hs(algorithm, SECRET, &claims) else { return };
    if let Ok(identity) = runtime.block_on(authenticator.verify(&token, NOW)) {
        assert_eq!(Some(&*identity.customer), claims["sub"].as_str());
    }
});
