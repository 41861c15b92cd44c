//! The check of a token, from its text to an identity.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use tokio::runtime::Handle;

use super::cache::TokenCache;
use super::claim::Claims;
use super::claims::{Accepted, ClaimRules, whole_seconds};
use super::credential::{self, AcceptedKeys, Credential};
use super::encoded::{self, Encoded};
use super::failures::Failures;
use super::fetch::Fetcher;
use super::header::{Header, Headers};
use super::jwks::Jwks;
use super::key::VerifyingKey;
use super::keyset::Lookup;
use super::{AuthError, Identity, KeySource, MAX_TOKEN_BYTES, Reason, Settings, SetupError};
use super::{bearer, pem};
use crate::domain::rate::Rate;
use crate::metrics::METRICS;
use crate::metrics::hot::HotCounter;

/// Checks tokens and keys, and remembers the tokens that hold.
pub struct Authenticator {
    tokens: Arc<Tokens>,
    /// None: no API key is accepted.
    api_keys: Option<AcceptedKeys>,
    failures: Option<Arc<Failures>>,
}

/// How tokens are checked, and those that hold.
struct Tokens {
    headers: Headers,
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
    pub fn new(
        settings: &Settings,
        api_keys: Option<AcceptedKeys>,
        runtime: &Handle,
    ) -> Result<Arc<Self>, SetupError> {
        let allowed = settings.algorithms.clone();
        let keys = match &settings.keys {
            KeySource::Secret(secret) => Keys::One(Arc::new(pem::from_secret(secret, &allowed)?)),
            KeySource::PublicKeyPem(pem) => Keys::One(Arc::new(pem::from_pem(pem, &allowed)?)),
            KeySource::Jwks(url) => {
                pem::check_for_jwks(&allowed)?;
                Keys::Published(Jwks::start(Fetcher::new(url)?, settings, runtime.clone()))
            }
        };
        let tokens = Tokens {
            headers: Headers::new(allowed),
            keys,
            rules: ClaimRules::new(settings),
            cache: TokenCache::new(settings.cache_capacity),
            cache_ttl_seconds: whole_seconds(settings.cache_ttl),
            accepted: METRICS.auth.with_label_values(&["ok"]),
        };
        let failures = settings.failures.map(|rate| Arc::new(Failures::new(rate)));
        Ok(Arc::new(Self { tokens: Arc::new(tokens), api_keys, failures }))
    }

    /// The same for tokens, with what it remembers of them, and other settings for the rest. Failures that were counted
    /// at this rate still count.
    #[must_use]
    pub fn with(&self, api_keys: Option<AcceptedKeys>, failures: Option<Rate>) -> Arc<Self> {
        let counted = |rate| self.failures.as_ref().filter(|failures| failures.rate() == rate).cloned();
        let failures = failures.map(|rate| counted(rate).unwrap_or_else(|| Arc::new(Failures::new(rate))));
        Arc::new(Self { tokens: self.tokens.clone(), api_keys, failures })
    }

    /// Who sends a request, by its one token, remembered or checked in full, or by its one key. `client` is the address
    /// that it comes from, and is asked for only where that matters.
    ///
    /// # Errors
    /// When there is not one credential, when a key is not in force, as [`verify`](Self::verify), and when the client
    /// has failed too often.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        now_seconds: i64,
        client: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Arc<Identity>, AuthError> {
        let shown = credential::find(headers, self.api_keys.as_ref()).inspect_err(|error| error.count())?;
        let token = match shown {
            Credential::Token(token) => token,
            Credential::Key(text) => return self.of_key(text, now_seconds, client),
        };
        if let Some(identity) = self.remembered(token, now_seconds) {
            return Ok(identity);
        }
        let client = client();
        self.may_fail(client, now_seconds).inspect_err(|error| error.count())?;
        let result = match bearer::read(token).inspect_err(|error| error.count()) {
            Ok(token) => self.verify(token, now_seconds).await,
            Err(error) => Err(error),
        };
        result.inspect_err(|error| self.note_failure(*error, client, now_seconds))
    }

    /// Whether a request shows no credential at all, good or bad.
    pub fn is_shown_nothing(&self, headers: &HeaderMap) -> bool {
        credential::find(headers, self.api_keys.as_ref()) == Err(AuthError::Missing)
    }

