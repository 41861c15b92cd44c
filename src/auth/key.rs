//! One key that may verify tokens, and with which algorithms.
//!
//! The algorithms are settled when the key is loaded: those of the allow-list that fit its type, its curve and,
//! in a JWKS, its own `alg`. A token's header only picks among them.

use std::sync::atomic::{AtomicBool, Ordering};

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::Reason;
use super::provider::Verifier;

/// The smallest RSA modulus that ring verifies with.
pub const MIN_RSA_BITS: usize = 2048;

/// A public key or secret with the algorithms it serves.
pub struct VerifyingKey {
    id: Option<String>,
    key: DecodingKey,
    /// One for each algorithm that the key serves.
    verifiers: Vec<Verifier>,
    retired: AtomicBool,
}

impl VerifyingKey {
    /// Algorithms of another family than the key's are not served.
    pub fn new(id: Option<String>, key: DecodingKey, algorithms: &[Algorithm]) -> Self {
        let verifiers = algorithms.iter().filter_map(|algorithm| Verifier::new(*algorithm, &key)).collect();
        Self { id, key, verifiers, retired: AtomicBool::new(false) }
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub fn serves(&self, algorithm: Algorithm) -> bool {
        self.verifier(algorithm).is_some()
    }

    /// True once the issuer has taken the key back; tokens remembered under it are void.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// True when tokens verified under `other` may as well be trusted under this key.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.algorithms().eq(other.algorithms())
            && self.key.family() == other.key.family()
            && same_material(self.key.kind(), other.key.kind())
    }

    /// Whether this key signed a message with this algorithm.
    ///
    /// # Errors
    /// When the key does not serve the algorithm, or the signature is another's.
    pub fn verify(&self, message: &[u8], signature: &[u8], algorithm: Algorithm) -> Result<(), Reason> {
        let verifier = self.verifier(algorithm).ok_or(Reason::Algorithm)?;
        if verifier.accepts(message, signature) { Ok(()) } else { Err(Reason::Signature) }
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers.iter().find(|verifier| verifier.algorithm() == algorithm)
    }

    fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.verifiers.iter().map(Verifier::algorithm)
    }
}

fn same_material(one: &DecodingKeyKind, other: &DecodingKeyKind) -> bool {
    use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    match (one, other) {
        (SecretOrDer(one), SecretOrDer(other)) => one == other,
        (RsaModulusExponent { n, e }, RsaModulusExponent { n: n2, e: e2 }) => n == n2 && e == e2,
        _ => false,
    }
}

/// What a key is, as far as algorithms care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeyType {
    pub fn fits(self, algorithm: Algorithm) -> bool {
        match self {
            Self::Secret => algorithm.family() == AlgorithmFamily::Hmac,
            Self::Rsa => algorithm.family() == AlgorithmFamily::Rsa,
            Self::P256 => algorithm == Algorithm::ES256,
            Self::P384 => algorithm == Algorithm::ES384,
            Self::Ed25519 => algorithm == Algorithm::EdDSA,
        }
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret => "a secret (HS256, HS384, HS512)",
            Self::Rsa => "an RSA key (RS256, RS384, RS512, PS256, PS384, PS512)",
            Self::P256 => "a P-256 key (ES256)",
            Self::P384 => "a P-384 key (ES384)",
            Self::Ed25519 => "an Ed25519 key (EdDSA)",
        })
    }
}

/// The bits of a big-endian modulus.
pub fn modulus_bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    match modulus.get(zeros) {
        Some(first) => (modulus.len() - zeros) * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use ring::hmac;

    use super::*;

    #[test]
    fn a_key_serves_no_algorithm_but_its_own_even_within_its_family() {
        let secret = DecodingKey::from_secret(b"secret");
        let key = VerifyingKey::new(None, secret, &[Algorithm::HS256, Algorithm::RS256]);
        let signature = |digest| hmac::sign(&hmac::Key::new(digest, b"secret"), b"message");
        for (algorithm, digest, expected) in [
            (Algorithm::HS256, hmac::HMAC_SHA256, Ok(())),
            (Algorithm::HS256, hmac::HMAC_SHA512, Err(Reason::Signature)),
            (Algorithm::HS512, hmac::HMAC_SHA512, Err(Reason::Algorithm)),
            (Algorithm::RS256, hmac::HMAC_SHA256, Err(Reason::Algorithm)),
        ] {
            assert_eq!(
                key.verify(b"message", signature(digest).as_ref(), algorithm),
                expected,
                "{algorithm:?}"
            );
        }
    }

    #[test]
    fn modulus_bits_ignore_leading_zeros() {
        assert_eq!(modulus_bits(&[]), 0);
        assert_eq!(modulus_bits(&[0, 0]), 0);
        assert_eq!(modulus_bits(&[0, 1, 0]), 9);
        assert_eq!(modulus_bits(&[0x80, 0]), 16);
    }
}
