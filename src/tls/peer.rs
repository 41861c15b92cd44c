//! Whom a client's certificate names. Only for one that a handshake has verified.
//!
//! A certificate with two names of the kind that is asked for names nobody: which one pays must never be a guess.

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The subject's common name.
pub fn common_name(der: &[u8]) -> Option<String> {
    let certificate = read(der)?;
    let names = certificate.subject().iter_common_name();
    only(names.map(|name| name.as_str().ok().map(str::to_owned)))
}

/// The host among its alternative names.
pub fn dns_name(der: &[u8]) -> Option<String> {
    alternative(der, |name| match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        _ => None,
    })
}

/// The URI among its alternative names, such as a SPIFFE id.
pub fn uri(der: &[u8]) -> Option<String> {
    alternative(der, |name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    })
}

/// The mail address among its alternative names.
pub fn email(der: &[u8]) -> Option<String> {
    alternative(der, |name| match name {
        GeneralName::RFC822Name(address) => Some((*address).to_owned()),
        _ => None,
    })
}

/// SHA-256 of the certificate, in 64 hexadecimal digits of lower case.
pub fn fingerprint(der: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(der).iter().fold(String::with_capacity(64), |mut text, byte| {
        // A `String` takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

fn alternative(der: &[u8], of_kind: fn(&GeneralName<'_>) -> Option<String>) -> Option<String> {
    let certificate = read(der)?;
    let names = certificate.subject_alternative_name().ok()??;
    only(names.value.general_names.iter().filter_map(of_kind).map(Some))
}

/// The one there is; none where one of them is no text.
fn only(mut names: impl Iterator<Item = Option<String>>) -> Option<String> {
    let name = names.next()??;
    names.next().is_none().then_some(name)
}
