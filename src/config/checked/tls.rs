//! `[server] tls`: certificates, keys and who signs clients', looked into.

use super::doors::pair;
use crate::config::findings::{At, Findings, Place};
use crate::config::values::pem::Pem;
use crate::config::values::text::Text;
use crate::config::written::{self, ClientAuth, TlsVersion};
use crate::tls;

#[derive(Clone, Debug)]
pub struct Tls {
    /// At least one; the first is shown to who asks for no name, or an unknown one.
    pub certificates: Vec<Certificate>,
    pub min_version: TlsVersion,
    /// `None`: nobody is asked for a certificate.
    pub clients: Option<tls::Clients>,
}

/// A certificate and whom it is shown to.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: tls::Certificate,
    /// Host names in lower case, or `*.` and a host name.
    pub names: Vec<String>,
}

pub(super) fn check(tls: &written::Tls, found: &mut Findings) -> Tls {
    let alone = pair(&tls.certificate, &tls.private_key, &tls.place, found);
    let alone = alone.map(|_| (&tls.certificate, &tls.private_key, &[][..]));
    let listed = tls.certificates.value.iter().map(|listed| {
        let written::Certificate { chain, private_key, names } = &listed.value;
        (chain, private_key, names.value.as_slice())
    });
    let certificates: Vec<_> = alone
        .into_iter()
        .chain(listed)
        .filter_map(|(chain, key, names)| certificate(chain.at()?, key.at()?, names, found))
        .collect();
    let said = !tls.certificate.is_left_out() || !tls.private_key.is_left_out();
    if tls.certificates.value.is_empty() && !said {
        let help = "add `certificate` and `private_key`, or a list of them";
        found.error(&tls.place, "there is no certificate", help);
    }
    check_names(&tls.certificates.value, found);
    Tls { certificates, min_version: tls.min_version.value, clients: clients(tls, found) }
}

fn certificate(
    chain: &At<Pem>,
    key: &At<Pem>,
    names: &[At<Text>],
    found: &mut Findings,
) -> Option<Certificate> {
    let help = "name a PEM file with the certificate first, and behind it those that vouch for it";
    let read = tls::Chain::read(chain.value.expose()).map_err(|error| error.to_string());
    let read_chain = told(read, &chain.place, help, found);
    let help = "name a PEM file with the certificate's private key: PKCS#8, PKCS#1 or SEC1";
    let read = tls::PrivateKey::read(key.value.expose()).map_err(|error| error.to_string());
    let read_key = told(read, &key.place, help, found);
    let made = tls::Certificate::new(read_chain?, read_key?).map_err(|error| error.to_string());
    let certificate = told(made, &key.place, help, found)?;
    let mut names: Vec<_> = names.iter().map(|name| name.value.0.to_ascii_lowercase()).collect();
    if names.is_empty() {
        names = certificate.names().to_vec();
    }
    Some(Certificate { certificate, names })
}

fn told<T>(read: Result<T, String>, place: &Place, help: &str, found: &mut Findings) -> Option<T> {
    read.map_err(|error| found.error(place, error, help)).ok()
}

fn clients(tls: &written::Tls, found: &mut Findings) -> Option<tls::Clients> {
    let required = match (tls.client_auth.value, tls.client_ca.at()) {
        (ClientAuth::None, None) => return None,
        (ClientAuth::None, Some(ca)) => {
            let help = "write client_auth = \"optional\" or \"required\", or leave client_ca out";
            found.error(&ca.place, "no client is asked for a certificate", help);
            return None;
        }
        (ClientAuth::Optional, _) => false,
        (ClientAuth::Required, _) => true,
    };
    if tls.client_ca.is_left_out() {
        let what = "any certificate would do: it is not said who signs them";
        found.error(&tls.client_auth.place, what, "add `client_ca`");
    }
    let ca = tls.client_ca.at()?;
    let help = "name a PEM file with the certificates of those who sign clients'";
    let read = tls::Roots::read(ca.value.expose()).map_err(|error| error.to_string());
    Some(tls::Clients { roots: told(read, &ca.place, help, found)?, required })
}

fn check_names(certificates: &[At<written::Certificate>], found: &mut Findings) {
    let mut known: Vec<String> = Vec::new();
    for name in certificates.iter().flat_map(|certificate| &certificate.value.names.value) {
        let text = name.value.0.to_ascii_lowercase();
        let host = text.strip_prefix("*.").unwrap_or(&text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if !host.bytes().all(plain) || host.is_empty() || host.len() > 253 {
            let help = "write a host name, or \"*.example.com\" for those one label below";
            found.error(&name.place, "this is not a host name", help);
        }
        if known.contains(&text) {
            found.error(&name.place, "another certificate has this name", "name each host once");
        }
        known.push(text);
    }
}
