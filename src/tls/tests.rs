use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;

/// A self-signed certificate and its key.
fn pair(names: &[&str]) -> (String, String) {
    pair_with(names, |_| {})
}

fn pair_with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn certificate(names: &[&str]) -> Certificate {
    let (chain, key) = pair(names);
    let (chain, key) = (Chain::read(&chain).expect("a chain"), PrivateKey::read(&key).expect("a key"));
    Certificate::new(chain, key).expect("a pair")
}

#[test]
fn a_certificate_goes_with_its_own_key_only() {
    let (chain, key) = pair(&["a.example", "B.example"]);
    let (_, other) = pair(&["a.example"]);
    let chain = || Chain::read(&chain).expect("a chain");
    let good = Certificate::new(chain(), PrivateKey::read(&key).expect("a key")).expect("a pair");
    assert_eq!(good.names(), ["a.example", "b.example"]);
    assert!(good.ends() > 4_000_000_000, "far away: {}", good.ends());
    let bad = Certificate::new(chain(), PrivateKey::read(&other).expect("a key"));
    assert_eq!(bad.expect_err("another's key"), Mismatch::Other);
}

#[test]
fn what_is_wrong_with_a_file_is_said_without_quoting_it() {
    let (chain, key) = pair(&["a.example"]);
    assert_eq!(Chain::read(&key).expect_err("a key"), PemError::NoCertificate);
    assert_eq!(PrivateKey::read(&chain).expect_err("a certificate"), PemError::NoKey);
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(Chain::read(nonsense).expect_err("nonsense"), PemError::Certificate);
    assert_eq!(Roots::read(nonsense).expect_err("nonsense"), PemError::Certificate);
    let cut = &key[..key.len() / 2];
    assert_eq!(PrivateKey::read(cut).expect_err("half of it"), PemError::Broken);
    let secret = PrivateKey::read(&key).expect("a key");
    assert_eq!(format!("{secret:?}"), "PrivateKey([redacted])");
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let [first, a, wild] = [&["x"], &["a.example"], &["*.example"]].map(|names| certificate(names));
    let all = [&first, &a, &wild].map(|certificate| (certificate, certificate.names()));
    let all = Certificates::new(all).expect("three");
    let shown = |name: Option<&str>| {
        let key = all.shown_for(name);
        [&first, &a, &wild].iter().position(|certificate| Arc::ptr_eq(&certificate.key, key))
    };
    assert_eq!((shown(None), shown(Some("other.test"))), (Some(0), Some(0)));
    assert_eq!((shown(Some("a.example")), shown(Some("A.Example"))), (Some(1), Some(1)));
    assert_eq!(shown(Some("b.example")), Some(2));
    assert_eq!(shown(Some("c.b.example")), Some(0), "a star stands for one label");
    assert_eq!(shown(Some("example")), Some(0), "and not for none");
    assert!(Certificates::new([]).is_none());
}

#[test]
fn a_certificate_names_one_or_nobody() {
    let der = |names: &[&str], change: fn(&mut CertificateParams)| {
        let (chain, _) = pair_with(names, change);
        Chain::read(&chain).expect("a chain").0.remove(0)
    };
    let rich = der(&["a.example"], |params| {
        params.distinguished_name.push(DnType::CommonName, "acme");
        let uri = "spiffe://a/b".try_into().expect("ASCII");
        let mail = "a@b.example".try_into().expect("ASCII");
        params.subject_alt_names.extend([SanType::URI(uri), SanType::Rfc822Name(mail)]);
    });
    assert_eq!(common_name(&rich).as_deref(), Some("acme"));
    assert_eq!(dns_name(&rich).as_deref(), Some("a.example"));
    assert_eq!(uri(&rich).as_deref(), Some("spiffe://a/b"));
    assert_eq!(email(&rich).as_deref(), Some("a@b.example"));
    let digest = fingerprint(&rich);
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    let ambiguous = der(&["a.example", "b.example"], |_| {});
    assert_eq!((dns_name(&ambiguous), common_name(&ambiguous), uri(&ambiguous)), (None, None, None));
    assert_eq!((common_name(b"no certificate"), dns_name(b"")), (None, None));
}

#[test]
fn sessions_are_resumed_unless_clients_show_certificates() {
    let tickets = Tickets::new().expect("random bytes");
    let (authority, _) = pair(&["ca.example"]);
    let granted = |clients: Option<Clients>| {
        let certificate = certificate(&["a.example"]);
        let certificates = Certificates::new([(&certificate, certificate.names())]).expect("one");
        let wishes = Wishes { certificates, oldest: Oldest::V12, clients, http2: true };
        wishes.grant(&tickets).expect("what rustls grants")
    };
    let plain = granted(None);
    assert!(plain.ticketer.enabled() && plain.max_early_data_size == 0);
    assert_eq!(plain.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let roots = Roots::read(&authority).expect("an authority");
    let asking = granted(Some(Clients { roots, required: true }));
    assert!(!asking.ticketer.enabled() && asking.send_tls13_tickets == 0);
    assert!(!asking.session_storage.can_cache());
}
