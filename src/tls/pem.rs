//! What stands in PEM files, looked into.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is wrong with a file; continues "it".
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PemError {
    #[error("a PEM block in it is broken")]
    Broken,
    #[error("there is no certificate in it")]
    NoCertificate,
    #[error("a certificate in it cannot be read")]
    Certificate,
    #[error("there is no private key in it that is not encrypted")]
    NoKey,
}

/// A certificate behind which those stand that vouch for it.
#[derive(Clone, Debug)]
pub struct Chain(pub(super) Vec<CertificateDer<'static>>);

/// A key in any of its usual forms, not looked into.
pub struct PrivateKey(pub(super) PrivateKeyDer<'static>);

/// Who vouches for certificates.
#[derive(Clone, Debug)]
pub struct Roots(pub(super) Arc<RootCertStore>);

impl Chain {
    pub fn read(pem: &str) -> Result<Self, PemError> {
        let chain: Result<Vec<_>, Error> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|_| PemError::Broken)?;
        if chain.is_empty() {
            return Err(PemError::NoCertificate);
        }
        let reads = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der.as_ref()).is_ok_and(|(rest, _)| rest.is_empty())
        };
        if chain.iter().all(reads) { Ok(Self(chain)) } else { Err(PemError::Certificate) }
    }
}

impl PrivateKey {
    pub fn read(pem: &str) -> Result<Self, PemError> {
        match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(key) => Ok(Self(key)),
            Err(Error::NoItemsFound) => Err(PemError::NoKey),
            Err(_) => Err(PemError::Broken),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey([redacted])")
    }
}

impl Roots {
    pub fn read(pem: &str) -> Result<Self, PemError> {
        let mut roots = RootCertStore::empty();
        for certificate in Chain::read(pem)?.0 {
            roots.add(certificate).map_err(|_| PemError::Certificate)?;
        }
        Ok(Self(Arc::new(roots)))
    }
}
