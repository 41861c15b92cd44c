//! Key material as the configuration gives it, checked before anything depends on it.
//!
//! A mistake here would otherwise show as a 401 for every caller, so each error says what to do instead.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::der;
use super::key::{KeyType, MIN_RSA_BITS, VerifyingKey, modulus_bits};

/// What RFC 7518 asks of an HS256 secret.
const STRONG_SECRET_BYTES: usize = 32;

/// Why key material cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no algorithm is allowed; name those that your issuer signs with")]
    NoAlgorithm,
    #[error("the secret is empty")]
    EmptySecret,
    #[error(
        "this is a private key, and only its public half is needed; \
         make that with `openssl pkey -in KEY -pubout` and keep the private key at the issuer"
    )]
    Private,
    #[error("this is a certificate; take its key with `openssl x509 -in CERT -noout -pubkey`")]
    Certificate,
    #[error("this is not a public key in PEM form; it should begin with -----BEGIN PUBLIC KEY-----")]
    NotPem,
    #[error("the PEM's content is not a public key; it may be cut short")]
    Damaged,
    #[error("the key's type is not supported; use RSA, EC on P-256 or P-384, or Ed25519")]
    Unsupported,
    #[error("the RSA key has {0} bits; at least {MIN_RSA_BITS} are needed")]
    RsaTooShort(usize),
    #[error("{algorithm:?} does not fit the key, which is {key}")]
    Unfit { algorithm: Algorithm, key: KeyType },
    #[error(
        "{0:?} needs a secret, which is never taken from a JWKS; set `secret` or drop it from `algorithms`"
    )]
    SecretInJwks(Algorithm),
}

/// Checks a public key in PEM form against the allow-list, as building an authenticator would.
///
/// # Errors
/// With what is wrong and what to do instead.
pub fn check_pem(pem: &[u8], algorithms: &[Algorithm]) -> Result<(), KeyError> {
    from_pem(pem, algorithms).map(drop)
}

/// The key of a PEM file; every allowed algorithm must fit it.
pub fn from_pem(pem: &[u8], algorithms: &[Algorithm]) -> Result<VerifyingKey, KeyError> {
    let (key_type, key) = read(pem)?;
    check_fit(key_type, algorithms)?;
    Ok(VerifyingKey::new(None, key, algorithms))
}

/// The key of a shared secret; every allowed algorithm must be an HS one.
pub fn from_secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<VerifyingKey, KeyError> {
    if secret.is_empty() {
        return Err(KeyError::EmptySecret);
    }
    check_fit(KeyType::Secret, algorithms)?;
    if secret.len() < STRONG_SECRET_BYTES {
        tracing::warn!("the JWT secret is shorter than 32 bytes: whoever has a token can try to guess it");
    }
    let key = DecodingKey::from_secret(secret);
    Ok(VerifyingKey::new(None, key, algorithms))
}

/// Checks an allow-list for use with a JWKS.
pub fn check_for_jwks(algorithms: &[Algorithm]) -> Result<(), KeyError> {
    if algorithms.is_empty() {
        return Err(KeyError::NoAlgorithm);
    }
    match algorithms.iter().find(|one| KeyType::Secret.fits(**one)) {
        Some(algorithm) => Err(KeyError::SecretInJwks(*algorithm)),
        None => Ok(()),
    }
}

fn check_fit(key: KeyType, algorithms: &[Algorithm]) -> Result<(), KeyError> {
    if algorithms.is_empty() {
        return Err(KeyError::NoAlgorithm);
    }
    match algorithms.iter().find(|one| !key.fits(**one)) {
        Some(&algorithm) => Err(KeyError::Unfit { algorithm, key }),
        None => Ok(()),
    }
}

fn read(pem: &[u8]) -> Result<(KeyType, DecodingKey), KeyError> {
    let text = std::str::from_utf8(pem).map_err(|_| KeyError::NotPem)?;
    let (label, body) = section(text).ok_or(KeyError::NotPem)?;
    let content = || {
        let dense: String = body.split_whitespace().collect();
        STANDARD.decode(dense).map_err(|_| KeyError::Damaged)
    };
    match label {
        "PUBLIC KEY" => from_spki(&content()?),
        "RSA PUBLIC KEY" => from_rsa(&content()?),
        "CERTIFICATE" => Err(KeyError::Certificate),
        private if private.ends_with("PRIVATE KEY") => Err(KeyError::Private),
        _ => Err(KeyError::NotPem),
    }
}

/// The label and the base64 of the first section; text around it is skipped, as RFC 7468 has it.
fn section(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, rest) = rest.split_once("-----END ")?;
    rest.starts_with(label).then_some((label, body))
}

