//! How the gateway knows the servers behind it, and makes itself known to them.

use std::fmt;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};

use super::certificate::{Certificate, Mismatch};
use super::pem::{Chain, PemError, PrivateKey, Roots};

/// Who signs the certificates of servers.
#[derive(Clone)]
pub struct Authorities {
    pub list: Arc<CaType>,
    digest: [u8; 32],
}

/// What the gateway shows to servers.
#[derive(Clone)]
pub struct Own {
    pub pair: Arc<CertKey>,
    digest: [u8; 32],
}

impl Authorities {
    pub fn read(pem: &str) -> Result<Self, PemError> {
        // Made for each connection, from what is known to make it.
        let roots = Roots::read(pem)?;
        let chain = Chain::read(pem)?;
        let mut list = Vec::with_capacity(roots.0.len());
        list.extend(chain.0.iter().map(|found| WrappedX509::new(found.to_vec(), parse_x509)));
        Ok(Self { list: list.into(), digest: digest(&chain) })
    }

    /// The same for the same certificates.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

impl Own {
    pub fn new(chain: Chain, key: PrivateKey) -> Result<Self, Mismatch> {
        let der = key.0.secret_der().to_vec();
        // Pingora takes the key for what its bytes look like.
        PrivateKeyDer::try_from(der.as_slice()).map_err(|_| Mismatch::Kind)?;
        let digest = digest(&chain);
        let certificate = Certificate::new(chain, key)?;
        let shown = certificate.key.cert.iter().map(|certificate| certificate.to_vec()).collect();
        Ok(Self { pair: Arc::new(CertKey::new(shown, der)), digest })
    }

    /// The same for the same certificate.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

fn digest(chain: &Chain) -> [u8; 32] {
    let all = chain.0.iter().fold(Sha256::new(), Digest::chain_update);
    all.finalize().into()
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.list.len())
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own([redacted])")
    }
}

/// Whether servers can be verified by a name: that of a host, or an address. Pingora would verify nothing for an empty
/// one, and another name for one with an underscore.
pub fn is_verifiable(name: &str) -> bool {
    !name.is_empty() && !name.contains('_') && ServerName::try_from(name).is_ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn signed() -> (String, String, String) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["api.internal".into()]).expect("a name");
        let leaf = leaf.signed_by(&key, &issuer).expect("signed");
        (issuer.pem(), leaf.pem(), key.serialize_pem())
    }

    fn own(chain: &str, key: &str) -> Result<Own, Mismatch> {
        Own::new(Chain::read(chain).expect("a chain"), PrivateKey::read(key).expect("a key"))
    }

    #[test]
    fn authorities_are_read_with_all_their_certificates_and_known_by_them() {
        let ((one, ..), (other, ..)) = (signed(), signed());
        let both = Authorities::read(&format!("{one}{other}")).expect("two authorities");
        assert_eq!(both.list.len(), 2);
        let digest = |text: &str| Authorities::read(text).expect("an authority").digest().to_vec();
        assert_eq!(digest(&one), digest(&one));
        assert_ne!(digest(&one), digest(&other));
    }

    #[test]
    fn what_a_connection_would_stumble_over_is_refused() {
        let (ca, leaf, key) = signed();
        let (_, other_leaf, other_key) = signed();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, error) in [
            (&key, PemError::NoCertificate),
            (&broken.to_owned(), PemError::Certificate),
            (&format!("{ca}{broken}"), PemError::Certificate),
        ] {
            assert_eq!(Authorities::read(text).map(drop), Err(error));
        }
        assert!(own(&leaf, &key).is_ok() && own(&format!("{leaf}{ca}"), &key).is_ok());
        assert_eq!(own(&leaf, &other_key).map(drop), Err(Mismatch::Other));
        assert_eq!(own(&other_leaf, &key).map(drop), Err(Mismatch::Other));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let (ca, leaf, key) = signed();
        assert_eq!(format!("{:?}", own(&leaf, &key).expect("a pair")), "Own([redacted])");
        assert_eq!(format!("{:?}", Authorities::read(&ca).expect("an authority")), "Authorities(1)");
    }

    #[test]
    fn only_names_that_are_verified_as_they_stand_are_verifiable() {
        for name in ["api.internal", "localhost", "10.0.0.1", "::1"] {
            assert!(is_verifiable(name), "{name}");
        }
        for name in ["", "a_b.example.com", "my_service", "a b", "*.example.com", "api.internal:443", "[::1]"]
        {
            assert!(!is_verifiable(name), "{name}");
        }
    }
}
