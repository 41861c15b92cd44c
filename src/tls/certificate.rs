//! A certificate with its key.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::pem::{Chain, PrivateKey};

/// Ready to be shown.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
    ends: i64,
}

/// Why a key does not go with a certificate; continues "the key".
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Mismatch {
    #[error("the key is of another certificate")]
    Other,
    #[error("the key is of a kind that is not used: take RSA, ECDSA or Ed25519")]
    Kind,
}

impl Certificate {
    pub fn new(chain: Chain, key: PrivateKey) -> Result<Self, Mismatch> {
        let (names, ends) = names_and_end(&chain);
        match CertifiedKey::from_der(chain.0, key.0, &default_provider()) {
            Ok(key) => Ok(Self { key: Arc::new(key), names, ends }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(Mismatch::Other),
            Err(_) => Err(Mismatch::Kind),
        }
    }

    /// The host names in it, in lower case.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The last second at which it holds, in Unix time.
    pub fn ends(&self) -> i64 {
        self.ends
    }
}

fn names_and_end(chain: &Chain) -> (Vec<String>, i64) {
    let read = chain.0.first().and_then(|der| X509Certificate::from_der(der.as_ref()).ok());
    let Some((_, certificate)) = read else { return (Vec::new(), 0) };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let named = alternative.iter().flat_map(|names| &names.value.general_names);
    let hosts = named.filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    (hosts.collect(), certificate.validity().not_after.timestamp())
}
