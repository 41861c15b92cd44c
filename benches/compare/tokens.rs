//! Tokens to measure with: signs as many as asked, each another one; or verifies a file of them and says how long one
//! took.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "its result")]

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;
use tollgate::auth::{Authenticator, KeySource, Settings, parse_algorithm};
use tollgate::clock;

const VALID_SECONDS: i64 = 7 * 24 * 60 * 60;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
enum Command {
    /// Signs tokens: HS256 with a secret, RS256 and ES256 with a PKCS#8 key in DER
    Sign {
        algorithm: String,
        key: PathBuf,
        count: usize,
        /// Lines of a subject and its customer at Stripe, used in rotation
        subjects: PathBuf,
    },
    /// Verifies every token once with the secret or the public key, and prints the microseconds of one
    Verify { algorithm: String, key: PathBuf, tokens: PathBuf },
}

fn main() {
    match Command::parse() {
        Command::Sign { algorithm, key, count, subjects } => sign(&algorithm, &key, count, &subjects),
        Command::Verify { algorithm, key, tokens } => verify(&algorithm, read(&key), &tokens),
    }
}

enum Key {
    Secret(hmac::Key),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
}

fn sign(algorithm: &str, key: &Path, count: usize, subjects: &Path) {
    let (key, random) = (Key::new(algorithm, &read(key)), SystemRandom::new());
    let subjects = String::from_utf8(read(subjects)).expect("text");
    let pairs = subjects.lines().map(|line| line.split_once(' ').expect("two words")).cycle();
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "typ": "JWT" }).to_string());
    let now = clock::now().seconds();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (number, (subject, stripe_customer)) in pairs.take(count).enumerate() {
        let claims = json!({
            "sub": subject, "stripe_customer_id": stripe_customer,
            "iat": now, "exp": now + VALID_SECONDS, "jti": format!("{count}.{number}"),
        });
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes(), &random));
        writeln!(out, "{signed}.{signature}").expect("room for the tokens");
    }
}

impl Key {
    fn new(algorithm: &str, bytes: &[u8]) -> Self {
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        match algorithm {
            "HS256" => Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes)),
            "RS256" => Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(bytes).expect("an RSA key"))),
            "ES256" => Self::Ecdsa(
                EcdsaKeyPair::from_pkcs8(curve, bytes, &SystemRandom::new()).expect("a P-256 key"),
            ),
            other => panic!("{other} is none of HS256, RS256, ES256"),
        }
    }

    fn sign(&self, text: &[u8], random: &SystemRandom) -> Vec<u8> {
        match self {
            Self::Secret(key) => hmac::sign(key, text).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, random, text, &mut signature).expect("signs");
                signature
            }
            Self::Ecdsa(key) => key.sign(random, text).expect("signs").as_ref().to_vec(),
        }
    }
}

/// As the gateway verifies, but that nothing is remembered.
fn verify(algorithm: &str, key: Vec<u8>, tokens: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let settings = Settings {
        algorithms: vec![parse_algorithm(algorithm).expect("a known algorithm")],
        keys: if algorithm.starts_with("HS") { KeySource::Secret(key) } else { KeySource::PublicKeyPem(key) },
        issuer: None,
        audience: Vec::new(),
        leeway: Settings::DEFAULT_LEEWAY,
        customer_claim: "sub".parse().expect("a claim"),
        member_claim: None,
        stripe_customer_claim: Some("stripe_customer_id".parse().expect("a claim")),
        scope_claim: None,
        failures: None,
        cache_ttl: Settings::DEFAULT_CACHE_TTL,
        cache_capacity: 0,
        jwks_cooldown: Settings::DEFAULT_JWKS_COOLDOWN,
        jwks_refresh: Settings::DEFAULT_JWKS_REFRESH,
    };
    let authenticator = Authenticator::new(&settings, None, runtime.handle()).expect("key and algorithm fit");
    let tokens = String::from_utf8(read(tokens)).expect("text");
    let now = clock::now().seconds();
    let started = Instant::now();
    runtime.block_on(async {
        for token in tokens.lines() {
            authenticator.verify(token, now).await.expect("valid");
        }
    });
    println!("{:.3}", started.elapsed().as_secs_f64() * 1e6 / tokens.lines().count() as f64);
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
