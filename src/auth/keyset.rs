//! The keys that an issuer publishes (RFC 7517), as far as they may verify tokens.
//!
//! Skipped are secrets (`kty` `oct`), keys for other uses, types and curves that are not supported, RSA keys
//! under 2048 bits, and keys whose `alg` is not in the allow-list. One odd key never spoils the others.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

use super::key::{KeyType, MIN_RSA_BITS, VerifyingKey, modulus_bits};

/// More keys than any issuer publishes; the rest is skipped.
const MAX_KEYS: usize = 256;

/// The usable keys of one issuer.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Arc<VerifyingKey>>,
}

/// What a key set has for a token.
pub enum Lookup {
    Found(Arc<VerifyingKey>),
    /// No key has this id, or there is none at all; the issuer may have published it since.
    Unknown,
    /// Keys are there, but not exactly one serves the algorithm.
    Unfit,
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// When it is not JSON with an array of `keys`.
    pub fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(document)?;
        let keys = document.keys.into_iter().take(MAX_KEYS);
        let keys = keys.filter_map(|key| usable(key, allowed).map(Arc::new));
        Ok(Self { keys: keys.collect() })
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The one key for a token's `kid` and `alg`. Without a `kid`, exactly one key must serve the algorithm.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Lookup {
        let named = |key: &&Arc<VerifyingKey>| id.is_none_or(|id| key.id() == Some(id));
        if !self.keys.iter().any(|key| named(&key)) {
            return Lookup::Unknown;
        }
        let mut fitting = self.keys.iter().filter(named).filter(|key| key.serves(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Lookup::Found(key.clone()),
            _ => Lookup::Unfit,
        }
    }

    /// Takes the place of `previous`: keys in both stay the same object, so that tokens remembered under them
    /// stay valid. Keys only in `previous` are still to be [retired](Self::retire_all_but).
    #[must_use]
    pub fn replacing(self, previous: &Self) -> Self {
        let keep = |key: Arc<VerifyingKey>| {
            let same = previous.keys.iter().find(|old| old.is_same_as(&key));
            same.cloned().unwrap_or(key)
        };
        Self { keys: self.keys.into_iter().map(keep).collect() }
    }

    /// Retires the keys of this set that `next` no longer has.
    pub fn retire_all_but(&self, next: &Self) {
        for key in &self.keys {
            if !next.keys.iter().any(|kept| Arc::ptr_eq(kept, key)) {
                key.retire();
            }
        }
    }
}

fn usable(jwk: Value, allowed: &[Algorithm]) -> Option<VerifyingKey> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let common = &jwk.common;
    let for_signatures = common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !for_signatures {
        return None;
    }
    let key_type = key_type(&jwk.algorithm)?;
    let own = match common.key_algorithm {
        Some(named) => Some(Algorithm::try_from(named).ok()?),
        None => None,
    };
    let serves = |one: &Algorithm| key_type.fits(*one) && own.is_none_or(|own| own == *one);
    let algorithms: Vec<_> = allowed.iter().copied().filter(serves).collect();
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    if algorithms.is_empty() || !has_right_size(key_type, key.kind()) {
        return None;
    }
    Some(VerifyingKey::new(jwk.common.key_id, key, &algorithms))
}

fn key_type(parameters: &AlgorithmParameters) -> Option<KeyType> {
    match parameters {
        AlgorithmParameters::RSA(_) => Some(KeyType::Rsa),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => Some(KeyType::P256),
            EllipticCurve::P384 => Some(KeyType::P384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(key) => {
            (key.curve == EllipticCurve::Ed25519).then_some(KeyType::Ed25519)
        }
        _ => None,
    }
}

fn has_right_size(key_type: KeyType, key: &DecodingKeyKind) -> bool {
    match (key_type, key) {
        (KeyType::Rsa, DecodingKeyKind::RsaModulusExponent { n, .. }) => modulus_bits(n) >= MIN_RSA_BITS,
        (KeyType::P256, DecodingKeyKind::SecretOrDer(point)) => point.len() == 65,
        (KeyType::P384, DecodingKeyKind::SecretOrDer(point)) => point.len() == 97,
        (KeyType::Ed25519, DecodingKeyKind::SecretOrDer(point)) => point.len() == 32,
        _ => false,
    }
}
