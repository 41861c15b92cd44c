//! A certificate with its key.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::pem::{Chain, PrivateKey};

/// Ready to be shown.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
    begins: i64,
    ends: i64,
    is_chained: bool,
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
        let (names, (begins, ends)) = names_and_span(&chain);
        let is_chained = is_chained(&chain);
        match CertifiedKey::from_der(chain.0, key.0, &default_provider()) {
            Ok(key) => Ok(Self { key: Arc::new(key), names, begins, ends, is_chained }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(Mismatch::Other),
            Err(_) => Err(Mismatch::Kind),
        }
    }

    /// The host names in it, in lower case.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first second at which it holds, in Unix time.
    pub fn begins(&self) -> i64 {
        self.begins
    }

    /// Whether each that stands behind it has signed the one before, by their names.
    pub fn is_chained(&self) -> bool {
        self.is_chained
    }

    /// The last second at which it holds, in Unix time.
    pub fn ends(&self) -> i64 {
        self.ends
    }
}

fn names_and_span(chain: &Chain) -> (Vec<String>, (i64, i64)) {
    let read = chain.0.first().and_then(|der| X509Certificate::from_der(der.as_ref()).ok());
    let Some((_, certificate)) = read else { return (Vec::new(), (0, 0)) };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let named = alternative.iter().flat_map(|names| &names.value.general_names);
    let hosts = named.filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    let validity = certificate.validity();
    (hosts.collect(), (validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn is_chained(chain: &Chain) -> bool {
    let read = |der: &CertificateDer<'static>| {
        let (_, certificate) = X509Certificate::from_der(der.as_ref()).ok()?;
        Some((certificate.subject().as_raw().to_vec(), certificate.issuer().as_raw().to_vec()))
    };
    chain.0.windows(2).all(|pair| match pair {
        [signed, signer] => read(signed).zip(read(signer)).is_some_and(|(of, by)| of.1 == by.0),
        _ => true,
    })
}