    /// A key that is in force is known at once, whoever else has failed at the same address.
    fn of_key(
        &self,
        text: &[u8],
        now_seconds: i64,
        client: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Arc<Identity>, AuthError> {
        let table = self.api_keys.as_ref().map(|keys| &keys.table);
        let result = table.ok_or(AuthError::KeyUnknown).and_then(|table| table.identify(text, now_seconds));
        let error = match result {
            Ok(identity) => {
                self.tokens.accepted.inc();
                return Ok(identity);
            }
            Err(error) => error,
        };
        let client = client();
        let error = self.may_fail(client, now_seconds).err().unwrap_or(error);
        self.note_failure(error, client, now_seconds);
        error.count();
        Err(error)
    }

    fn may_fail(&self, client: Option<IpAddr>, now_seconds: i64) -> Result<(), AuthError> {
        let limited = self.failures.as_ref().zip(client);
        limited.map_or(Ok(()), |(failures, client)| failures.check(client, now_seconds))
    }

    fn note_failure(&self, error: AuthError, client: Option<IpAddr>, now_seconds: i64) {
        if let (Some(failures), Some(client), true) = (&self.failures, client, error.is_failure()) {
            failures.note(client, now_seconds);
        }
    }

    /// The identity behind a token that was verified before and still holds. Never waits or allocates.
    pub fn remembered(&self, token: impl AsRef<[u8]>, now_seconds: i64) -> Option<Arc<Identity>> {
        let identity = self.tokens.cache.get(token.as_ref(), now_seconds);
        if identity.is_some() {
            METRICS.token_cache_hits.inc();
            self.tokens.accepted.inc();
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
        let result = self.tokens.check(token, now_seconds).await;
        match &result {
            Ok(_) => self.tokens.accepted.inc(),
            Err(error) => error.count(),
        }
        result
    }
}

impl Tokens {
    async fn check(&self, token: &str, now_seconds: i64) -> Result<Arc<Identity>, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Reason::TooLong.into());
        }
        let parts = Encoded::split(token)?;
        let header = self.headers.read(token, parts.header)?;
        let key = self.key_for(&header, now_seconds).await?;
        let Accepted { identity, expires_seconds } = self.accept(&parts, &header, &key, now_seconds)?;
        let identity = Arc::new(identity);
        let until = now_seconds.saturating_add(self.cache_ttl_seconds).min(expires_seconds);
        self.cache.insert(token, key, identity.clone(), now_seconds, until);
        Ok(identity)
    }

    /// The signature first: nothing is read from claims that nobody has signed.
    fn accept(
        &self,
        token: &Encoded<'_>,
        header: &Arc<Header>,
        key: &VerifyingKey,
        now_seconds: i64,
    ) -> Result<Accepted, AuthError> {
        let mut room = Vec::with_capacity(token.signed.len());
        let signature = encoded::decode(token.signature, &mut room)?;
        key.verify(token.signed.as_bytes(), signature, header.algorithm)?;
        self.headers.remember(header);
        let claims = encoded::decode(token.claims, &mut room)?;
        self.rules.check(&Claims::parse(claims).ok_or(Reason::Malformed)?, now_seconds)
    }

    async fn key_for(&self, header: &Header, now: i64) -> Result<Arc<VerifyingKey>, AuthError> {
        let published = match &self.keys {
            Keys::One(key) => return Ok(key.clone()),
            Keys::Published(published) => published,
        };
        let id = header.key_id.as_deref();
        match published.keys().find(id, header.algorithm) {
            Lookup::Found(key) => return Ok(key),
            Lookup::Unfit => return Err(Reason::UnknownKey.into()),
            Lookup::Unknown => published.refetch(now).await,
        }
        let keys = published.keys();
        match keys.find(id, header.algorithm) {
            Lookup::Found(key) => Ok(key),
            _ if keys.is_empty() => Err(AuthError::Unavailable),
            _ => Err(Reason::UnknownKey.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::tests::fixtures::*;

    #[test]
    fn nobody_but_the_issuer_makes_a_header_remembered() {
        let local = Local::with_secret();
        let headers = &local.0.tokens.headers;
        let unknown = |token: &str| {
            let [one, other] = [(); 2].map(|()| headers.read(token, Encoded::split(token).unwrap().header));
            !Arc::ptr_eq(&one.unwrap(), &other.unwrap())
        };
        let header = json!({"alg": "HS256", "kid": "1"}).to_string();
        let forged = forge(header.as_bytes(), claims().to_string().as_bytes(), b"another secret");
        local.verify(&forged).unwrap_err();
        assert!(unknown(&forged));
        local.verify(&forge(header.as_bytes(), claims().to_string().as_bytes(), SECRET)).unwrap();
        assert!(!unknown(&forged));
        assert_eq!(
            local.verify(&forged),
            Err(Reason::Signature.into()),
            "a known header vouches for nothing"
        );
    }
}
