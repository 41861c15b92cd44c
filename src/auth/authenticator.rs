//! The check of a token, from its text to an identity.

use std::sync::Arc;

use http::HeaderMap;
use jsonwebtoken::{Algorithm, Header, decode_header};
use tokio::runtime::Handle;

use super::cache::TokenCache;
use super::claims::{ClaimRules, whole_seconds};
use super::fetch::Fetcher;
use super::jwks::Jwks;
use super::key::VerifyingKey;
use super::keyset::Lookup;
use super::{AuthError, Identity, KeySource, MAX_TOKEN_BYTES, Reason, Settings, SetupError};
use super::{bearer, pem, provider};
use crate::metrics::METRICS;
use crate::metrics::hot::HotCounter;

/// Checks tokens and remembers those that hold.
pub struct Authenticator {
    allowed: Vec<Algorithm>,
    keys: Keys,
    rules: ClaimRules,
    cache: TokenCache,
    cache_ttl_seconds: i64,
    accepted: HotCounter,
}

enum Keys {
    /// The configured key; a token's `kid` means nothing to it.
    One(Arc<VerifyingKey>),
    Published(Jwks),
}

impl Authenticator {
    /// Loads the key, or begins to fetch the issuer's keys on `runtime`.
    ///
    /// # Errors
    /// When the key material does not fit the allowed algorithms, or the JWKS URL cannot be fetched at all.
    /// An issuer that does not answer is no error: [`verify`](Self::verify) says `Unavailable` meanwhile.
    pub fn new(settings: &Settings, runtime: &Handle) -> Result<Arc<Self>, SetupError> {
        provider::install();
        let allowed = settings.algorithms.clone();
        let keys = match &settings.keys {
            KeySource::Secret(secret) => Keys::One(Arc::new(pem::from_secret(secret, &allowed)?)),
            KeySource::PublicKeyPem(pem) => Keys::One(Arc::new(pem::from_pem(pem, &allowed)?)),
            KeySource::Jwks(url) => {
                pem::check_for_jwks(&allowed)?;
                Keys::Published(Jwks::start(Fetcher::new(url)?, settings, runtime.clone()))
            }
        };
        Ok(Arc::new(Self {
            allowed,
            keys,
            rules: ClaimRules::new(settings),
            cache: TokenCache::new(settings.cache_capacity),
            cache_ttl_seconds: whole_seconds(settings.cache_ttl),
            accepted: METRICS.auth.with_label_values(&["ok"]),
        }))
    }

    /// Who sends a request, by its one bearer token: remembered, or checked in full.
    ///
    /// # Errors
    /// When there is not one bearer token, and as [`verify`](Self::verify).
    pub async fn identify(&self, headers: &HeaderMap, now_seconds: i64) -> Result<Arc<Identity>, AuthError> {
        let found = bearer::find(headers).inspect_err(|error| error.count())?;
        if let Some(identity) = self.remembered(found, now_seconds) {
            return Ok(identity);
        }
        let token = bearer::read(found).inspect_err(|error| error.count())?;
        self.verify(token, now_seconds).await
    }

    /// The identity behind a token that was verified before and still holds. Never waits or allocates.
    pub fn remembered(&self, token: impl AsRef<[u8]>, now_seconds: i64) -> Option<Arc<Identity>> {
        let identity = self.cache.get(token.as_ref(), now_seconds);
        if identity.is_some() {
            METRICS.token_cache_hits.inc();
            self.accepted.inc();
        } else {
            METRICS.token_cache_misses.inc();
        }
        identity
    }

    /// Checks a token in full, and remembers it when it holds. May wait for the issuer's keys.
    ///
    /// # Errors
    /// When the token is not valid at `now_seconds`, or no key is there to tell.
    pub async fn verify(&self, token: &str, now_seconds: i64) -> Result<Arc<Identity>, AuthError> {
        let result = self.check(token, now_seconds).await;
        match &result {
            Ok(_) => self.accepted.inc(),
            Err(error) => error.count(),
        }
        result
    }

    async fn check(&self, token: &str, now_seconds: i64) -> Result<Arc<Identity>, AuthError> {
        let header = self.read_header(token)?;
        let key = self.key_for(&header, now_seconds).await?;
        let claims = key.claims(token, header.alg)?;
        let accepted = self.rules.check(&claims, now_seconds)?;
        let identity = Arc::new(accepted.identity);
        let until = now_seconds.saturating_add(self.cache_ttl_seconds).min(accepted.expires_seconds);
        self.cache.insert(token, key, identity.clone(), now_seconds, until);
        Ok(identity)
    }

    /// What may be known before a signature is checked. Keys named by the header itself (`jku`, `jwk`, `x5u`,
    /// `x5c`) are not looked at.
    fn read_header(&self, token: &str) -> Result<Header, Reason> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Reason::TooLong);
        }
        let header = decode_header(token).map_err(|_| Reason::Malformed)?;
        if !self.allowed.contains(&header.alg) {
            return Err(Reason::Algorithm);
        }
        if header.crit.is_some() {
            return Err(Reason::Critical);
        }
        if header.typ.as_deref().is_some_and(|typ| !is_access_token_type(typ)) {
            return Err(Reason::Type);
        }
        Ok(header)
    }

    async fn key_for(&self, header: &Header, now: i64) -> Result<Arc<VerifyingKey>, AuthError> {
        let published = match &self.keys {
            Keys::One(key) => return Ok(key.clone()),
            Keys::Published(published) => published,
        };
        let id = header.kid.as_deref();
        match published.keys().find(id, header.alg) {
            Lookup::Found(key) => return Ok(key),
            Lookup::Unfit => return Err(Reason::UnknownKey.into()),
            Lookup::Unknown => published.refetch(now).await,
        }
        let keys = published.keys();
        match keys.find(id, header.alg) {
            Lookup::Found(key) => Ok(key),
            _ if keys.is_empty() => Err(AuthError::Unavailable),
            _ => Err(Reason::UnknownKey.into()),
        }
    }
}

/// Tokens made for other purposes (RFC 8725, 3.11), such as `logout+jwt` or `dpop+jwt`, open nothing here.
fn is_access_token_type(typ: &str) -> bool {
    let short = match typ.split_once('/') {
        Some((kind, short)) if kind.eq_ignore_ascii_case("application") => short,
        _ => typ,
    };
    short.eq_ignore_ascii_case("JWT") || short.eq_ignore_ascii_case("at+jwt")
}
