//! `tollgate token`: a development token, signed with the configuration's secret.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Map, Value, json};

use crate::auth::{parse_algorithm, sign_hs};
use crate::clock;
use crate::config::{Config, Family, KeySource};
use crate::domain::span;

use super::{Failure, load, print};

#[derive(clap::Args)]
pub(super) struct Token {
    /// The configuration whose secret signs
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The customer that the token is for: 1 to 256 visible ASCII characters
    #[arg(long, value_name = "ID", value_parser = parse_customer)]
    customer: String,
    /// Their customer at Stripe
    #[arg(long, value_name = "ID")]
    stripe_customer: Option<String>,
    /// How long the token is valid, such as 30s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = parse_span)]
    ttl: Duration,
}

impl Token {
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let token = sign(&config, &self.customer, self.stripe_customer.as_deref(), self.ttl)?;
        print(&format!("{token}\n"))
    }
}

/// Signs a token that the configuration accepts.
pub(super) fn sign(
    config: &Config,
    customer: &str,
    stripe_customer: Option<&str>,
    ttl: Duration,
) -> anyhow::Result<String> {
    let jwt = &config.auth;
    let KeySource::Secret(secret) = &jwt.key else {
        return Err(anyhow!("the configuration holds no secret to sign with: tokens come from your issuer"));
    };
    let shared = jwt.algorithms.iter().find(|algorithm| algorithm.family() == Family::Shared);
    let algorithm = parse_algorithm(shared.context("no HS algorithm is allowed")?.as_str())?;
    let now = clock::now().seconds();
    let expires = now.saturating_add_unsigned(ttl.as_secs());
    let mut claims = Map::new();
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(expires));
    if let Some(issuer) = &jwt.issuer {
        claims.insert("iss".into(), json!(issuer));
    }
    if let Some(audience) = jwt.audience.first() {
        claims.insert("aud".into(), json!(audience));
    }
    put(&mut claims, &jwt.customer_claim, customer);
    if let Some(id) = stripe_customer {
        let claim = jwt.stripe_customer_claim.as_deref();
        put(&mut claims, claim.context("the configuration names no auth.jwt.stripe_customer_claim")?, id);
    }
    Ok(sign_hs(algorithm, secret.expose().as_bytes(), &Value::Object(claims))?)
}

/// Sets a claim; a dotted path reaches inside.
fn put(claims: &mut Map<String, Value>, path: &str, value: &str) {
    match path.split_once('.').filter(|_| !path.contains("://")) {
        None => drop(claims.insert(path.to_owned(), json!(value))),
        Some((outer, rest)) => {
            let inner = claims.entry(outer).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn parse_customer(text: &str) -> Result<String, String> {
    let valid = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    valid
        .then(|| text.to_owned())
        .ok_or_else(|| "write 1 to 256 visible ASCII characters, without spaces".to_owned())
}

pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let seconds = span::parse_span(text);
    let wrong = || format!("{text:?} is no duration; write 30s, 15m, 1h or 7d");
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}
