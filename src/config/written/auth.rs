//! `[auth.jwt]`.

use crate::config::containers::{NonEmpty, OneOrMany};
use crate::config::findings::{At, Place};
use crate::config::read::{Given, Keys, Section};
use crate::config::values::algorithm::Algorithm;
use crate::config::values::number::Number;
use crate::config::values::secret::{Content, Secret};
use crate::config::values::span::Span;
use crate::config::values::text::{Claim, Text};
use crate::config::values::url::Url;

#[derive(Debug)]
pub(crate) struct Auth {
    pub jwt: Given<Jwt>,
}

impl Section for Auth {
    const ABOUT: &'static str = "[auth]: how callers are known.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self { jwt: keys.required("jwt", Jwt::ABOUT) }
    }
}

#[derive(Debug)]
pub(crate) struct Jwt {
    pub place: Place,
    pub algorithms: Given<NonEmpty<Algorithm>>,
    pub secret: Given<Secret>,
    pub public_key: Given<Content>,
    pub jwks_url: Given<Url>,
    pub issuer: Given<Text>,
    pub audience: Given<OneOrMany<Text>>,
    pub leeway: At<Span<0>>,
    pub customer_claim: At<Claim>,
    pub member_claim: Given<Claim>,
    pub stripe_customer_claim: Given<Claim>,
    pub forward_token: At<bool>,
    pub cache_ttl: At<Span<1>>,
    pub cache_capacity: At<Number<1, 100_000_000>>,
    pub jwks_cooldown: At<Span<1>>,
    pub jwks_refresh: At<Span<1_000>>,
}

impl Section for Jwt {
    const ABOUT: &'static str = "[auth.jwt]: which tokens are accepted and who they speak for.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            algorithms: keys
                .required("algorithms", "The signature algorithms that are accepted, such as [\"RS256\"]."),
            secret: keys.optional(
                "secret",
                "For HS*: the secret, at least 32 bytes. One of secret, public_key, jwks_url.",
            ),
            public_key: keys
                .optional("public_key", "For RS*, PS*, ES*, EdDSA: the issuer's public key in PEM."),
            jwks_url: keys
                .optional("jwks_url", "For RS*, PS*, ES*, EdDSA: where the issuer publishes its keys."),
            issuer: keys.optional("issuer", "Checked against `iss` when set."),
            audience: keys.optional("audience", "One of them must be in `aud` when set."),
            leeway: keys.or("leeway", "Tolerance for clocks that differ.", "30s"),
            customer_claim: keys.or(
                "customer_claim",
                "Who pays; a dotted path reaches inside. Must be a claim that users cannot edit.",
                "sub",
            ),
            member_claim: keys.optional("member_claim", "Who calls, for the record."),
            stripe_customer_claim: keys.optional(
                "stripe_customer_claim",
                "The customer's id at Stripe. Must be a claim that users cannot edit.",
            ),
            forward_token: keys.or("forward_token", "Whether the upstream sees the token.", false),
            cache_ttl: keys.or("cache_ttl", "How long a verified token is remembered.", "5m"),
            cache_capacity: keys.or("cache_capacity", "How many verified tokens are remembered.", 100_000),
            jwks_cooldown: keys.or(
                "jwks_cooldown",
                "The least time between fetches for unknown keys.",
                "30s",
            ),
            jwks_refresh: keys.or("jwks_refresh", "How often the keys are fetched anyway.", "5m"),
        }
    }
}
