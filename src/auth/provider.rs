//! The cryptography of `jsonwebtoken`: ring's.
//!
//! A key verifies only with algorithms of its own family, so a public key can never pass for an HMAC secret.
//! Signing is for development tokens and knows HMAC alone.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature as public};
use signature::{Error, Signer, Verifier};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the process's provider; harmless when it already is.
pub fn install() {
    // An error only says that a provider is installed, and there is no other in this crate.
    let _ = RING.install_default();
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "jsonwebtoken's signature")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "jsonwebtoken's signature")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let digest = hmac_digest(*algorithm).ok_or(ErrorKind::InvalidAlgorithm)?;
    Ok(Box::new(RingSigner { algorithm: *algorithm, key: hmac::Key::new(digest, key.as_bytes()) }))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(key) => match hmac_digest(self.algorithm) {
                Some(digest) => hmac::verify(&hmac::Key::new(digest, key), message, signature),
                None => public::UnparsedPublicKey::new(
                    public_algorithm(self.algorithm).ok_or_else(Error::new)?,
                    key,
                )
                .verify(message, signature),
            },
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = rsa_parameters(self.algorithm).ok_or_else(Error::new)?;
                public::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
        }
        .map_err(|_| Error::new())
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
        assert!(verifier(&Algorithm::HS256, &public_key).is_err());
        let secret = DecodingKey::from_secret(b"secret");
        assert!(verifier(&Algorithm::RS256, &secret).is_err());
    }

    #[test]
    fn only_hmac_signs() {
        let key = EncodingKey::from_rsa_der(b"");
        assert!(signer(&Algorithm::RS256, &key).is_err());
    }
}
