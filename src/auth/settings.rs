//! What an [`Authenticator`](super::Authenticator) is built from.

use std::time::Duration;

use super::{Algorithm, ClaimPath};
use crate::domain::rate::Rate;

/// The checked form of `[auth.jwt]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The allow-list; every entry must fit the key.
    pub algorithms: Vec<Algorithm>,
    pub keys: KeySource,
    /// The only `iss` accepted; any when `None`.
    pub issuer: Option<String>,
    /// `aud` must name one of these; not looked at when empty.
    pub audience: Vec<String>,
    /// How far our clock and the issuer's may differ.
    pub leeway: Duration,
    /// Names who pays. Must be a claim that users cannot edit.
    pub customer_claim: ClaimPath,
    /// Names who calls for the customer.
    pub member_claim: Option<ClaimPath>,
    /// Carries the customer's Stripe id. Must be a claim that users cannot edit.
    pub stripe_customer_claim: Option<ClaimPath>,
    /// What a token may do; none: tokens may do everything.
    pub scope_claim: Option<ClaimPath>,
    /// Failed authentications of one address; none: no limit.
    pub failures: Option<Rate>,
    /// How long a verified token is remembered at most.
    pub cache_ttl: Duration,
    /// How many verified tokens are remembered at most; 0 remembers none.
    pub cache_capacity: usize,
    /// At most one fetch of the JWKS for unknown key ids in this time.
    pub jwks_cooldown: Duration,
    /// Time between fetches of the JWKS that nobody asked for; must not be zero.
    pub jwks_refresh: Duration,
}

impl Settings {
    pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
    pub const DEFAULT_CACHE_TTL: Duration = Duration::from_mins(5);
    pub const DEFAULT_CACHE_CAPACITY: usize = 65_536;
    pub const DEFAULT_JWKS_COOLDOWN: Duration = Duration::from_secs(30);
    pub const DEFAULT_JWKS_REFRESH: Duration = Duration::from_mins(5);
}

/// Where the keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// A secret shared with the issuer, for HS algorithms.
    Secret(Vec<u8>),
    /// The issuer's one public key.
    PublicKeyPem(Vec<u8>),
    /// The address of the issuer's published keys.
    Jwks(String),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret",
            Self::PublicKeyPem(_) => "PublicKeyPem",
            Self::Jwks(_) => "Jwks",
        })
    }
}
