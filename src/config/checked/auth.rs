//! `[auth.jwt]`.

use std::time::Duration;

use crate::config::findings::{At, Findings};
use crate::config::values::algorithm::{Algorithm, Family};
use crate::config::values::secret::Secret;
use crate::config::values::text::Claim;
use crate::config::written;

#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// At least one, all of one family.
    pub algorithms: Vec<Algorithm>,
    /// Fits the algorithms' family.
    pub key: KeySource,
    pub issuer: Option<String>,
    /// Empty: not checked.
    pub audience: Vec<String>,
    pub leeway: Duration,
    /// A dotted path reaches inside, as with the other claims.
    pub customer_claim: String,
    pub member_claim: Option<String>,
    pub stripe_customer_claim: Option<String>,
    pub forward_token: bool,
    pub cache_ttl: Duration,
    /// Tokens.
    pub cache_capacity: usize,
    pub jwks_cooldown: Duration,
    pub jwks_refresh: Duration,
}

/// What tokens are verified with.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// At least 32 bytes.
    Secret(Secret),
    /// In PEM, not looked into yet.
    PublicKey(String),
    /// https, or http on loopback.
    Jwks(String),
}

/// What HS256 puts out (RFC 7518 section 3.2); shorter secrets can be tried offline.
const SHORTEST_SECRET: usize = 32;

pub(crate) fn check(jwt: &written::Jwt, found: &mut Findings) -> Option<Jwt> {
    let family = check_algorithms(jwt, found);
    check_key_material(jwt, found);
    if let Some(family) = family {
        check_key_fits(jwt, family, found);
    }
    let claim = |claim: Option<&Claim>| claim.map(|claim| claim.0.clone());
    let audience = jwt.audience.get().map_or(&[][..], |audience| &audience.0);
    Some(Jwt {
        algorithms: jwt.algorithms.get()?.0.iter().map(|algorithm| algorithm.value).collect(),
        key: key_source(jwt)?,
        issuer: jwt.issuer.get().map(|issuer| issuer.0.clone()),
        audience: audience.iter().map(|name| name.value.0.clone()).collect(),
        leeway: jwt.leeway.value.0,
        customer_claim: jwt.customer_claim.value.0.clone(),
        member_claim: claim(jwt.member_claim.get()),
        stripe_customer_claim: claim(jwt.stripe_customer_claim.get()),
        forward_token: jwt.forward_token.value,
        cache_ttl: jwt.cache_ttl.value.0,
        cache_capacity: usize::try_from(jwt.cache_capacity.value.0).unwrap_or(usize::MAX),
        jwks_cooldown: jwt.jwks_cooldown.value.0,
        jwks_refresh: jwt.jwks_refresh.value.0,
    })
}

/// The one family of the allow-list. Both together would let anybody sign with the public key as the secret.
fn check_algorithms(jwt: &written::Jwt, found: &mut Findings) -> Option<Family> {
    let algorithms = jwt.algorithms.at()?;
    let families = || algorithms.value.0.iter().map(|algorithm| algorithm.value.family());
    if families().any(|f| f == Family::Shared) && families().any(|f| f == Family::PublicKey) {
        found.error(
            &algorithms.place,
            "HS* stands beside algorithms with a public key; whoever knows that key could sign as the issuer",
            "keep either HS*, or RS*, PS*, ES* and EdDSA",
        );
        return None;
    }
    families().next()
}

/// Exactly one source, and a safe one.
fn check_key_material(jwt: &written::Jwt, found: &mut Findings) {
    let left_out = [jwt.secret.is_left_out(), jwt.public_key.is_left_out(), jwt.jwks_url.is_left_out()];
    match left_out.iter().filter(|left_out| !**left_out).count() {
        1 => {}
        0 => found.error(
            &jwt.place,
            "there is nothing to verify tokens with",
            "add one of `secret`, `public_key` and `jwks_url`",
        ),
        _ => found.error(
            &jwt.place,
            "there are several ways to verify tokens",
            "keep one of `secret`, `public_key` and `jwks_url`",
        ),
    }
    if let Some(secret) = jwt.secret.at().filter(|secret| secret.value.expose().len() < SHORTEST_SECRET) {
        found.error(
            &secret.place,
            "the secret is shorter than 32 bytes and could be guessed",
            "write a random one, such as `openssl rand -hex 32` prints",
        );
    }
    if let Some(url) = jwt.jwks_url.at().filter(|url| url.value.is_plain_beyond_loopback()) {
        found.error(
            &url.place,
            "keys that come over plain http can be exchanged on the way",
            "write an https URL",
        );
    }
}

fn check_key_fits(jwt: &written::Jwt, family: Family, found: &mut Findings) {
    match family {
        Family::Shared => {
            let key = jwt.public_key.at().map(|key| &key.place);
            if let Some(place) = key.or(jwt.jwks_url.at().map(|url| &url.place)) {
                let help = "write `secret` instead, or name the algorithm that the issuer's key signs with";
                found.error(place, "HS* cannot be verified with public keys", help);
            }
        }
        Family::PublicKey => {
            if let Some(At { place, .. }) = jwt.secret.at() {
                let what = "RS*, PS*, ES* and EdDSA cannot be verified with a secret";
                found.error(place, what, "write `public_key` or `jwks_url` instead, or name HS256");
            }
        }
    }
}

fn key_source(jwt: &written::Jwt) -> Option<KeySource> {
    let secret = || jwt.secret.get().cloned().map(KeySource::Secret);
    let public_key = || jwt.public_key.get().map(|key| KeySource::PublicKey(key.0.clone()));
    let jwks = || jwt.jwks_url.get().map(|url| KeySource::Jwks(url.to_text()));
    secret().or_else(public_key).or_else(jwks)
}
