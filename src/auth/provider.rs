//! The cryptography of tokens: ring's, also for `jsonwebtoken`.
//!
//! A key verifies only with algorithms of its own family, so a public key can never pass for an HMAC secret.
//! Signing is for development tokens and knows HMAC alone.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature as public};
use signature::{Error, Signer};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    // Keys make their verifiers once (`key.rs`), not for each token.
    verifier_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the process's provider; harmless when it already is.
pub fn install() {
    // An error only says that a provider is installed, and there is no other in this crate.
    let _ = RING.install_default();
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "jsonwebtoken's signature")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let digest = hmac_digest(*algorithm).ok_or(ErrorKind::InvalidAlgorithm)?;
    Ok(Box::new(RingSigner { algorithm: *algorithm, key: hmac::Key::new(digest, key.as_bytes()) }))
}

/// Verifies what one key has signed with one algorithm. What depends on the key alone is worked out once.
pub struct Verifier {
    algorithm: Algorithm,
    key: ReadyKey,
}

enum ReadyKey {
    Secret(hmac::Key),
    Public(public::UnparsedPublicKey<Vec<u8>>),
    Rsa(&'static public::RsaParameters, public::RsaPublicKeyComponents<Vec<u8>>),
}

impl Verifier {
    /// None when the key is of another family than the algorithm.
    pub fn new(algorithm: Algorithm, key: &DecodingKey) -> Option<Self> {
        if key.family() != algorithm.family() {
            return None;
        }
        let key = match key.kind() {
            DecodingKeyKind::SecretOrDer(key) => match hmac_digest(algorithm) {
                Some(digest) => ReadyKey::Secret(hmac::Key::new(digest, key)),
                None => ReadyKey::Public(public::UnparsedPublicKey::new(
                    public_algorithm(algorithm)?,
                    key.clone(),
                )),
            },
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let key = public::RsaPublicKeyComponents { n: n.clone(), e: e.clone() };
                ReadyKey::Rsa(rsa_parameters(algorithm)?, key)
            }
        };
        Some(Self { algorithm, key })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            ReadyKey::Secret(key) => hmac::verify(key, message, signature),
            ReadyKey::Public(key) => key.verify(message, signature),
            ReadyKey::Rsa(parameters, key) => key.verify(parameters, message, signature),
        }
        .is_ok()
    }
}

struct RingSigner {
    algorithm: Algorithm,
    key: hmac::Key,
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }
}

fn hmac_digest(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static public::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&public::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&public::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&public::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&public::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&public::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&public::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn public_algorithm(algorithm: Algorithm) -> Option<&'static dyn public::VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&public::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&public::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&public::ED25519),
        other => rsa_parameters(other).map(|parameters| parameters as _),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_family_gets_no_verifier() {
        let public_key = DecodingKey::from_rsa_der(b"not even looked at");
        assert!(Verifier::new(Algorithm::HS256, &public_key).is_none());
        let secret = DecodingKey::from_secret(b"secret");
        assert!(Verifier::new(Algorithm::RS256, &secret).is_none());
    }

    #[test]
    fn only_hmac_signs() {
        let key = EncodingKey::from_rsa_der(b"");
        assert!(signer(&Algorithm::RS256, &key).is_err());
    }
}
