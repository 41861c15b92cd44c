//! Tokens for development and the demo. In production the issuer signs, and Tollgate only verifies.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;

use super::provider;

/// The algorithm has no secret to sign with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("tokens are signed here with HS256, HS384 or HS512 only; {0:?} tokens come from your issuer")]
pub struct NotSymmetric(Algorithm);

/// A token over `claims`, signed with `secret`.
///
/// # Errors
/// For an algorithm other than HS256, HS384 and HS512.
pub fn sign_hs(algorithm: Algorithm, secret: &[u8], claims: &Value) -> Result<String, NotSymmetric> {
    provider::install();
    let key = EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).map_err(|_| NotSymmetric(algorithm))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Expected values: Python's hmac over the same header and claims.
    #[test]
    fn signs_as_another_implementation_does() {
        let claims = json!({"sub": "acme"});
        for (algorithm, expected) in [
            (
                Algorithm::HS256,
                "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhY21lIn0.bMGZZOonMJzfNW898AT3DPN1EKvqWOa6UosLI1KMw0U",
            ),
            (
                Algorithm::HS384,
                "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzM4NCJ9.eyJzdWIiOiJhY21lIn0.IrqlXyNcCnv-Rx5PWW6DOKrS24tNVOuaheuC561aSmvLHTejcP7XAqn-Tciv5QJx",
            ),
            (
                Algorithm::HS512,
                "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhY21lIn0.AmhheWZbFWYbn2nq8f7jQMnnRB3Y8P7KsmnNunrM29aSizkMCq4HY80HqnjxTzqnkNNZi9INmJ9ipKfN6pDM7Q",
            ),
        ] {
            assert_eq!(sign_hs(algorithm, b"secret", &claims).unwrap(), expected);
        }
    }

    #[test]
    fn refuses_to_sign_with_public_key_algorithms() {
        let refused = sign_hs(Algorithm::ES256, b"secret", &json!({}));
        assert_eq!(refused, Err(NotSymmetric(Algorithm::ES256)));
    }
}