fn from_spki(spki: &[u8]) -> Result<(KeyType, DecodingKey), KeyError> {
    let info = der::read_spki(spki).ok_or(KeyError::Damaged)?;
    let (key_type, length) = match (info.algorithm, info.curve) {
        (der::RSA, _) => return from_rsa(info.key),
        (der::EC, Some(der::P256)) => (KeyType::P256, 65),
        (der::EC, Some(der::P384)) => (KeyType::P384, 97),
        (der::ED25519, _) => (KeyType::Ed25519, 32),
        _ => return Err(KeyError::Unsupported),
    };
    if info.key.len() != length {
        return Err(KeyError::Damaged);
    }
    let key = match key_type {
        KeyType::Ed25519 => DecodingKey::from_ed_der(info.key),
        _ => DecodingKey::from_ec_der(info.key),
    };
    Ok((key_type, key))
}

fn from_rsa(pkcs1: &[u8]) -> Result<(KeyType, DecodingKey), KeyError> {
    let bits = modulus_bits(der::read_rsa_modulus(pkcs1).ok_or(KeyError::Damaged)?);
    if bits < MIN_RSA_BITS {
        return Err(KeyError::RsaTooShort(bits));
    }
    Ok((KeyType::Rsa, DecodingKey::from_rsa_der(pkcs1)))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm::{ES256, ES384, EdDSA, HS256, PS512, RS256};

    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/fixtures/jwt/", $name))
        };
    }

    #[test]
    fn public_keys_fit_their_own_algorithms() {
        assert_eq!(check_pem(fixture!("rsa.pem"), &[RS256, PS512]), Ok(()));
        assert_eq!(check_pem(fixture!("rsa_pkcs1.pem"), &[RS256]), Ok(()));
        assert_eq!(check_pem(fixture!("p256.pem"), &[ES256]), Ok(()));
        assert_eq!(check_pem(fixture!("p384.pem"), &[ES384]), Ok(()));
        assert_eq!(check_pem(fixture!("ed25519.pem"), &[EdDSA]), Ok(()));
    }

    #[test]
    fn an_algorithm_that_the_key_cannot_serve_is_named() {
        for (pem, algorithms, key) in [
            (&fixture!("rsa.pem")[..], &[RS256, HS256][..], KeyType::Rsa),
            (fixture!("p256.pem"), &[ES384], KeyType::P256),
            (fixture!("ed25519.pem"), &[ES256], KeyType::Ed25519),
        ] {
            let algorithm = algorithms[algorithms.len() - 1];
            let unfit = KeyError::Unfit { algorithm, key };
            assert_eq!(check_pem(pem, algorithms), Err(unfit));
        }
        assert_eq!(check_pem(fixture!("rsa.pem"), &[]), Err(KeyError::NoAlgorithm));
    }

    #[test]
    fn weak_and_foreign_keys_are_refused() {
        let short = check_pem(fixture!("rsa_1024.pem"), &[RS256]);
        assert_eq!(short, Err(KeyError::RsaTooShort(1024)));
        for pem in [&fixture!("p521.pem")[..], fixture!("secp256k1.pem")] {
            assert_eq!(check_pem(pem, &[ES256]), Err(KeyError::Unsupported));
        }
    }

    #[test]
    fn the_wrong_kind_of_file_says_what_to_do() {
        for (label, expected) in [
            ("PRIVATE KEY", KeyError::Private),
            ("RSA PRIVATE KEY", KeyError::Private),
            ("ENCRYPTED PRIVATE KEY", KeyError::Private),
            ("CERTIFICATE", KeyError::Certificate),
            ("DH PARAMETERS", KeyError::NotPem),
            ("PUBLIC KEY", KeyError::Damaged),
        ] {
            let pem = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
            assert_eq!(check_pem(pem.as_bytes(), &[RS256]), Err(expected), "{label}");
        }
        for text in [&b"ssh-rsa AAAA me@host"[..], b"", b"\xff\xfe"] {
            assert_eq!(check_pem(text, &[RS256]), Err(KeyError::NotPem));
        }
    }

    #[test]
    fn a_key_cut_anywhere_is_refused_without_a_panic() {
        let pem = fixture!("rsa.pem");
        let end = pem.len() - "-----END PUBLIC KEY-----\n".len();
        for cut in 0..end {
            let mut damaged = pem[..cut].to_vec();
            damaged.extend_from_slice(b"\n-----END PUBLIC KEY-----\n");
            if cut < end - 1 {
                assert!(check_pem(&damaged, &[RS256]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn secrets_serve_hs_only_and_never_come_from_a_jwks() {
        assert!(from_secret(b"secret", &[HS256]).is_ok());
        assert_eq!(from_secret(b"", &[HS256]).err(), Some(KeyError::EmptySecret));
        assert!(from_secret(b"secret", &[HS256, RS256]).is_err());
        let mixed = check_for_jwks(&[RS256, HS256]);
        assert_eq!(mixed, Err(KeyError::SecretInJwks(HS256)));
        assert_eq!(check_for_jwks(&[RS256]), Ok(()));
    }
}
