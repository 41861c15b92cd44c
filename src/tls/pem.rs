//! PEM blocks, and whether a key fits its certificate.

use std::fmt;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is wrong with a text of PEM blocks; the words are for whoever wrote the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("it holds no certificate")]
    NoCertificate,
    #[error("its certificate number {0} cannot be read")]
    Certificate(usize),
    #[error("its certificate number {0} cannot sign others: it is not that of an authority")]
    Authority(usize),
    #[error("it holds no private key")]
    NoKey,
    #[error("its private key cannot be read, or is of a kind that is not supported")]
    Key,
    #[error("the private key is not that of the certificate")]
    Mismatch,
}

/// All certificates of a text, in their order; at least one.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut certificates = Vec::new();
    for (number, found) in (1..).zip(CertificateDer::pem_slice_iter(text.as_bytes())) {
        let certificate = found.map_err(|_| PemError::Certificate(number))?;
        match X509Certificate::from_der(&certificate) {
            Ok(([], _)) => certificates.push(certificate),
            _ => return Err(PemError::Certificate(number)),
        }
    }
    if certificates.is_empty() { Err(PemError::NoCertificate) } else { Ok(certificates) }
}

/// A certificate with those that vouch for it, and its key.
pub struct Pair {
    /// Its own first; at least that.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Pair {
    pub fn read(chain: &str, key: &str) -> Result<Self, PemError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| match error {
            pem::Error::NoItemsFound => PemError::NoKey,
            _ => PemError::Key,
        })?;
        let provider = rustls::crypto::ring::default_provider();
        let fits = CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider);
        fits.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => PemError::Mismatch,
            _ => PemError::Key,
        })?;
        Ok(Self { chain, key })
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair([redacted])")
    }
}
